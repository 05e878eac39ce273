"""How long ended tasks are kept, and the fleet's own measure of that time.

A *mark* goes up by one when a peer has seen it unchanged, on its own clock, for a period; an ended task keeps
the mark that it ended under. So how old it is follows from the records alone: nobody compares a time that
another machine wrote with a clock of its own, and a clock that is wrong by years prunes nothing. Who leaves
before the period is over hands on for how long the mark has stood, and the next counts on from there.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from sentinel.model.codec import Document, Fields, flat
from sentinel.model.record import Stored, stamp

#: Longest period in seconds that one mark stands for.
PERIOD = 1_800.0
#: Into how many periods a short retention is divided at least.
_PERIODS = 4
#: Marks that count for nothing: the first may come at once, and what is decided under one mark may land under
#: a later one.
_SLACK = 3


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is kept of ended tasks: for so long, and so many. What is beyond either may go."""

    seconds: float
    count: int

    @property
    def period(self) -> float:
        """Seconds that one mark stands for, on the clock of whoever makes the next."""
        return min(PERIOD, self.seconds / _PERIODS)

    @property
    def marks(self) -> int:
        """How many marks there must be after the one that something ended under, before it may go."""
        return math.ceil(self.seconds / self.period) + _SLACK

    def over(self, ended: int, now: int) -> bool:
        """Whether what ended under the mark ``ended`` has been kept for long enough at the mark ``now``."""
        return now - ended >= self.marks


class Day(NamedTuple):
    """One day's artifacts as they were last seen to change."""

    version: str
    mark: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Retention(Stored):
    """The one record of the fleet's retention. Who wrote the mark prunes, until another writes the next."""

    mark: int = 0
    #: Who wrote the mark.
    by: str = ""
    incarnation: str = ""
    #: When, for people.
    at: str = ""
    #: Seconds for which the mark has stood at least, as those counted who have left since.
    stood: int = 0
    #: Ids of ended tasks that go in the next step: no new task may be made to run after them.
    condemned: tuple[str, ...] = ()
    #: The ``rev`` of each of them as it was condemned: one that ran again since is another matter.
    revs: tuple[int, ...] = ()
    #: Days whose artifacts are kept.
    days: Mapping[str, Day] = dataclasses.field(default_factory=dict)
    #: Ended tasks pruned so far, for people.
    pruned: int = 0

    def document(self) -> Document:
        days = {day: {"version": seen.version, "mark": seen.mark} for day, seen in self.days.items()}
        return {**flat(self), "days": days}

    @classmethod
    def load(cls, key: str, document: Mapping[str, Any]) -> Retention:
        """The record stored under ``key``. Raises `BadRecord` when it is none."""
        fields = Fields(key, document)
        return cls(
            mark=fields.count("mark"),
            by=fields.text("by"),
            incarnation=fields.text("incarnation"),
            at=fields.text("at"),
            stood=fields.count("stood", 0),
            condemned=fields.texts("condemned"),
            revs=fields.numbers("revs"),
            days={day: _load_day(key, found) for day, found in fields.mapping("days").items()},
            pruned=fields.count("pruned", 0),
            **stamp(fields),
        )


def _load_day(key: str, document: object) -> Day:
    fields = Fields(key, document if isinstance(document, dict) else {})
    return Day(version=fields.text("version"), mark=fields.count("mark"))
