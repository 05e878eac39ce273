"""The only module that touches real clocks and real waiting; everything else is handed a `Clock`.

`Clock.now` counts seconds on ``CLOCK_BOOTTIME``, which also runs while the machine is suspended: a
lease must not stand still because a laptop lid was closed. It has no meaning on another machine or
after a reboot. `Clock.wall` is for people, for display and for backoff, and never decides ownership.
"""

from __future__ import annotations

import datetime
import functools
import threading
import time
from typing import Protocol


class Event(Protocol):
    """A flag that one thread waits for and others set."""

    def set(self) -> None:
        """Wake the waiter, now or at its next `wait`."""

    def wait(self, timeout: float) -> bool:
        """Block until set or for ``timeout`` seconds, clear the flag, and tell whether it was set."""


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


class _ThreadEvent:
    """An `Event` over `threading.Event`, cleared by the wait that saw it."""

    def __init__(self) -> None:
        self._flag = threading.Event()

    def set(self) -> None:
        self._flag.set()

    def wait(self, timeout: float) -> bool:
        fired = self._flag.wait(max(0.0, timeout))
        if fired:
            self._flag.clear()
        return fired


class SystemClock:
    """The real clocks of this machine."""

    def now(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))

    def event(self) -> Event:
        return _ThreadEvent()


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
