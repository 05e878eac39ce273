"""How long one incarnation may go on working, shared between its control loop and its beat thread.

The deadline is the minimum, over the last confirmed beat and every later one whose outcome is open, of the
time it was *sent* plus the work limit D of the TTL that it announced. An unconfirmed beat can therefore
shorten the deadline and never extend it: one that announces a shorter TTL does so before it is sent.
Fencing is irrevocable.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from sentinel.clock import Clock
from sentinel.model.lease import work_limit


class Lease:
    """The deadline and the fence of one incarnation. All methods may be called from any thread."""

    def __init__(self, clock: Clock, extend: Callable[[float], None]) -> None:
        self._clock = clock
        # Tells the supervisor. Called under the mutex, so that the deadline told last is the newest.
        self._extend = extend
        self._told = float("-inf")
        self._mutex = threading.Lock()
        self._confirmed: tuple[int, float] | None = None
        self._open: dict[int, float] = {}
        self._fenced: str | None = None

    def sending(self, seq: int, sent: float, ttl: float) -> None:
        """Beat ``seq``, announcing ``ttl``, is about to be sent at ``sent`` on this machine's clock."""
        with self._mutex:
            self._open[seq] = sent + work_limit(ttl)
            self._tell()

    def not_sent(self, seq: int) -> None:
        """Beat ``seq`` was certainly not applied and never will be."""
        with self._mutex:
            self._open.pop(seq, None)
            self._tell()

    def confirm(self, seq: int) -> None:
        """Beat ``seq`` is known to have landed; it counts as of its own sending."""
        with self._mutex:
            until = self._open.get(seq)
            if until is None or self._fenced is not None:
                return
            if self._confirmed is None or seq > self._confirmed[0]:
                self._confirmed = (seq, until)
            self._open = {number: limit for number, limit in self._open.items() if number > seq}
            self._tell()

    def fence(self, reason: str) -> None:
        """Stop for good. The first reason given is the one that stays."""
        with self._mutex:
            if self._fenced is None:
                self._fenced = reason

    @property
    def fenced(self) -> str | None:
        """Why this incarnation must stop, or None while it may work (or has not begun)."""
        with self._mutex:
            if self._fenced is None and self._confirmed is not None:
                late = self._clock.now() - self._deadline()
                if late >= 0:
                    self._fenced = f"no beat was confirmed in time ({late:.1f} s over the deadline)"
            return self._fenced

    @property
    def begun(self) -> bool:
        """Whether a beat was confirmed at all; nothing is claimed before."""
        with self._mutex:
            return self._confirmed is not None

    @property
    def deadline(self) -> float:
        """When all work must have ended, on this machine's clock."""
        with self._mutex:
            return self._deadline()

    def _tell(self) -> None:
        deadline = self._deadline()
        if self._confirmed is not None and self._fenced is None and deadline != self._told:
            self._told = deadline
            self._extend(deadline)

    def _deadline(self) -> float:
        if self._confirmed is None:
            return min(self._open.values(), default=float("-inf"))
        return min((self._confirmed[1], *self._open.values()))
