"""The only module that touches real clocks and real waiting; everything else is handed a `Clock`.

`Clock.now` counts seconds on ``CLOCK_BOOTTIME``, which also runs while the machine is suspended: a
lease must not stand still because a laptop lid was closed. It has no meaning on another machine or
after a reboot. `Clock.wall` is for people, for display and for backoff, and never decides ownership.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import math
import os
import select
import time
from collections.abc import Callable
from typing import Protocol


class Event(Protocol):
    """A flag that one thread waits for and others set."""

    def set(self) -> None:
        """Wake the waiter, now or at its next `wait`."""

    def wait(self, timeout: float) -> bool:
        """Block until set or for ``timeout`` seconds, clear the flag, and tell whether it was set."""

    def listen(self, descriptor: int, heard: Callable[[], bool]) -> None:
        """Let a wait end as if set when ``descriptor`` can be read and ``heard``, which reads it, says so.

        The waiting thread calls it, which saves the one thread that would read and wake another. To be called
        by that thread, too. A virtual event has no descriptors, and hears nothing.
        """

    def ignore(self, descriptor: int) -> None:
        """Listen to ``descriptor`` no longer; to be called before it is closed."""


class Clock(Protocol):
    """Time as an argument. Implementations: `SystemClock` here, a virtual one in `sentinel.testing`."""

    def now(self) -> float:
        """Seconds on this machine's boot-time clock; only differences mean anything."""

    def wall(self) -> float:
        """Seconds since 1970 in UTC, as this machine believes; for people and for backoff."""

    def sleep(self, seconds: float) -> None:
        """Block the calling thread for ``seconds``."""

    def event(self) -> Event:
        """A new, unset `Event` whose waiting runs on this clock."""


#: Seconds that one call of the kernel waits at most, which counts milliseconds in 32 bits.
_LONGEST = 86_400.0


class _SystemEvent:
    """An `Event` for which the kernel waits, so that it can wait for descriptors as well."""

    def __init__(self) -> None:
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._bell, select.POLLIN)
        self._heard: dict[int, Callable[[], bool]] = {}

    def set(self) -> None:
        os.eventfd_write(self._bell, 1)

    def wait(self, timeout: float) -> bool:
        until = time.clock_gettime(time.CLOCK_BOOTTIME) + timeout
        while True:
            left = max(0.0, until - time.clock_gettime(time.CLOCK_BOOTTIME))
            fired = False
            for descriptor, _ in self._poll.poll(math.ceil(min(left, _LONGEST) * 1000)):
                if descriptor == self._bell:
                    with contextlib.suppress(BlockingIOError):
                        os.eventfd_read(self._bell)
                    fired = True
                elif (heard := self._heard.get(descriptor)) is not None:
                    fired = heard() or fired
            if fired or left <= 0:
                return fired

    def listen(self, descriptor: int, heard: Callable[[], bool]) -> None:
        self._heard[descriptor] = heard
        self._poll.register(descriptor, select.POLLIN)

    def ignore(self, descriptor: int) -> None:
        if self._heard.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def __del__(self) -> None:
        os.close(self._bell)


class SystemClock:
    """The real clocks of this machine."""

    def now(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))

    def event(self) -> Event:
        return _SystemEvent()


@functools.lru_cache(maxsize=16)  # what is decided together has one time
def rfc3339(wall: float) -> str:
    """``wall`` seconds since 1970 as RFC 3339 UTC with microseconds, e.g. ``2026-11-22T08:15:00.250000Z``."""
    moment = datetime.datetime.fromtimestamp(wall, tz=datetime.UTC)
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def from_rfc3339(text: str) -> float:
    """Seconds since 1970 for a time that `rfc3339` (or another RFC 3339 writer) made.

    Raises `ValueError` when the text is not such a time.
    """
    moment = datetime.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment.timestamp()
