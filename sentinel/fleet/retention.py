"""Pruning: what ended long ago goes, in small steps, each decided on one snapshot, as data.

A step names in the retention's record what is to go next and removes what the step before it named, in one
transaction. Nobody can make a task run after a named one, and whoever did so before is seen by the step that
removes: so nothing that an active task depends on ever goes. The record is also the lock: a step expects it.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from sentinel.clock import rfc3339
from sentinel.errors import BadRecord
from sentinel.fleet.observer import Observer
from sentinel.fleet.view import load
from sentinel.model import layout
from sentinel.model.retention import Day, Retention, Terms
from sentinel.model.task import Task
from sentinel.store.base import Snapshot, Transaction, Version
from sentinel.store.opener import extras_of, resolve
from sentinel.store.transact import Change

#: Ended tasks that one step removes at most.
STEP = 100
#: Parts of the ended tasks that it looks at, at most.
_PARTS_AT_ONCE = 32
#: How many of them the audit names.
_NAMED = 5

#: What an observer calls the mark together with the time that was handed on; no key is named like it.
_HANDED_ON = f"{layout.RETENTION} stood"

#: The keys of what goes together with an ended task; None when that is still needed, and the task with it.
Companions = Callable[[Snapshot, Task], Sequence[str] | None]


def alone(snapshot: Snapshot, task: Task) -> Sequence[str] | None:  # noqa: ARG001 - one of `Companions`
    """Nothing goes with a task that came by the store; what came from elsewhere is known there, and stays."""
    return () if task.source is None else None


def companions_of(url: str) -> Companions:
    """What goes together with the ended tasks of the store at ``url``."""
    found: Companions | None = resolve(extras_of(url).companions)
    return alone if found is None else found


class Age(NamedTuple):
    """How old an ended task is among the ended ones; what is smaller ended earlier."""

    mark: int
    #: The minute in which it ended, by the clock of whoever ended it: for order within a mark alone.
    minute: str


def age(task: Task) -> Age:
    """The age of an ended task."""
    return Age(task.mark, (task.finished_at or "")[:16])


def retention_in(snapshot: Snapshot) -> Retention | None:
    """The retention's record; None when there is none. Raises `BadRecord`."""
    return snapshot.parsed(layout.RETENTION, Retention.load)


def mark_in(change: Change) -> int:
    """The mark that what ends now ends under; 0 where nobody has made one, or it cannot be read."""
    record = _read(change)
    return 0 if record is None else record.mark


def condemned(change: Change) -> tuple[str, ...]:
    """Ids of ended tasks that go in the next step."""
    record = _read(change)
    return () if record is None else record.condemned


def _read(change: Change) -> Retention | None:
    try:
        return change.parsed(layout.RETENTION, Retention.load)
    except BadRecord:
        return None


def make_mark(
    change: Change,
    before: Retention | None,
    days: Mapping[str, Version] | None,
    *,
    worker: str,
    incarnation: str,
    wall: float,
) -> Transaction:
    """The next mark, by ``incarnation``, which prunes from now on.

    ``days`` are those with artifacts, None where that is not known now.
    """
    record = before or Retention()
    mark = record.mark + 1
    seen = {
        day: found if (found := record.days.get(day)) and found.version == version else Day(version, mark)
        for day, version in (days or {}).items()
    }
    if days is None:
        seen = dict(record.days)
    record = dataclasses.replace(
        record, mark=mark, by=worker, incarnation=incarnation, at=rfc3339(wall), stood=0, days=seen
    )
    change.put(layout.RETENTION, record)
    return change.transaction(f"mark {mark} of the retention, by {worker}", aside=True)


def watched(record: Retention) -> dict[str, str]:
    """What an observer watches of the record, to be able to tell how long its mark has `stood`."""
    return {layout.RETENTION: str(record.mark), _HANDED_ON: _handed_on(record)}


def stood(record: Retention, observer: Observer) -> float:
    """Seconds for which the mark has stood at least, as far as this observer can tell.

    It saw that itself, or it began to watch after another who had. What two saw at the same time is never
    added up: it counts its own time only from where it saw what the other had handed on.
    """
    own = observer.silence(layout.RETENTION, str(record.mark))
    return max(own, record.stood + observer.silence(_HANDED_ON, _handed_on(record)))


def hand_on(change: Change, record: Retention, observer: Observer, *, by: str) -> Transaction | None:
    """Have the next go on counting where one that leaves ends; None where that adds nothing."""
    now = int(stood(record, observer))
    if now <= record.stood:
        return None
    change.put(layout.RETENTION, dataclasses.replace(record, stood=now))
    return change.transaction(
        f"mark {record.mark} of the retention has stood for {now} s, by {by}", aside=True
    )


