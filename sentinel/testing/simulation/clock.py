"""A machine's clock in virtual time: wrong by an offset and a rate, and its wall clock wrong by hours."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from sentinel.clock import Event
from sentinel.testing.simulation.baton import Actor, Baton

#: True time at which every simulation begins, in seconds since 1970 (a day in 2026).
EPOCH = 1_795_000_000.0


@dataclasses.dataclass(slots=True)
class Timing:
    """How wrong the clocks of one machine are. Changes while the simulation runs, as real clocks do."""

    #: Seconds that the boot-time clock runs per true second, 0.9 to 1.1.
    rate: float = 1.0
    #: True time at which the machine was booted.
    booted_at: float = 0.0
    #: What the boot-time clock showed then.
    offset: float = 0.0
    #: Seconds by which the wall clock is ahead of the truth.
    wall_error: float = 0.0

    def boot_time(self, true: float) -> float:
        """What the boot-time clock shows at a true time."""
        return self.offset + self.rate * (true - self.booted_at)


class SimulatedClock:
    """The `Clock` of one machine. Sleeping and waiting give up the baton."""

    def __init__(self, baton: Baton, timing: Timing) -> None:
        self._baton = baton
        self._timing = timing

    @property
    def rate(self) -> float:
        """Seconds of this clock per true second."""
        return self._timing.rate

    def now(self) -> float:
        """Seconds on this machine's boot-time clock."""
        return self._timing.boot_time(self._baton.now)

    def wall(self) -> float:
        """Seconds since 1970, as this machine believes."""
        return EPOCH + self._baton.now + self._timing.wall_error

    def sleep(self, seconds: float) -> None:
        """Give up the baton for so many seconds of this clock."""
        self._baton.sleep(max(0.0, seconds) / self._timing.rate)

    def event(self) -> Event:
        """A new event for one waiting actor."""
        return SimulatedEvent(self._baton, self)


class SimulatedEvent:
    """A flag that one actor waits for; see `sentinel.clock.Event`."""

    def __init__(self, baton: Baton, clock: SimulatedClock) -> None:
        self._baton = baton
        self._clock = clock
        self._flag = False
        self._wake: Callable[[Any], Actor | None] | None = None

    def set(self) -> None:
        """Set it; the waiter goes on when its turn comes. What is dead sets nothing."""
        if self._baton.current.dead:
            return
        self.set_from_outside()

    def set_from_outside(self) -> None:
        """The same for something that is no actor (a pipe, a signal)."""
        self._flag = True
        if self._wake is not None:
            wake, self._wake = self._wake, None
            self._baton.after(0.0, lambda: wake(None))

    def wait(self, timeout: float) -> bool:
        """Give up the baton until set, or for ``timeout`` seconds of this clock."""
        self._baton.check()
        wake = self._baton.current.waker()
        seconds = 0.0 if self._flag else max(0.0, timeout) / self._clock.rate
        self._wake = wake
        self._baton.wait(seconds, wake)
        self._wake = None
        fired, self._flag = self._flag, False
        return fired

    def listen(self, descriptor: int, heard: Callable[[], bool]) -> None:
        """There are no descriptors in virtual time."""

    def ignore(self, descriptor: int) -> None:
        """Nothing was listened to."""
