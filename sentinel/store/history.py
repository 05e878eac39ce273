"""Looks for commits in the history of a mirror, which may end at a shallow boundary.

libgit2's own ancestry test takes a missing parent for an error in one version and for a root in another, so
the walk is done here: a handful of commits, as a rule.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Collection, Iterator

import pygit2

from sentinel.store.base import Entry, notes


class Range(enum.Enum):
    """What a search between a base and a head came to."""

    #: It is there.
    FOUND = "found"
    #: The head is past the base, everything between was read, and it is not there.
    MISSING = "missing"
    #: The head is the base.
    AT_BASE = "at base"
    #: Something between could not be read, or the base is not in this history.
    UNREADABLE = "unreadable"


def _walk(repository: pygit2.Repository, head: pygit2.Oid, stop: str) -> Iterator[pygit2.Commit | None]:
    """Every commit from ``head`` back, without ``stop`` and what is only behind it; None for one not here."""
    todo, seen = [head], {str(head)}
    while todo:
        oid = todo.pop()
        if str(oid) == stop:
            continue
        try:
            commit = repository[oid].peel(pygit2.Commit)
        except (KeyError, pygit2.GitError):
            yield None
            continue
        yield commit
        for parent in commit.parent_ids:
            if str(parent) not in seen:
                seen.add(str(parent))
                todo.append(parent)


def is_near(repository: pygit2.Repository, head: pygit2.Oid, wanted: pygit2.Oid, limit: int) -> bool:
    """Whether ``wanted`` is ``head`` or one of the ``limit`` commits before it."""
    return head == wanted or any(
        commit is not None and wanted in commit.parent_ids
        for commit in itertools.islice(_walk(repository, head, ""), limit)
    )


def contains(repository: pygit2.Repository, head: pygit2.Oid, wanted: str) -> bool | None:
    """Whether ``wanted`` is ``head`` or in its history; None when the history here ends too early to tell."""
    if str(head) == wanted:
        return True
    whole = True
    for commit in _walk(repository, head, ""):
        if commit is None:
            whole = False
        elif wanted in map(str, commit.parent_ids):
            return True
    return False if whole else None


def search(repository: pygit2.Repository, head: pygit2.Oid, base: pygit2.Oid, ids: Collection[str]) -> Range:
    """Look for a commit with one of the transaction ``ids`` between ``base`` and ``head``."""
    if head == base:
        return Range.AT_BASE
    reached, whole = False, True
    for commit in _walk(repository, head, str(base)):
        if commit is None:
            whole = False
            continue
        if not transaction_ids(commit.message).isdisjoint(ids):
            return Range.FOUND
        reached = reached or base in commit.parent_ids
    return Range.MISSING if whole and reached else Range.UNREADABLE


def entries(repository: pygit2.Repository, head: pygit2.Oid, limit: int, after: str | None) -> list[Entry]:
    """The newest ``limit`` commits up to ``head``, newest first, without ``after`` and what is behind it."""
    found: list[Entry] = []
    oid = head
    while len(found) < limit and str(oid) != after:
        try:
            commit = repository[oid].peel(pygit2.Commit)
        except (KeyError, pygit2.GitError):
            break
        found.append(
            Entry(
                revision=str(oid),
                at=float(commit.commit_time),
                by=commit.author.name,
                notes=notes(commit.message),
            )
        )
        if not commit.parent_ids:
            break
        oid = commit.parent_ids[0]
    return found


def transaction_ids(text: str) -> frozenset[str]:
    """The ids in the trailers of a commit message; the notes above them may say what they want."""
    _, mark, trailers = text.rpartition("\nSentinel-Nonce: ")
    lines = trailers.splitlines()[1:] if mark else []
    return frozenset(line.removeprefix("Sentinel-Tx: ") for line in lines if line.startswith("Sentinel-Tx: "))