def _handed_on(record: Retention) -> str:
    return f"{record.mark} {record.stood}"


def over_days(record: Retention, terms: Terms) -> Iterator[tuple[str, Version]]:
    """Days whose artifacts have been kept for long enough, each with the version that was seen."""
    for day, seen in sorted(record.days.items()):
        if terms.over(seen.mark, record.mark):
            yield day, seen.version


class Over(NamedTuple):
    """An ended task that may go, as it was looked at: ``tx`` wrote it.

    Its ``rev`` would not tell it from one that was handed in anew under its id once it had been pruned.
    """

    id: str
    tx: str


@dataclasses.dataclass(slots=True)
class Found:
    """What a look at some of the ended tasks has found."""

    #: How many parts were looked at.
    parts: int = 0

    #: May go, in the order of their ids.
    over: list[Over] = dataclasses.field(default_factory=list)
    #: Ended before there was a mark: they are given the present one.
    unmarked: list[Task] = dataclasses.field(default_factory=list)
    #: How many of each age there are.
    ages: Counter[Age] = dataclasses.field(default_factory=Counter)


def examine(
    snapshot: Snapshot, numbers: Iterator[int], record: Retention, terms: Terms, oldest_kept: Age | None
) -> Found:
    """Look at some of these parts (see `Snapshot.part`) of the ended tasks: as many as one step can do.

    ``oldest_kept`` is the age from which on they are kept by number; None keeps all of them.
    """
    found = Found()
    for number in numbers:
        found.parts += 1
        for key in sorted(snapshot.part(layout.DONE, number)):
            task = load(snapshot, key, Task.load)
            if not isinstance(task, Task):
                continue  # torn: a person has to look at it
            found.ages[age(task)] += 1
            if not task.mark:
                found.unmarked.append(task)
            elif terms.over(task.mark, record.mark) or (oldest_kept is not None and age(task) < oldest_kept):
                found.over.append(Over(task.id, task.tx))
        if found.parts == _PARTS_AT_ONCE or found.ages.total() >= STEP:
            break
    return found


def cut(ages: Mapping[Age, int], count: int) -> Age | None:
    """The age from which on ended tasks are kept so that at least ``count`` of them are; None for all."""
    kept = 0
    for each in sorted(ages, reverse=True):
        kept += ages[each]
        if kept > count:
            # With this minute there are too many: what is older goes; if nothing is, this minute goes on.
            return each
    return None


def step(
    change: Change,
    snapshot: Snapshot,
    record: Retention,
    over: Sequence[Over],
    unmarked: Sequence[Task],
    needed: Callable[[str], bool],
    companions: Companions,
    *,
    by: str,
) -> Transaction | None:
    """Remove what was condemned, condemn what is ``over``, and give what is ``unmarked`` the present mark.

    At most `STEP` of both are to be given. ``needed`` tells whether an active task is to run after that one.
    None when there is nothing to do.
    """

    def goes(task_id: str) -> Task | None:
        """The task as it is now, if it may go."""
        task = load(snapshot, layout.done_key(task_id), Task.load)
        if not isinstance(task, Task) or not task.ended:
            return None
        return None if needed(task_id) or companions(snapshot, task) is None else task

    gone: list[str] = []
    for name, rev in zip(record.condemned, record.revs, strict=False):
        task = goes(name)
        # Nothing removes it but this, so until then its rev only goes up.
        if task is not None and task.rev == rev:
            for key in (layout.done_key(task.id), *(companions(snapshot, task) or ())):
                change.delete(key)
            gone.append(task.id)
    for task in unmarked:
        change.put(layout.done_key(task.id), dataclasses.replace(task, mark=record.mark))
    looked_at = {each.id: each.tx for each in sorted(over) if each.id not in gone}
    next_ones = [task for name, tx in looked_at.items() if (task := goes(name)) is not None and task.tx == tx]
    if not unmarked and not next_ones and not record.condemned:
        return None
    change.put(
        layout.RETENTION,
        dataclasses.replace(
            record,
            condemned=tuple(each.id for each in next_ones),
            revs=tuple(each.rev for each in next_ones),
            pruned=record.pruned + len(gone),
        ),
    )
    return change.transaction(f"{_told(gone, len(next_ones), len(unmarked))}, by {by}", aside=True)


def _told(gone: list[str], condemned: int, marked: int) -> str:
    if gone:
        return f"prune {some_of(gone)}"
    return f"condemn {condemned} ended tasks" if condemned else f"mark {marked} ended tasks"


def some_of(names: Sequence[str]) -> str:
    """As many of these names as the audit tells, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def anything_ended(snapshot: Snapshot) -> bool:
    """Whether there is anything that could be pruned."""
    return next(snapshot.list(layout.DONE), None) is not None
