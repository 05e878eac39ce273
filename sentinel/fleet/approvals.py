"""Approving a task that waits for it: one transaction, on exactly the specification that was looked at."""

from __future__ import annotations

from sentinel.errors import BadInput, Conflict
from sentinel.fleet.tasks import existing, write_task
from sentinel.model import approval as model
from sentinel.model.origin import spec_hash
from sentinel.model.task import Task
from sentinel.store.base import Snapshot, Transaction
from sentinel.store.transact import Change

#: Fewest characters of a hash that name a specification. Whoever wrote it may have looked for two texts whose
#: hashes begin alike: for twelve digits that takes seconds, for so many nobody can.
MIN_HASH = 32
_HEXADECIMAL = frozenset("0123456789abcdef")


def check_hash(text: str) -> str:
    """``text`` as the beginning of a hash, in lower case. Raises `BadInput`."""
    text = text.lower()
    if not MIN_HASH <= len(text) <= 64 or not _HEXADECIMAL.issuperset(text):
        raise BadInput(
            f"{text[:80]!a} is no hash of a specification: give its first {MIN_HASH} to 64 hexadecimal digits"
        )
    return text


def approve(
    change: Change,
    snapshot: Snapshot,
    task_id: str,
    *,
    by: str,
    wall: float,
    by_id: int | None = None,
    spec: str | None = None,
    note: str | None = None,
) -> tuple[Transaction | None, Task]:
    """Let a task run that waits for an approval; None when it has one already.

    ``spec`` is the beginning of the hash that was looked at; without it, whatever stands there is approved.
    Raises `NotFound`, `Conflict` when the task waits for none or is another than ``spec``, and `BadInput`.
    """
    task = existing(snapshot, task_id)
    found = spec_hash(task)
    if spec is not None and not found.startswith(check_hash(spec)):
        raise Conflict(
            f"task {task_id} is not what was to be approved: its hash begins with {found[:12]}, not with "
            f"{spec[:12]}; look at it again"
        )
    if task.state == "pending":
        return None, task
    if task.state != "awaiting_approval":
        raise Conflict(f"task {task_id} is {task.state} and waits for no approval")
    approved = model.approve(task, by=by, by_id=by_id, wall=wall, note=note)
    write_task(change, approved)
    return change.transaction(f"approve {task_id} ({found[:12]}) by {by}"), approved
