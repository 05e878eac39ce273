"""Limits of a store that come and go, so that what a peer announces changes from beat to beat."""

from __future__ import annotations

import random

from sentinel.fleet.pacing import Rhythm, Seen, Turn
from sentinel.model.lease import LeaseTimes

#: How much longer than configured everything may take.
_MOST = 4.0
#: Part of the looks after which it changes.
_CHANGES = 0.1


class Whim:
    """The pacing of one daemon, which agrees with nobody's: worse than any that follows from what all see."""

    def __init__(self, times: LeaseTimes, poll: float, rng: random.Random) -> None:
        self._times = times
        self._poll = poll
        self._rng = rng
        self._factor = 1.0

    def rhythm(self, seen: Seen) -> Rhythm:
        """See `sentinel.fleet.pacing.Pacing`."""
        if self._rng.random() < _CHANGES:
            self._factor = self._rng.choice((1.0, _MOST, self._rng.uniform(1.0, _MOST)))
        times = LeaseTimes(self._times.interval * self._factor, self._times.stale * self._factor)
        every = times.interval
        offset = every * seen.place / seen.workers
        return Rhythm(
            times=times,
            poll=self._poll,
            beat=Turn(every=every, offset=offset, lasts=every / seen.workers),
            push=Turn(every=every, offset=offset + every / 2, lasts=every / seen.workers),
        )
