"""How busy this machine's processors are, as balancers are told."""

from __future__ import annotations

from collections.abc import Callable

from sentinel.clock import Clock

#: Seconds between two measurements, and the weight of the newest one.
_EVERY = 2.0
_NEWEST = 0.5


class Busyness:
    """A moving average in steps of ten percent: two beats of one worker should seldom differ."""

    def __init__(self, clock: Clock, measure: Callable[[], float]) -> None:
        self._clock = clock
        self._measure = measure
        self._average = 0.0
        self._measured = clock.now()
        # The first measurement is of the time since the last one, so there must be one that does not count.
        measure()

    def percent(self) -> float:
        """0 to 100, in steps of ten."""
        now = self._clock.now()
        if now - self._measured >= _EVERY:
            self._measured = now
            self._average += _NEWEST * (self._measure() - self._average)
        return float(min(100, max(0, round(self._average, -1))))
