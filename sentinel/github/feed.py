"""What is new on GitHub: the issues and comments that changed since the last look.

Two lists of the whole repository, each asked for with ``since`` and conditionally, so that a quiet repository
costs nothing. Both overlap with what was read before: GitHub shows some changes late, and everything that is
decided on them may be decided twice.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol, TypeVar

from sentinel.clock import from_rfc3339, rfc3339
from sentinel.errors import Unavailable
from sentinel.github.hub import LABEL, Comment, Hub, Issue, comment_of, issue_of
from sentinel.github.records import Seen

#: Seconds by which a look reaches back before the newest thing that was seen.
OVERLAP = 60.0
#: About so many issues, and comments, are read in one look; the rest follows in the next. When more of them
#: changed within two minutes, all those are read: the next look reaches back, and is to begin with others.
MOST = 1000
_PAGE = 100


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What one look brought."""

    issues: Mapping[int, Issue]
    comments: tuple[Comment, ...]
    #: From where the next look goes on, once all of this was dealt with.
    seen: Seen
    #: Whether this is all that changed.
    whole: bool = True

    def seen_without(self, numbers: Collection[int]) -> Seen:
        """The same, once all was dealt with but for the issues ``numbers``."""
        issues = (issue.updated_at for number, issue in self.issues.items() if number in numbers)
        comments = (comment.updated_at for comment in self.comments if comment.issue in numbers)
        return dataclasses.replace(
            self.seen,
            issues=_earliest(self.seen.issues, issues),
            comments=_earliest(self.seen.comments, comments),
        )


def look(hub: Hub, repository: str, seen: Seen) -> News:
    """What changed since ``seen``. Raises store errors.

    The first look is at what is open and labelled. Every later one is at all that changed, for a label can be
    taken away from an issue whose task runs.
    """
    asked = {"labels": LABEL, "state": "open"} if seen.issues is None else {"state": "all"}
    issues, all_issues = _changed(hub, f"{repository}/issues", asked, seen.issues, issue_of)
    since = seen.comments
    if since is None:
        since = min((issue.created_at for issue in issues if issue.labelled), default=None)
    comments: list[Comment] = []
    all_comments = True
    if since is not None:
        comments, all_comments = _changed(hub, f"{repository}/issues/comments", {}, since, comment_of)
    return News(
        # The newest of each is the last.
        issues={issue.number: issue for issue in issues},
        comments=tuple(sorted({comment.id: comment for comment in comments}.values(), key=lambda c: c.id)),
        seen=dataclasses.replace(
            seen,
            issues=_later(seen.issues, (issue.updated_at for issue in issues)),
            comments=_later(since, (comment.updated_at for comment in comments)),
        ),
        whole=all_issues and all_comments,
    )


class _Stamped(Protocol):
    @property
    def updated_at(self) -> str: ...


T = TypeVar("T", bound=_Stamped)


def _changed(
    hub: Hub, path: str, asked: Mapping[str, str], since: str | None, parse: Callable[[object], T | None]
) -> tuple[list[T], bool]:
    """What is listed from ``since`` on, the oldest change first, and whether that is all.

    Each page is asked for by the time at which the one before it ended: what is changed meanwhile moves to
    the end, and by its number the next page would begin after what moved up. Only where more than a page
    changed in one second, it is asked for by number.
    """
    found: list[T] = []
    params: dict[str, str | int] = {**asked, "sort": "updated", "direction": "asc", "per_page": _PAGE}
    at, page = since, 1
    while True:
        if at is not None:
            params["since"] = at
        if page > 1:
            params["page"] = page
        else:
            params.pop("page", None)
        items = hub.get(path, params).body
        if not isinstance(items, list):
            raise Unavailable(f"GitHub answered GET {path} with something else than a list")
        found += [item for raw in items if (item := parse(raw)) is not None]
        if len(items) < _PAGE:
            return found, True
        last = items[-1].get("updated_at") if isinstance(items[-1], Mapping) else None
        end = last if isinstance(last, str) and _moment(last) is not None else at
        if len(found) >= MOST and end is not None and (since is None or _apart(since, end) >= 2 * OVERLAP):
            return found, False
        at, page = (at, page + 1) if end == at else (end, 1)


def _apart(one: str, other: str) -> float:
    """Seconds from one time to another; endless from what is none."""
    before, after = _moment(one), _moment(other)
    return math.inf if before is None or after is None else after - before


def _later(since: str | None, stamps: Iterable[str]) -> str | None:
    """A little before the newest of ``stamps``, in whole seconds as GitHub has them, and never going back."""
    moments = [moment for stamp in stamps if (moment := _moment(stamp)) is not None]
    before = None if since is None else _moment(since)
    if not moments or (before is not None and max(moments) - OVERLAP <= before):
        return since
    return f"{rfc3339(max(moments) - OVERLAP)[:19]}Z"


def _earliest(since: str | None, stamps: Iterable[str]) -> str | None:
    """``since``, or the earliest of ``stamps`` when that is before it."""
    for stamp in stamps:
        moment, before = _moment(stamp), None if since is None else _moment(since)
        if moment is not None and before is not None and moment < before:
            since = stamp
    return since


def _moment(stamp: str) -> float | None:
    try:
        return from_rfc3339(stamp)
    except ValueError:
        return None
