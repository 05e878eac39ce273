"""A clock that stands still until it is told to move: for tests that must not wait.

``now`` and ``wall`` are apart, as on a real machine: `ManualClock.advance` moves both, and a wall clock that
is wrong, or is set while the program runs, is a change of `ManualClock.wall_offset` alone. Whoever sleeps or
waits on the clock moves it instead of waiting, so a loop that waits for an hour takes no time at all::

    clock = ManualClock()
    clock.advance(10.0)        # ten seconds of silence
    clock.wall_offset -= 7200  # somebody set the clock back by two hours

For one thread: with several, nobody could say in which order their sleeps move it.
"""

from __future__ import annotations

from collections.abc import Callable

from sentinel.clock import Event


class ManualClock:
    """A `sentinel.clock.Clock` that only `advance`, and whoever sleeps or waits on it, moves.

    Starts at ``now`` seconds on the boot-time clock and ``wall`` seconds since 1970 (a day in 2026).
    """

    def __init__(self, now: float = 1_000.0, wall: float = 1_795_000_000.0) -> None:
        self._now = now
        #: Wall seconds minus `now`; change it to set this machine's wall clock wrong.
        self.wall_offset = wall - now

    def now(self) -> float:
        """Seconds on the boot-time clock; never falls."""
        return self._now

    def wall(self) -> float:
        """Seconds since 1970, as far as this machine knows."""
        return self._now + self.wall_offset

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` (zero or more) pass. Raises `ValueError` for going back."""
        if not seconds >= 0:
            raise ValueError(f"time does not go by {seconds} s")
        self._now += seconds

    def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass at once; like the real clock, a negative number is no time at all."""
        self.advance(max(0.0, seconds))

    def event(self) -> Event:
        """An event whose `wait` returns at once: set, or with the clock moved on by its time-out."""
        return _ManualEvent(self)


class _ManualEvent:
    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._flag = False

    def set(self) -> None:
        self._flag = True

    def wait(self, timeout: float) -> bool:
        if not self._flag:
            self._clock.sleep(timeout)
        fired, self._flag = self._flag, False
        return fired

    def listen(self, descriptor: int, heard: Callable[[], bool]) -> None:
        """There are no descriptors in virtual time."""

    def ignore(self, descriptor: int) -> None:
        """Nothing was listened to."""
