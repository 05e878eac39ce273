"""Joining and leaving: one transaction each, guarded by the worker's record and its predecessor's absence."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from sentinel.errors import BadRecord, Conflict, NotFound, WorkerIdInUse
from sentinel.fleet import tasks
from sentinel.fleet.counting import fold
from sentinel.fleet.retention import mark_in
from sentinel.fleet.view import View, load
from sentinel.model import layout
from sentinel.model.door import Door
from sentinel.model.task import Ending, Fence, end_attempt
from sentinel.model.worker import Incarnation, Worker
from sentinel.store.base import ABSENT, Snapshot, Transaction
from sentinel.store.transact import Change


def predecessor(snapshot: Snapshot, worker_id: str) -> str | None:
    """The live incarnation that speaks for ``worker_id`` now, or None."""
    worker = load_worker(snapshot, worker_id)
    if worker is not None:
        live = snapshot.version(layout.incarnation_key(worker.incarnation)) is not ABSENT
        return worker.incarnation if live else None
    if snapshot.version(layout.worker_key(worker_id)) is ABSENT:
        return None
    # The record cannot be read, so whoever lives under this id is known by its own record alone.
    for key in snapshot.list(layout.INCARNATIONS):
        found = load(snapshot, key, Incarnation.load)
        if isinstance(found, Incarnation) and found.kind == "worker" and found.worker == worker_id:
            return found.id
    return None


def in_use(worker_id: str, incarnation: str, living: Incarnation | None) -> WorkerIdInUse:
    """The refusal of a worker whose id another incarnation beats under."""
    host = "another host" if living is None else living.hostname
    return WorkerIdInUse(
        f"worker {worker_id} is running on {host} (incarnation {incarnation}); "
        "stop it first or choose another --id"
    )


def load_worker(snapshot: Snapshot, worker_id: str) -> Worker | None:
    """The worker's record, or None when there is none or it cannot be read."""
    try:
        return snapshot.parsed(layout.worker_key(worker_id), Worker.load)
    except BadRecord:
        return None


def door(snapshot: Snapshot) -> Door:
    """Who joined last, as far as that is kept and can be read."""
    found = load(snapshot, layout.DOOR, Door.load)
    return found if isinstance(found, Door) else Door()


def join(
    change: Change, snapshot: Snapshot, worker: Worker, incarnation: Incarnation, *, one_by_one: bool = False
) -> Transaction:
    """Register ``worker`` and make ``incarnation`` live; ``one_by_one`` bounces if another joins meanwhile.

    To be decided only when `predecessor` is None. Expects the worker's record as read and the predecessor's
    incarnation gone, so of two daemons that join under one id at once one is refused.
    """
    before = load_worker(snapshot, worker.id)
    worker = dataclasses.replace(worker, incarnation=incarnation.id, registered_at=incarnation.started_at)
    if before is not None:
        change.expect_absent(layout.incarnation_key(before.incarnation))
        kept = dataclasses.replace(worker, extra=before.extra, cordoned=before.cordoned)
        worker = kept.stamped(before.rev, before.tx)
    else:
        living = predecessor(snapshot, worker.id)
        if living is not None:
            change.expect_absent(layout.incarnation_key(living))
    change.put(layout.worker_key(worker.id), worker)
    change.put(layout.incarnation_key(incarnation.id), incarnation)
    change.expect_absent(layout.incarnation_key(incarnation.id))
    if one_by_one:
        passed = dataclasses.replace(door(snapshot), worker=worker.id, at=incarnation.started_at)
        change.put(layout.DOOR, passed)
    return change.transaction(f"join {worker.id} on {_one_word(worker.hostname)} as {incarnation.id}")


def enter(change: Change, incarnation: Incarnation) -> Transaction:
    """Make an incarnation live that is no worker: one ``locks run``."""
    change.expect_absent(layout.incarnation_key(incarnation.id))
    change.put(layout.incarnation_key(incarnation.id), incarnation)
    return change.transaction(f"enter {incarnation.worker} as {incarnation.id}")


