"""What is counted for people: the work of each worker over all its incarnations, and how wanted a lock is.

An incarnation counts in its beats. When it ends, whoever takes its record away (it itself when it leaves,
another in a failover) adds its counts to the worker's *totals*, in a transaction that expects the
incarnation's record and so lands once at most. Totals and the beats of live incarnations together are what
the fleet did. No decision reads any of it, but for whose turn it is to get a task.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from sentinel.model.codec import Document, Fields, flat
from sentinel.model.record import Stored, stamp


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What an incarnation did since it joined; each number only rises."""

    claimed: int = 0
    #: Claims that another was faster with.
    lost_claims: int = 0
    #: Attempts whose end it recorded.
    ended: int = 0
    #: Changes that another was faster with, lost claims among them.
    conflicts: int = 0
    #: Results that were dropped because the claim was not in force any more.
    stale_results: int = 0
    #: Others that it failed over.
    failovers: int = 0

    def __add__(self, other: Counts) -> Counts:
        sums = {name: getattr(self, name) + getattr(other, name) for name in NAMES}
        return Counts(**sums)

    @classmethod
    def load(cls, counts: Mapping[str, int]) -> Counts:
        """From stored counts; those that this version does not know are left out."""
        return cls(**{name: counts[name] for name in NAMES if name in counts})


NAMES = tuple(field.name for field in dataclasses.fields(Counts))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Totals(Stored):
    """What the ended incarnations of one worker did together."""

    worker: str
    #: Incarnations that ended, and how many of them were failed over.
    ended: int = 0
    crashed: int = 0
    #: The incarnation that was failed over last.
    last_crash: str | None = None
    counts: Counts = dataclasses.field(default_factory=Counts)

    def with_ended(self, incarnation: str, counts: Counts, *, crashed: bool) -> Totals:
        """The same with one more incarnation that ended."""
        return dataclasses.replace(
            self,
            ended=self.ended + 1,
            crashed=self.crashed + crashed,
            last_crash=incarnation if crashed else self.last_crash,
            counts=self.counts + counts,
        )

    def document(self) -> Document:
        return {**flat(self), "counts": flat(self.counts)}

    @classmethod
    def load(cls, key: str, document: Mapping[str, Any]) -> Totals:
        """The totals stored under ``key``. Raises `BadRecord` when they are none."""
        fields = Fields(key, document)
        return cls(
            worker=fields.text("worker"),
            ended=fields.count("ended", 0),
            crashed=fields.count("crashed", 0),
            last_crash=fields.maybe_id("last_crash"),
            counts=Counts.load(fields.counts("counts")),
            **stamp(fields),
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contention(Stored):
    """How often a named lock was wanted while another held it."""

    name: str
    #: Acquisitions that met a holder, whatever came of them; waiting for it counts once.
    conflicts: int = 0
    #: Those among them that gave up.
    refused: int = 0
    last_at: str | None = None

    def with_conflict(self, *, refused: bool, at: str) -> Contention:
        """The same with one more."""
        return dataclasses.replace(
            self, conflicts=self.conflicts + 1, refused=self.refused + refused, last_at=at
        )

    @classmethod
    def load(cls, key: str, document: Mapping[str, Any]) -> Contention:
        """The record stored under ``key``. Raises `BadRecord` when it is none."""
        fields = Fields(key, document)
        return cls(
            name=fields.id("name"),
            conflicts=fields.count("conflicts", 0),
            refused=fields.count("refused", 0),
            last_at=fields.maybe_text("last_at"),
            **stamp(fields),
        )
