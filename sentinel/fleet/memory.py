"""Decisions on shared memory, each on one snapshot. See `sentinel.model.memory` for versions and expiry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sentinel.clock import rfc3339
from sentinel.errors import BadInput, BadRecord, ClaimLost, Conflict, SentinelError
from sentinel.fleet.memory_policies import Policy, Write, last_write_wins
from sentinel.fleet.view import load_task
from sentinel.model import layout
from sentinel.model.memory import ANY, MAX_KEYS, Entry, Wish, check_value
from sentinel.model.task import Fence
from sentinel.store.base import ABSENT, Snapshot, Transaction
from sentinel.store.transact import Change

#: How many entries a namespace has in a snapshot; its caller may remember.
Count = Callable[[Snapshot, str], int]


def load_entry(snapshot: Snapshot, key: str) -> Entry | None:
    """The entry at a store key, or None. Raises `BadRecord` when its record is unreadable."""
    document = snapshot.get(key)
    return None if document is None else Entry.load(key, document)


def count(snapshot: Snapshot, namespace: str) -> int:
    """How many keys a namespace has."""
    return sum(1 for _ in snapshot.list(layout.memory_folder(namespace)))


def write(
    change: Change,
    snapshot: Snapshot,
    wish: Wish,
    *,
    policy: Policy,
    wall: float,
    expired: Callable[[Entry], bool] = lambda _: False,
    counted: Count = count,
    found: str | None = None,
    waited: float = 0.0,
    limit: float = 0.0,
    over: Callable[[BadRecord], None] = lambda _: None,
) -> tuple[Transaction | None, Entry | None]:
    """Write or delete one key; the entry as it then is, or the one that was deleted (None: there was none).

    ``expired`` tells whether the caller has seen an entry unchanged for its TTL: then it is as good as gone.
    A record that cannot be read is written over, and ``over`` is told, by whoever would write over any value;
    one that was deleted is given without a value. Raises `BadRecord` when the write turns on what is there,
    `Conflict` when the version is not the expected one or the policy yields, and `BadInput` when the
    namespace is full.
    """
    key = layout.memory_key(wish.namespace, wish.key)
    unreadable = None
    try:
        there = load_entry(snapshot, key)
    except BadRecord as problem:
        if wish.expect != ANY or policy is not last_write_wins:
            raise
        there, unreadable = None, problem
        over(problem)
    stored = None if there is not None and expired(there) else there
    version = None if stored is None else stored.version
    if wish.expect not in (ANY, version):
        raise Conflict(_not_expected(wish, stored))
    value = wish.value
    if wish.expect == ANY:
        asked = Write(
            name=wish.name,
            value=wish.value,
            delete=wish.delete,
            read=wish.read,
            found=found,
            waited=waited,
            limit=limit,
        )
        value = _resolved(policy, stored, asked)
    what = "" if unreadable is None else ", which could not be read,"
    if wish.delete:
        if unreadable is not None:
            stored = Entry(namespace=wish.namespace, key=wish.key)
        if stored is None:
            return None, None
        change.delete(key)
        return change.transaction(f"delete memory {wish.name}{what} by {wish.by}"), stored
    if there is None and unreadable is None and counted(snapshot, wish.namespace) >= MAX_KEYS:
        raise BadInput(
            f"memory namespace {wish.namespace} has {MAX_KEYS} keys, which is the limit; delete some, "
            "give them a ttl, or use another namespace"
        )
    entry = Entry(
        namespace=wish.namespace,
        key=wish.key,
        value=value,
        ttl=wish.ttl,
        written_by=wish.by,
        written_at=rfc3339(wall),
        rev=0 if there is None else there.rev,
        extra={} if there is None else there.extra,
    )
    change.put(key, entry)
    transaction = change.transaction(f"set memory {wish.name}{what} by {wish.by}")
    return transaction, entry.stamped(entry.rev + 1, transaction.id)


def under(change: Change, snapshot: Snapshot, fence: Fence) -> None:
    """Let ``change`` land only while a claim is in force, and its incarnation live. Raises `ClaimLost`."""
    live = snapshot.version(layout.incarnation_key(fence.incarnation)) is not ABSENT
    task = load_task(snapshot, fence.task)
    if not live or task is None or not task.held_under(fence):
        raise ClaimLost(f"task {fence.task} is not under its claim of epoch {fence.epoch} any more")
    change.expect_present(layout.incarnation_key(fence.incarnation))
    change.expect(layout.task_key(fence.task))


def expire(change: Change, key: str, entry: Entry, *, by: str) -> Transaction:
    """Remove an entry that was seen unchanged for its TTL."""
    change.delete(key)
    return change.transaction(
        f"expire memory {entry.namespace}/{entry.key} (silent for {entry.ttl:g} s) by {by}"
    )


def _resolved(policy: Policy, stored: Entry | None, asked: Write) -> Any:
    try:
        value = policy(stored, asked)
    except SentinelError:
        raise
    except Exception as error:
        # Others share the batch, and it is somebody else's code.
        raise BadInput(
            f"the memory policy failed on {asked.name}: {type(error).__name__}: {error}"
        ) from error
    return None if asked.delete else check_value(asked.name, value)


def _not_expected(wish: Wish, stored: Entry | None) -> str:
    wanted = "no such key" if wish.expect is None else f"version {wish.expect[:40]}"
    if stored is None:
        return f"{wish.name} does not exist, and {wanted} was expected"
    return f"{wish.name} has version {stored.version} by {stored.written_by}, and {wanted} was expected"