def leave(
    change: Change,
    view: View,
    incarnation: Incarnation,
    endings: Iterable[tuple[Fence, Ending]],
    *,
    wall: float,
    forget: bool = False,
) -> Transaction:
    """An incarnation's last transaction: its attempts end, its locks are freed, it is gone; all or nothing.

    Only after the supervisor reported that no task process is left. ``forget`` removes the worker's
    registration too. A claim that is not in force any more is left out: its result is stale.
    """
    key = layout.incarnation_key(incarnation.id)
    change.expect_present(key)
    for fence, ending in endings:
        task = view.tasks.get(fence.task)
        if task is not None and task.held_under(fence):
            tasks.write_task(change, end_attempt(task, ending, wall=wall))
    for lock in view.locks.values():
        if lock.incarnation == incarnation.id:
            change.put(layout.lock_key(lock.name), lock.free(mark_in(change)))
    if forget and load_worker(view.snapshot, incarnation.worker) is not None:
        change.delete(layout.worker_key(incarnation.worker))
    change.delete(key)
    return change.transaction(f"leave {incarnation.worker} ({incarnation.id})")


def cordon(
    change: Change, snapshot: Snapshot, worker_id: str, *, cordoned: bool
) -> tuple[Transaction | None, Worker]:
    """Let a worker take nothing new, through restarts, or take tasks again. Raises `NotFound` and `Conflict`.

    An order to drain that was not carried out yet is lifted with the cordon.
    """
    worker = _existing(snapshot, worker_id)
    after = dataclasses.replace(worker, cordoned=cordoned)
    if not cordoned:
        after = dataclasses.replace(after, drain=None, drain_deadline=0.0)
    if after == worker:
        return None, worker
    after = dataclasses.replace(after, mark=0)  # somebody counts on it: it is kept anew
    change.put(layout.worker_key(worker_id), after)
    return change.transaction(f"{'cordon' if cordoned else 'uncordon'} {worker_id}"), after


def drain(
    change: Change, snapshot: Snapshot, worker_id: str, *, deadline: float = 0.0
) -> tuple[Transaction | None, Worker]:
    """Cordon a worker, and ask the incarnation that speaks for it to end its work and leave.

    What still runs after ``deadline`` seconds (by that incarnation's clock; 0 for never) is handed back.
    Raises `NotFound` and `Conflict`.
    """
    worker = _existing(snapshot, worker_id)
    living = predecessor(snapshot, worker_id)
    after = dataclasses.replace(
        worker, cordoned=True, drain=living, drain_deadline=0.0 if living is None else deadline
    )
    if after == worker:
        return None, worker
    change.put(layout.worker_key(worker_id), after)
    by = f" within {deadline:g} s" if after.drain_deadline else ""
    return change.transaction(f"drain {worker_id}{by}"), after


def _existing(snapshot: Snapshot, worker_id: str) -> Worker:
    worker = load_worker(snapshot, worker_id)
    if worker is not None:
        return worker
    if snapshot.version(layout.worker_key(worker_id)) is ABSENT:
        raise NotFound(f"there is no worker {worker_id!r}; `sentinel workers list` shows all")
    raise Conflict(f"the record of worker {worker_id} cannot be read; `sentinel doctor` tells why")


def remove(change: Change, snapshot: Snapshot, worker_id: str) -> Transaction:
    """Forget a worker that is not live. Raises `NotFound` and `Conflict`."""
    worker = load_worker(snapshot, worker_id)
    key = layout.worker_key(worker_id)
    if worker is None and not change.holds(key):
        raise NotFound(f"there is no worker {worker_id!r}; `sentinel workers list` shows all")
    living = predecessor(snapshot, worker_id)
    if living is not None:
        host = f" on {worker.hostname}" if worker is not None else ""
        raise Conflict(
            f"worker {worker_id} is live{host} (incarnation {living}); "
            "stop it first, or wait until it was failed over"
        )
    if worker is not None:
        change.expect_absent(layout.incarnation_key(worker.incarnation))
    forget(change, snapshot, [worker_id])
    return change.transaction(f"remove worker {worker_id}")


def forget(change: Change, snapshot: Snapshot, worker_ids: Iterable[str]) -> None:
    """Have all that is kept under these names go, with what they counted told by all forgotten ones together.

    None of them is live: the caller expects that.
    """
    names = list(worker_ids)
    for name in names:
        for key in (layout.worker_key(name), layout.assignment_key(name)):
            if change.holds(key):
                change.delete(key)
    fold(change, snapshot, names)


def _one_word(text: str) -> str:
    return "".join(text.split())[:80] or "an unnamed host"
