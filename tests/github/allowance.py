"""GitHub's published limits as the proxy keeps them, on a clock that a test may move."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import deque
from typing import Literal

#: Endpoints whose POST notifies people, and which are counted as content.
CONTENT = ("/issues", "/comments", "/pulls", "/reviews")

Verdict = Literal["primary", "secondary"]


class ProxyClock:
    """Seconds since 1970 as this GitHub sees them: real ones, faster ones, or what a test says."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._wall = time.time()
        self._ahead = 0.0
        #: How many of its seconds pass in one of ours.
        self.scale = 1.0

    def now(self) -> float:
        """The time there."""
        return self._wall + (time.monotonic() - self._began) * self.scale + self._ahead

    def advance(self, seconds: float) -> None:
        """Let time pass there."""
        self._ahead += seconds

    def use(self, scale: float) -> None:
        """Let time there pass ``scale`` times as fast from now on."""
        self._ahead += (time.monotonic() - self._began) * (self.scale - scale)
        self.scale = scale


@dataclasses.dataclass(slots=True)
class Allowances:
    """What one token may do. A test may lower any of it."""

    an_hour: int = 5000
    points_a_minute: int = 900
    contents_a_minute: int = 80
    contents_an_hour: int = 500
    at_once: int = 100
    #: What ``Retry-After`` says when the secondary limit is passed; None: nothing.
    retry_after: int | None = 60


class Account:
    """One token's use of it. Guarded by the proxy's lock."""

    def __init__(self) -> None:
        self.hour_began: float | None = None
        self.used = 0
        self.points: deque[tuple[float, int]] = deque()
        self.contents: deque[float] = deque()
        self.under_way = 0

    def begin(self, now: float, allowed: Allowances, *, write: bool, content: bool) -> Verdict | None:
        """Take a request in, or say which limit it passes."""
        if self.hour_began is None or now >= self.hour_began + 3600:
            self.hour_began, self.used = now, 0
        while self.points and self.points[0][0] <= now - 60:
            self.points.popleft()
        while self.contents and self.contents[0] <= now - 3600:
            self.contents.popleft()
        if self.used >= allowed.an_hour:
            return "primary"
        cost = 5 if write else 1
        a_minute = sum(1 for at in self.contents if at > now - 60)
        if (
            sum(points for _, points in self.points) + cost > allowed.points_a_minute
            or self.under_way >= allowed.at_once
            or (content and (a_minute >= allowed.contents_a_minute))
            or (content and len(self.contents) >= allowed.contents_an_hour)
        ):
            return "secondary"
        self.points.append((now, cost))
        if content:
            self.contents.append(now)
        self.used += 1
        return None

    def told(self, now: float, allowed: Allowances) -> dict[str, object]:
        """The body of ``rate_limit``."""
        began = now if self.hour_began is None or now >= self.hour_began + 3600 else self.hour_began
        used = self.used if began == self.hour_began else 0
        core = {
            "limit": allowed.an_hour,
            "remaining": max(0, allowed.an_hour - used),
            "used": used,
            "reset": int(began + 3600),
        }
        return {"resources": {"core": core}, "rate": core}

    def give_back(self) -> None:
        """The request is not charged after all: it was "not modified"."""
        self.used -= 1

    def headers(self, allowed: Allowances) -> dict[str, str]:
        """What GitHub tells about the hour."""
        return {
            "X-RateLimit-Limit": str(allowed.an_hour),
            "X-RateLimit-Remaining": str(max(0, allowed.an_hour - self.used)),
            "X-RateLimit-Used": str(self.used),
            "X-RateLimit-Reset": str(int((self.hour_began or 0) + 3600)),
            "X-RateLimit-Resource": "core",
        }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request as the proxy saw it."""

    method: str
    path: str
    token: str
    #: None when no answer was given.
    status: int | None
    charged: bool
    points: int
    content: bool
    #: On the proxy's clock.
    at: float
    #: Whether it reached the emulator.
    passed_on: bool


class Ledger:
    """Every request, for tests to ask. Guarded by a lock of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: list[Call] = []

    def add(self, call: Call) -> None:
        """Write one down."""
        with self._lock:
            self._calls.append(call)

    def clear(self) -> None:
        """Begin anew."""
        with self._lock:
            self._calls.clear()

    @property
    def calls(self) -> list[Call]:
        """All of them, in the order of their answers."""
        with self._lock:
            return list(self._calls)

    @property
    def charged(self) -> int:
        """Requests that count against the hour."""
        return sum(call.charged for call in self.calls)

    @property
    def contents(self) -> int:
        """Content creations that reached GitHub."""
        return sum(call.content and call.passed_on for call in self.calls)

    @property
    def points(self) -> int:
        """Points of the secondary limit."""
        return sum(call.points for call in self.calls)

    @property
    def refused(self) -> int:
        """Answers 403 and 429."""
        return sum(call.status in (403, 429) for call in self.calls)

    def of(self, method: str, path: str = "") -> list[Call]:
        """Those with a method and a part of a path."""
        return [call for call in self.calls if call.method == method and path in call.path]
