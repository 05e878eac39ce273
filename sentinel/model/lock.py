"""Named locks: two kinds of holder, one expiry rule each.

* An *incarnation* holds a lock for as long as it is live (``locks run``, a peer's own duties). Such a lock
  has no expiry of its own; when its incarnation is gone it is an orphan, and anyone frees it.
* A *ticket* is held by nobody's process (``locks acquire`` in a script): it expires when its record was
  unchanged for its TTL on the observer's clock. ``locks renew`` changes it.

The epoch rises by one at each acquisition and never starts again: it is the fencing token to hand to
whatever the lock protects.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from sentinel.model.codec import Fields
from sentinel.model.record import Stored, stamp

MIN_TTL, MAX_TTL = 5.0, 86_400.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lock(Stored):
    """A named lock as stored; free when ``holder`` is None."""

    name: str
    #: +1 at each acquisition; kept when the lock is freed.
    epoch: int = 0
    #: For people: who holds it.
    holder: str | None = None
    #: The incarnation that holds it; None for a ticket.
    incarnation: str | None = None
    #: Seconds: a ticket's expiry; for an incarnation its session's TTL, for people.
    ttl: float = 0.0
    acquired_at: str | None = None
    renewed_at: str | None = None
    #: Mark of the retention under which it was freed (see `sentinel.model.retention`); 0 while it is held.
    mark: int = 0

    @property
    def held(self) -> bool:
        """Whether somebody holds it (a ticket may have expired unseen)."""
        return self.holder is not None

    @property
    def ticket(self) -> bool:
        """Whether it is held by a ticket, which only silence ends."""
        return self.held and self.incarnation is None

    def acquire(self, *, holder: str, incarnation: str | None, ttl: float, at: str) -> Lock:
        """The lock in new hands; its caller has made sure that it is free, expired or an orphan."""
        return dataclasses.replace(
            self,
            epoch=self.epoch + 1,
            holder=holder,
            incarnation=incarnation,
            ttl=ttl,
            acquired_at=at,
            renewed_at=None,
            mark=0,
        )

    def renew(self, *, ttl: float, at: str) -> Lock:
        """The same holder, its time counted anew."""
        return dataclasses.replace(self, ttl=ttl, renewed_at=at)

    def free(self, mark: int = 0) -> Lock:
        """The lock without a holder, since the retention's ``mark``; the epoch stays."""
        return dataclasses.replace(
            self, holder=None, incarnation=None, ttl=0.0, acquired_at=None, renewed_at=None, mark=mark
        )

    @classmethod
    def load(cls, key: str, document: Mapping[str, Any]) -> Lock:
        """The lock stored under ``key``. Raises `BadRecord` when it is not one, or is another's."""
        fields = Fields(key, document)
        lock = cls(
            name=fields.id("name"),
            epoch=fields.count("epoch"),
            holder=fields.maybe_text("holder"),
            incarnation=fields.maybe_id("incarnation"),
            ttl=fields.seconds("ttl", 0.0),
            acquired_at=fields.maybe_text("acquired_at"),
            renewed_at=fields.maybe_text("renewed_at"),
            mark=fields.count("mark", 0),
            **stamp(fields),
        )
        if key.partition("/")[2] != lock.name:
            raise fields.bad(f"it says it is lock {lock.name!r}")
        return lock


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Floor(Stored):
    """The highest epoch of all locks whose records were pruned; every new lock starts above it."""

    epoch: int = 0

    @classmethod
    def load(cls, key: str, document: Mapping[str, Any]) -> Floor:
        """The floor stored under ``key``. Raises `BadRecord` when it is none."""
        fields = Fields(key, document)
        return cls(
            epoch=fields.count("epoch"),
            **stamp(fields),
        )
