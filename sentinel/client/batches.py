"""Lands many independent changes with few commits."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from sentinel.client.records import unreadable
from sentinel.errors import BadRecord, Conflict, Rejected, SentinelError
from sentinel.model.task import Task
from sentinel.store.base import Committed, Refused, Snapshot, Transaction
from sentinel.store.transact import Transactor

#: Transactions that share a commit at least, where there are so many, and at most.
LEAST, MOST = 100, 1_600
#: Longest time in seconds that a commit may take for the next one to hold twice as many, and shortest for it
#: to hold half as many: others wait for it.
_QUICK, _SLOW = 0.1, 0.25

Decide = Callable[[Snapshot, Task], tuple[Transaction | None, Task]]
Ended = Task | SentinelError


def land_tasks(
    transactor: Transactor, tasks: Sequence[Task], decide: Decide, *, dry_run: bool
) -> list[Ended]:
    """What became of each new task: the task as it stands, or the error that kept it out.

    With ``dry_run`` only what one commit could hold is decided on: a task that runs after another new one is
    taken to be right.
    Raises `Unavailable` or `OutcomeUnknown` when the store stays away; those that had landed by then stay.
    """
    store, clock, size = transactor.store, transactor.clock, LEAST
    ended: dict[int, Ended] = {}
    waiting = list(range(len(tasks)))
    patient_until = clock.now() + transactor.patience
    while waiting:
        snapshot = transactor.retrying()(store.read)
        batch, later = _choose(tasks, waiting, size, functools.partial(decide, snapshot), ended)
        if dry_run:
            ended.update({place: task for place, _, task in batch} | {place: tasks[place] for place in later})
            break
        began = clock.now()
        outcomes = transactor.retrying()(store.commit, [transaction for _, transaction, _ in batch])
        took = clock.now() - began
        if len(batch) == size and took < _QUICK:
            size = min(MOST, 2 * size)
        elif took > _SLOW:
            size = max(LEAST, size // 2)
        for (place, transaction, task), outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Committed):
                ended[place] = task
                patient_until = clock.now() + transactor.patience
            elif isinstance(outcome, Refused):
                ended[place] = Rejected(f"the store refused {transaction.note!r}: {outcome.reason}")
            elif clock.now() >= patient_until:
                ended[place] = Conflict(f"{', '.join(outcome.keys)} kept changing; try again")
            else:
                later.append(place)
        waiting = sorted(later)
    return [ended[place] for place in range(len(tasks))]


def _choose(
    tasks: Sequence[Task],
    waiting: Sequence[int],
    size: int,
    decide: Callable[[Task], tuple[Transaction | None, Task]],
    ended: dict[int, Ended],
) -> tuple[list[tuple[int, Transaction, Task]], list[int]]:
    """The next batch, and the places that must wait for it: what a batch writes, nobody in it can expect."""
    batch: list[tuple[int, Transaction, Task]] = []
    later: list[int] = []
    undecided: set[str] = set()
    for number, place in enumerate(waiting):
        if len(batch) == size:
            later += waiting[number:]
            break
        task = tasks[place]
        if not undecided.isdisjoint((task.id, *task.after)):
            later.append(place)
            undecided.add(task.id)
            continue
        try:
            transaction, found = decide(task)
        except SentinelError as error:
            ended[place] = error
        except BadRecord as problem:
            ended[place] = unreadable(problem)
        else:
            if transaction is None:
                ended[place] = found
            else:
                batch.append((place, transaction, found))
                undecided.add(task.id)
    return batch, later


def raise_errors(ended: Sequence[Ended]) -> list[Task]:
    """The tasks, or all errors as one: of their common class, a sentence each."""
    errors = [item for item in ended if isinstance(item, SentinelError)]
    if not errors:
        return [item for item in ended if isinstance(item, Task)]
    classes = {type(error) for error in errors}
    common = classes.pop() if len(classes) == 1 else SentinelError
    raise common("\n".join(dict.fromkeys(str(error) for error in errors)))
