"""What was sent to GitHub for one credential, and what GitHub says is left."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping

from sentinel.github.limiter import READ_POINTS, WRITE_POINTS


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Counts since the process began, and GitHub's own as last seen."""

    #: Requests that were sent, of every kind.
    requests: int = 0
    #: Those of them that GitHub counts against the hour: all but answers of "not modified".
    charged: int = 0
    #: "Not modified" answers.
    cached: int = 0
    reads: int = 0
    writes: int = 0
    #: Issues, comments and their like.
    contents: int = 0
    #: Of GitHub's secondary limit: reads 1, writes 5.
    points: int = 0
    #: Refusals for a rate limit.
    limited: int = 0
    #: Requests an hour that this credential has; None before the first answer.
    limit: int | None = None
    remaining: int | None = None
    #: Seconds from `seen_at` until the hour begins anew, by GitHub's own clock.
    reset_in: float | None = None
    #: When GitHub's figures were seen, on the caller's clock.
    seen_at: float | None = None


class Meter:
    """Counts requests. Shared by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._usage = Usage()

    @property
    def usage(self) -> Usage:
        """The counts up to now."""
        with self._lock:
            return self._usage

    def sent(self, *, write: bool, content: bool) -> None:
        """A request goes out; it counts as charged until an answer says otherwise."""
        with self._lock:
            was = self._usage
            self._usage = dataclasses.replace(
                was,
                requests=was.requests + 1,
                charged=was.charged + 1,
                reads=was.reads + (not write),
                writes=was.writes + write,
                contents=was.contents + content,
                points=was.points + (WRITE_POINTS if write else READ_POINTS),
            )

    def answered(self, *, cached: bool, limited: bool) -> None:
        """The answer to a request that was `sent`."""
        with self._lock:
            was = self._usage
            self._usage = dataclasses.replace(
                was,
                charged=was.charged - cached,
                cached=was.cached + cached,
                limited=was.limited + limited,
            )

    def told(self, headers: Mapping[str, str], *, reset_in: float | None, now: float) -> None:
        """Take in GitHub's own figures from the headers of an answer."""
        limit, remaining = number(headers, "x-ratelimit-limit"), number(headers, "x-ratelimit-remaining")
        if limit is None or remaining is None:
            return
        with self._lock:
            self._usage = dataclasses.replace(
                self._usage, limit=int(limit), remaining=int(remaining), reset_in=reset_in, seen_at=now
            )


def number(headers: Mapping[str, str], name: str) -> float | None:
    """The number in a header that is not negative, or None."""
    try:
        value = float(headers.get(name, ""))
    except ValueError:
        return None
    return value if 0 <= value < 1e12 else None
