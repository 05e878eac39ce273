"""What is new on GitHub: the issues and comments that changed since the last look.

Two lists of the whole repository, each asked for with ``since`` and conditionally, so that a quiet repository
costs nothing. Both overlap with what was read before: GitHub shows some changes late, and everything that is
decided on them may be decided twice.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping

from sentinel.clock import from_rfc3339, rfc3339
from sentinel.github.hub import LABEL, Comment, Hub, Issue, comment_of, issue_of
from sentinel.github.records import Seen

#: Seconds by which a look reaches back before the newest thing that was seen.
OVERLAP = 60.0
#: Most issues, and most comments, of one look; the rest follows in the next.
MOST = 1000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What one look brought."""

    issues: Mapping[int, Issue]
    comments: tuple[Comment, ...]
    #: From where the next look goes on, once all of this was dealt with.
    seen: Seen


def look(hub: Hub, repository: str, seen: Seen) -> News:
    """What changed since ``seen``. Raises store errors.

    The first look is at what is open and labelled. Every later one is at all that changed, for a label can be
    taken away from an issue whose task runs.
    """
    params: dict[str, str | int] = {"sort": "updated", "direction": "asc"}
    if seen.issues is None:
        issues = _issues(hub, repository, {**params, "labels": LABEL, "state": "open"})
    else:
        issues = _issues(hub, repository, {**params, "state": "all", "since": seen.issues})
    since = seen.comments
    if since is None:
        since = min((issue.created_at for issue in issues if issue.labelled), default=None)
    comments: list[Comment] = []
    if since is not None:
        raw = hub.pages(f"{repository}/issues/comments", {**params, "since": since})
        found = (comment_of(item) for item in itertools.islice(raw, MOST))
        comments = [comment for comment in found if comment is not None]
    return News(
        issues={issue.number: issue for issue in issues},
        comments=tuple(sorted(comments, key=lambda comment: comment.id)),
        seen=dataclasses.replace(
            seen,
            issues=_later(seen.issues, (issue.updated_at for issue in issues)),
            comments=_later(since, (comment.updated_at for comment in comments)),
        ),
    )


def _issues(hub: Hub, repository: str, params: Mapping[str, str | int]) -> list[Issue]:
    found = (issue_of(raw) for raw in itertools.islice(hub.pages(f"{repository}/issues", params), MOST))
    return [issue for issue in found if issue is not None]


def _later(since: str | None, stamps: Iterable[str]) -> str | None:
    """A little before the newest of ``stamps``, in whole seconds as GitHub has them, and never going back."""
    moments = [moment for stamp in stamps if (moment := _moment(stamp)) is not None]
    before = None if since is None else _moment(since)
    if not moments or (before is not None and max(moments) - OVERLAP <= before):
        return since
    return f"{rfc3339(max(moments) - OVERLAP)[:19]}Z"


def _moment(stamp: str) -> float | None:
    try:
        return from_rfc3339(stamp)
    except ValueError:
        return None
