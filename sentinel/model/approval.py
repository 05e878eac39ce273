"""Transitions of a task that needs an approval: asked for, given, and void when the task is changed.

Pure like those in `sentinel.model.task`. An approval is bound to the specification by its hash, so these only
move the task between waiting for one and waiting for a worker; no order of them lets other bytes run than
those that were approved, and `sentinel.model.task.Task.load` refuses a record that says otherwise.
"""

from __future__ import annotations

import dataclasses

from sentinel.clock import rfc3339
from sentinel.model.origin import SPEC, Approval, Source, spec_hash
from sentinel.model.task import ENDED, WAITING, Task, next_run, submit, with_event


def take_in(task: Task, source: Source, *, wall: float, why: str | None = None) -> Task:
    """The first record of a task from outside: it waits for an approval, and ``why`` says what for."""
    task = dataclasses.replace(submit(task, wall=wall), source=source, state="awaiting_approval")
    return task if why is None else with_event(task, "approval_needed", wall, note=why)


def refuse(task: Task, *, wall: float, why: str) -> Task:
    """Somebody who may not wanted to approve it: nothing changes, and people find it in the history."""
    if task.history and task.history[-1].note == why:
        return task
    return with_event(task, "approval_needed", wall, note=why)


def approve(task: Task, *, by: str, by_id: int | None, wall: float, note: str | None = None) -> Task:
    """Somebody who may approves the task exactly as it stands. Raises `ValueError` when it waits for none."""
    if task.state != "awaiting_approval":
        raise ValueError(f"task {task.id} is {task.state} and waits for no approval")
    approval = Approval(spec=spec_hash(task), by=by, by_id=by_id, at=rfc3339(wall))
    task = dataclasses.replace(task, approval=approval, state="pending", reason=None)
    said = f"{by} approved {approval.spec[:12]}"
    return with_event(task, "approved", wall, note=f"{said}: {note}" if note else said)


def respecify(task: Task, wanted: Task, *, wall: float, why: str) -> Task:
    """What the task is to do was changed at its source, so that no approval is in force any more.

    It waits for another; if the old specification was ever executed, in a run of its own, for a run and its
    idempotency key stand for one thing. Raises `ValueError` for a task that runs, which goes on as it was
    approved, and for one that was not made from a source.
    """
    if task.source is None or task.state not in WAITING | ENDED:
        raise ValueError(f"task {task.id} is {task.state} and cannot be changed from outside")
    specified = {name: getattr(wanted, name) for name in SPEC}
    changed = with_event(dataclasses.replace(task, **specified), "approval_void", wall, note=why)
    if task.ended or task.attempt:
        return with_event(next_run(changed), "retried", wall, note=why)
    return dataclasses.replace(
        changed, state="awaiting_approval", retries_left=changed.retries, backoff=0.0, reason=None
    )
