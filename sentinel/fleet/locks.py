"""Transactions on named locks. See `sentinel.model.lock` for the two kinds and how each ends."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

from sentinel.clock import rfc3339
from sentinel.errors import BadRecord, LockHeld, LockLost, NotFound
from sentinel.fleet.counting import count_conflict
from sentinel.fleet.observer import Observer
from sentinel.fleet.retention import mark_in
from sentinel.fleet.view import View, load_lock
from sentinel.model import layout
from sentinel.model.lock import Floor, Lock
from sentinel.store.base import ABSENT, Snapshot, Transaction
from sentinel.store.transact import Change


def expired(lock: Lock, silence: float) -> bool:
    """Whether a ticket's record was unchanged for its TTL, as the observer's own clock counts."""
    return lock.ticket and silence >= lock.ttl


def acquire(
    change: Change,
    snapshot: Snapshot,
    name: str,
    *,
    holder: str,
    incarnation: str | None,
    ttl: float,
    observer: Observer,
    wall: float,
    met: bool = False,
) -> tuple[Transaction, Lock]:
    """Take a lock that is new, free, expired, or left behind by an incarnation that is gone.

    ``met`` says that an earlier try found it held; that is counted. Raises `LockHeld`, naming the holder,
    when it is none of these, and `LockLost` when ``incarnation``, which is to hold it, is not live.
    """
    key = layout.lock_key(name)
    lock = load_lock(snapshot, name)
    if lock is None:
        try:
            lock = Lock(name=name, epoch=floor_in(snapshot).epoch)
        except BadRecord as error:
            # Starting at zero could repeat an epoch that somebody still trusts.
            raise LockHeld(f"no new lock can start: {error}") from error
        change.expect(layout.LOCK_FLOOR)
    elif lock.incarnation is not None:
        left = layout.incarnation_key(lock.incarnation)
        if snapshot.version(left) is not ABSENT:
            raise LockHeld(f"lock {name} is held by {lock.holder} at epoch {lock.epoch}")
        change.expect_absent(left)
    elif lock.held and not expired(lock, observer.silence(key, snapshot.version(key))):
        raise LockHeld(
            f"lock {name} is held by {lock.holder} at epoch {lock.epoch} until it is released or was silent "
            f"for {lock.ttl:g} s"
        )
    if incarnation is not None:
        own = layout.incarnation_key(incarnation)
        if snapshot.version(own) is ABSENT:
            raise LockLost(f"lock {name} cannot be taken: the session {incarnation} is not live any more")
        change.expect_present(own)
    taken = lock.acquire(holder=holder, incarnation=incarnation, ttl=ttl, at=rfc3339(wall))
    change.put(key, taken)
    if met:
        count_conflict(change, snapshot, name, refused=False, wall=wall)
    return change.transaction(f"acquire lock {name} epoch {taken.epoch} by {holder}"), taken


def renew(
    change: Change, snapshot: Snapshot, name: str, *, epoch: int, ttl: float | None, wall: float
) -> tuple[Transaction, Lock]:
    """Start a ticket's time anew. Raises `NotFound`, and `LockLost` when ``epoch`` holds it no more."""
    lock = existing(snapshot, name)
    if not lock.ticket or lock.epoch != epoch:
        raise LockLost(_not_held(lock, epoch))
    renewed = lock.renew(ttl=ttl if ttl is not None else lock.ttl, at=rfc3339(wall))
    change.put(layout.lock_key(name), renewed)
    return change.transaction(f"renew lock {name} epoch {epoch} by {lock.holder}"), renewed


def release(
    change: Change, snapshot: Snapshot, name: str, *, epoch: int | None, by: str
) -> tuple[Transaction | None, Lock]:
    """Free a lock held at ``epoch``, or whoever holds it when ``epoch`` is None (``--force``).

    Raises `NotFound`, and `LockLost` when ``epoch`` does not hold it any more.
    """
    lock = existing(snapshot, name)
    if epoch is not None and (not lock.held or lock.epoch != epoch):
        raise LockLost(_not_held(lock, epoch))
    if not lock.held:
        return None, lock
    freed = lock.free(mark_in(change))
    change.put(layout.lock_key(name), freed)
    verb = "release" if epoch is not None else "force the release of"
    return change.transaction(f"{verb} lock {name} epoch {lock.epoch} by {by}"), freed


def free_left_behind(
    begin: Callable[[], Change],
    view: View,
    lock: Lock,
    gone: frozenset[str],
    silence: float,
    *,
    by: str,
) -> Transaction | None:
    """Free an orphan or an expired ticket; None while the lock is rightly held.

    ``begin`` gives a new change on the view's snapshot; ``gone`` are those whose removal stands earlier
    in the same batch.
    """
    if lock.incarnation is not None and (lock.incarnation in gone or not view.live(lock.incarnation)):
        change = begin().expect_absent(layout.incarnation_key(lock.incarnation))
        why = "its holder is gone"
    elif expired(lock, silence):
        change = begin()
        why = f"silent for {lock.ttl:g} s"
    else:
        return None
    change.put(layout.lock_key(lock.name), lock.free(mark_in(change)))
    return change.transaction(f"free lock {lock.name} epoch {lock.epoch} of {lock.holder} ({why}) by {by}")


def existing(snapshot: Snapshot, name: str) -> Lock:
    """The named lock. Raises `NotFound`."""
    lock = load_lock(snapshot, name)
    if lock is None:
        raise NotFound(f"there is no lock {name!r}; `sentinel locks list` shows all")
    return lock


def _not_held(lock: Lock, epoch: int) -> str:
    if not lock.held:
        return f"lock {lock.name} is free; epoch {epoch} does not hold it"
    return f"lock {lock.name} is held by {lock.holder} at epoch {lock.epoch}, not at epoch {epoch}"


def floor_in(snapshot: Snapshot) -> Floor:
    """The epoch above which a new lock starts. Raises `BadRecord` when it cannot be read."""
    return snapshot.parsed(layout.LOCK_FLOOR, Floor.load) or Floor()


def prune(change: Change, floor: Floor, pruned: Iterable[Lock]) -> None:
    """Have the records of these free locks go, with the counts of who wanted them.

    ``floor`` is the present one and rises above all of their epochs, so that none of these ever starts again.
    """
    epoch = floor.epoch
    for lock in pruned:
        change.delete(layout.lock_key(lock.name))
        if change.holds(layout.contention_key(lock.name)):
            change.delete(layout.contention_key(lock.name))
        epoch = max(epoch, lock.epoch)
    change.put(layout.LOCK_FLOOR, dataclasses.replace(floor, epoch=epoch))
