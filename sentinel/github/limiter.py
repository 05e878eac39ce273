"""What GitHub allows to one credential in a while, kept by all threads of this process together.

A request books the moment at which it may go, and waits for it; one that would have to wait for longer than
its caller can is refused with `Limited` and never sent. GitHub's own refusals close the gate for the time
that it names. Times are seconds on the caller's clock.
"""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
import threading
from collections.abc import Iterator

from sentinel.clock import Clock
from sentinel.github.errors import Limited

#: What reading and writing cost in GitHub's secondary limit.
READ_POINTS = 1
WRITE_POINTS = 5
MINUTE = 60.0
HOUR = 3600.0
#: Shortest pause, in seconds, after a refusal that names no time; it doubles with every further one.
FIRST_PAUSE = 60.0
LONGEST_PAUSE = HOUR


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is kept to. The defaults are those that GitHub publishes."""

    points_a_minute: int = 900
    contents_a_minute: int = 80
    contents_an_hour: int = 500
    #: Seconds from the start of one mutation to that of the next.
    between_writes: float = 1.0
    at_once: int = 100


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a request is, as far as limits go."""

    write: bool = False
    #: Whether it makes an issue, a comment, or their like.
    content: bool = False
    #: Whether it goes before mutations that wait for their turn. What GitHub forbids is forbidden to it, too.
    urgent: bool = False


READ = Turn()


class _Window:
    """So much of something in so many seconds."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        #: When each amount was, or will be, used; ascending.
        self._used: list[tuple[float, int]] = []

    def earliest(self, at: float, amount: int) -> float:
        """The first moment from ``at`` on when ``amount`` more is within the limit."""
        moment = at
        total = sum(used for _, used in self._used)
        for when, used in self._used:
            if when + self._seconds > at and total + amount <= self._limit:
                break
            moment = max(moment, when + self._seconds)
            total -= used
        return moment

    def use(self, at: float, amount: int, *, now: float) -> None:
        """Note that ``amount`` is used at ``at``."""
        gone = bisect.bisect_right(self._used, now - self._seconds, key=lambda entry: entry[0])
        del self._used[:gone]
        bisect.insort(self._used, (at, amount))


class Limiter:
    """The gate that every request of one credential goes through. Shared by threads."""

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self._clock = clock
        self._limits = limits
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(limits.at_once)
        self._points = _Window(limits.points_a_minute, MINUTE)
        self._contents = (
            _Window(limits.contents_a_minute, MINUTE),
            _Window(limits.contents_an_hour, HOUR),
        )
        self._next_write = float("-inf")
        self._closed_until = float("-inf")
        self._why = ""
        self._refusals = 0

    @contextlib.contextmanager
    def request(self, turn: Turn, *, patience: float) -> Iterator[None]:
        """The time of one request. Raises `Limited` when it could not begin within ``patience`` seconds."""
        limit = self._clock.now() + patience
        moment = self._book(turn, limit)
        if not self._slots.acquire(timeout=max(0.0, patience)):
            raise Limited(f"{self._limits.at_once} requests to GitHub are under way at once", 1.0)
        try:
            self._clock.sleep(moment - self._clock.now())
            while self.closed_for:
                # It was closed while we waited for our turn.
                self._clock.sleep(self._book(turn, limit) - self._clock.now())
            yield
        finally:
            self._slots.release()

    def _book(self, turn: Turn, limit: float) -> float:
        windows = [(self._points, WRITE_POINTS if turn.write else READ_POINTS)]
        windows += [(window, 1) for window in self._contents if turn.content]
        with self._lock:
            now = self._clock.now()
            moment = max(now, self._closed_until)
            if turn.write and not turn.urgent:
                moment = max(moment, self._next_write)
            for window, amount in windows:
                moment = window.earliest(moment, amount)
            if moment > limit:
                why = self._why if self._closed_until > now else "our own limit on requests to GitHub"
                raise Limited(f"{why}; again in {moment - now:.0f} s", moment - now)
            for window, amount in windows:
                window.use(moment, amount, now=now)
            if turn.write:
                self._next_write = max(self._next_write, moment + self._limits.between_writes)
        return moment

    def refused(self, why: str, seconds: float | None) -> float:
        """GitHub refused for a limit: nothing goes for ``seconds``, or for how long is wise if it named none.

        Gives the seconds.
        """
        with self._lock:
            if seconds is None:
                seconds = min(FIRST_PAUSE * 2**self._refusals, LONGEST_PAUSE)
            self._refusals += 1
            self._close(why, seconds)
        return seconds

    def exhausted(self, why: str, seconds: float) -> None:
        """Nothing is left until ``seconds`` from now, by GitHub's own count."""
        with self._lock:
            self._close(why, seconds)

    def accepted(self) -> None:
        """GitHub answered: the next refusal without a time begins with the shortest pause again."""
        with self._lock:
            self._refusals = 0

    def _close(self, why: str, seconds: float) -> None:
        until = self._clock.now() + seconds
        if until > self._closed_until:
            self._closed_until, self._why = until, why

    @property
    def closed_for(self) -> float:
        """Seconds for which GitHub wants nothing from this credential; zero when it takes requests."""
        with self._lock:
            return max(0.0, self._closed_until - self._clock.now())
