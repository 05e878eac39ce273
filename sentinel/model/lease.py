"""The arithmetic of leases: when a silent peer may be taken over, and when it must have stopped by itself.

One beat keeps all leases of a peer. The two sides never compare clocks. An observer waits for ``stale``
seconds of silence on its own clock; the owner stops its work `LeaseTimes.work_limit` seconds after it
*sent* its last confirmed beat, on its own clock. With clock rates that differ by at most `RATE_ERROR`
each way from true time, the owner is always done first.
"""

from __future__ import annotations

import dataclasses
import math

#: How far the rate of a machine's clock may be off, either way. Crystal clocks are off by less than
#: 0.1 %; the margin covers virtual machines that are slewed hard.
RATE_ERROR = 0.10
#: Seconds that ending all task processes may take once it has begun.
GRACE = 1.0
#: Nothing waits longer than this for its reply, in seconds.
MAX_WRITE_TIMEOUT = 15.0
#: Longest pause in seconds between two looks of a peer on a local store, and the fraction by which it varies.
POLL = 1.0
POLL_JITTER = 0.1
#: The longest that it may be on a store that other hosts reach, where every look is a connection.
REMOTE_POLL = 10.0


@dataclasses.dataclass(frozen=True, slots=True)
class LeaseTimes:
    """How often a peer beats and after how much silence it is taken over, both in seconds.

    ``stale`` is also the session TTL that the peer announces. Raises `ValueError`, with one sentence,
    when the two cannot be safe together.
    """

    interval: float
    stale: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.interval) and math.isfinite(self.stale)):
            raise ValueError("the heartbeat interval and the stale threshold must be finite numbers")
        if self.interval <= 0:
            raise ValueError(f"the heartbeat interval of {self.interval:g} s is not positive")
        if self.stale < 3 * self.interval:
            raise ValueError(
                f"a stale threshold of {self.stale:g} s is less than three heartbeat intervals of "
                f"{self.interval:g} s; use at least {3 * self.interval:g} s"
            )
        if self.work_limit < 2 * self.interval + self.write_timeout:
            raise ValueError(
                f"a stale threshold of {self.stale:g} s leaves a peer only {self.work_limit:.1f} s to stop "
                f"by itself, less than two heartbeat intervals and a write time-out "
                f"({2 * self.interval + self.write_timeout:.1f} s); raise the threshold or lower the interval"
            )

    @property
    def work_limit(self) -> float:
        """D: seconds after *sending* its last confirmed beat at which a peer must have ended its work."""
        return work_limit(self.stale)

    @property
    def write_timeout(self) -> float:
        """Seconds a beat may wait for its reply; below the interval, so that beats do not pile up."""
        return min(0.8 * self.interval, MAX_WRITE_TIMEOUT)

    @property
    def exchange_timeout(self) -> float:
        """Seconds that the control loop waits for one reply: hanging for the TTL, it would stop the beats."""
        return min(self.stale / 4, MAX_WRITE_TIMEOUT)

    def poll(self, *, remote: bool) -> float:
        """Longest pause between two looks of a peer, in seconds; longer where the store is ``remote``."""
        return min(max(POLL, self.interval / 3), REMOTE_POLL) if remote else POLL

    def takeover_bound(
        self, *, poll: float, jitter: float, round_trip: float, announced: float = 0.0, turn: float = 0.0
    ) -> float:
        """T: at most how many seconds after its crash a peer's work is free again.

        One peer must observe without interruption for that long, and neither rate limits nor a wait for
        a free slot are in it. ``poll`` is the observer's longest pause between looks, ``jitter`` the
        fraction by which it varies, ``round_trip`` the time of one look, ``announced`` the TTL that the
        crashed peer announced, if it differs from ours, ``turn`` how long the observer may have to wait
        until it may write.
        """
        silence = max(self.stale, announced) / (1 - RATE_ERROR)
        # Two looks and three writes stand at the end of it: the look that shows the silence, the seal, the
        # transaction, the look that shows the freed task, and the claim. A write asks first what is there.
        return silence + 2 * poll * (1 + jitter) + turn + self.write_timeout + (2 + 3 * 2) * round_trip


def work_limit(ttl: float) -> float:
    """D for an announced session TTL, in seconds: ``ttl·(1−ρ)/(1+ρ) − grace``."""
    return ttl * (1 - RATE_ERROR) / (1 + RATE_ERROR) - GRACE
