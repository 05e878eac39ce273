"""Whose hand writes to a repository on GitHub, and how often it tries."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import pygit2

from sentinel.clock import Clock
from sentinel.github.git import GitData
from sentinel.model.ids import IdSource
from sentinel.store.repository import signature


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hand:
    """One connection's means to write: what its commits, sessions and blobs have in common."""

    git: GitData
    #: What messages call the repository.
    store: str
    #: Who the commits are by, for people.
    actor: str
    ids: IdSource
    clock: Clock
    #: So many tries at most, with pauses between them.
    attempts: Callable[[int], Iterator[None]]

    def sign(self) -> pygit2.Signature:
        """The author of a commit that is made now."""
        return signature(self.actor, self.clock.wall())
