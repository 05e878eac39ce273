"""What is kept by name goes when nobody has used the name for long: free locks, and workers that are gone.

A free lock keeps the retention's mark that it was freed under, and the registration of a worker the one under
which it was first seen that nobody speaks for it. Both are kept for as long as an ended task. One step is one
transaction: whoever uses a name again meanwhile changes its record, and the step bounces.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from sentinel.errors import BadRecord
from sentinel.fleet import locks, registry
from sentinel.fleet.counting import all_contention, all_totals
from sentinel.fleet.retention import some_of
from sentinel.fleet.view import View, load
from sentinel.model import layout
from sentinel.model.lock import Lock
from sentinel.model.retention import Retention, Terms
from sentinel.model.worker import Worker
from sentinel.store.base import ABSENT, Snapshot, Transaction
from sentinel.store.transact import Change

#: Names that one step deals with at most.
STEP = 100


def anything_idle(view: View) -> bool:
    """Whether there is a name that nobody uses, and so something that will be pruned."""
    return any(not lock.held for lock in view.locks.values()) or any(
        not view.live(worker.incarnation) for worker in view.workers.values()
    )


def due(view: View, record: Retention, terms: Terms) -> list[list[str]]:
    """The keys of all locks and workers that there is something to do about, in portions for one step each.

    Among them are names that nothing but a count or a hint is left of.
    """

    def now(mark: int) -> bool:
        return not mark or terms.over(mark, record.mark)

    free = {lock.name for lock in view.locks.values() if not lock.held and now(lock.mark)}
    gone = {
        worker.id
        for worker in view.workers.values()
        if now(worker.mark) and not view.live(worker.incarnation)
    }
    counted = {name for name in all_contention(view.snapshot) if not _there(view, layout.lock_key(name))}
    left = {*all_totals(view.snapshot), *view.assignments} - {layout.FORGOTTEN}
    left = {name for name in left if not _there(view, layout.worker_key(name))}
    portions = []
    for keys in (
        sorted(layout.lock_key(name) for name in free | counted),
        sorted(layout.worker_key(name) for name in gone | left),
    ):
        portions += [keys[first : first + STEP] for first in range(0, len(keys), STEP)]
    return portions


def _there(view: View, key: str) -> bool:
    return view.snapshot.version(key) is not ABSENT


def step(
    change: Change, snapshot: Snapshot, record: Retention, terms: Terms, keys: Sequence[str], *, by: str
) -> Transaction | None:
    """Prune what is over among these, one portion of `due`, and mark what nobody uses since lately.

    None when there is nothing to do about any of them any more.
    """
    # A step lands under the mark that it was decided under.
    change.expect(layout.RETENTION)
    names = [key.partition("/")[2] for key in keys]
    if keys[0].startswith(layout.LOCKS):
        kind, (gone, marked) = "lock", _locks(change, snapshot, record, terms, names)
    else:
        kind, (gone, marked) = "worker", _workers(change, snapshot, record, terms, names)
    said = f"prune {kind} {some_of(gone)}" if gone else f"mark {marked} {kind}s that nobody uses"
    transaction = change.transaction(f"{said}, by {by}", aside=True)
    return transaction if transaction.write else None


def _locks(
    change: Change, snapshot: Snapshot, record: Retention, terms: Terms, names: Sequence[str]
) -> tuple[list[str], int]:
    """Which locks go, and how many were marked."""
    over, uncounted, marked = [], [], 0
    for name in names:
        lock = load(snapshot, layout.lock_key(name), Lock.load)
        if lock is None and change.holds(layout.contention_key(name)):
            change.expect_absent(layout.lock_key(name)).delete(layout.contention_key(name))
            uncounted.append(name)
        if not isinstance(lock, Lock) or lock.held:
            continue
        if not lock.mark:
            change.put(layout.lock_key(name), dataclasses.replace(lock, mark=record.mark))
            marked += 1
        elif terms.over(lock.mark, record.mark):
            over.append(lock)
    try:
        if over:
            locks.prune(change, locks.floor_in(snapshot), over)
    except BadRecord:
        # Their epochs could start again; a person has to look at it.
        over = []
    return [*(lock.name for lock in over), *uncounted], marked


def _workers(
    change: Change, snapshot: Snapshot, record: Retention, terms: Terms, names: Sequence[str]
) -> tuple[list[str], int]:
    """Which workers go, and how many were marked."""
    gone, marked = [], 0
    for name in names:
        key = layout.worker_key(name)
        worker = load(snapshot, key, Worker.load)
        if worker is None:
            change.expect_absent(key)
            gone.append(name)
        if not isinstance(worker, Worker) or not _is_gone(snapshot, worker):
            continue
        if not worker.mark:
            change.put(key, dataclasses.replace(worker, mark=record.mark))
            marked += 1
        elif terms.over(worker.mark, record.mark):
            change.expect_absent(layout.incarnation_key(worker.incarnation))
            gone.append(name)
    registry.forget(change, snapshot, gone)
    return gone, marked


def _is_gone(snapshot: Snapshot, worker: Worker) -> bool:
    return snapshot.version(layout.incarnation_key(worker.incarnation)) is ABSENT
