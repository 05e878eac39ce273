"""Transactions on tasks: submit, claim, end, cancel, retry. Each is decided on one snapshot, as data.

Every transaction that an incarnation makes expects that incarnation's record: nothing of a dead
incarnation can ever land. A finish also expects the record of the very claim that it ends.
"""

from __future__ import annotations

import functools

from sentinel.errors import Conflict, NotFound
from sentinel.fleet.dependencies import failed_dependency
from sentinel.fleet.retention import condemned, mark_in
from sentinel.fleet.view import View, load_task
from sentinel.model import layout
from sentinel.model import task as model
from sentinel.model.codec import encode
from sentinel.model.evolve import evolve
from sentinel.model.line import one_line
from sentinel.model.origin import SPEC
from sentinel.model.task import Ending, Fence, Task
from sentinel.store.base import Snapshot, Transaction
from sentinel.store.transact import Change


def write_task(change: Change, task: Task, *, loaded: bool = False) -> None:
    """Put a task where its state belongs, and take it away from where it was; see `Change.put`."""
    here, there = layout.task_key(task.id), layout.done_key(task.id)
    mark = 0
    if task.ended:
        here, there = there, here
        mark = mark_in(change)
    if task.mark != mark:
        task = evolve(task, mark=mark)
    change.put(here, task, loaded=loaded)
    # Either folder may hold the id, never both: whoever puts it into one expects the other as it was. That an
    # active task is expected where it is says enough.
    if task.ended or not change.holds(here):
        if change.holds(there):
            change.delete(there)
        else:
            change.expect_absent(there)


def submit(
    change: Change, snapshot: Snapshot, task: Task, *, wall: float, loaded: bool = False
) -> tuple[Transaction | None, Task]:
    """A new task, or the one that was submitted before under this id with the same specification.

    ``loaded`` is what it is for `Change.put`: what `sentinel.fleet.submission.draft` makes, holds what a
    store gives back.
    Raises `Conflict` when the id stands for something else, and `NotFound` when a dependency does not exist.
    """
    existing = load_task(snapshot, task.id)
    if existing is not None:
        differing = [name for name in SPEC if _as_json(existing, name) != _as_json(task, name)]
        if differing:
            raise Conflict(
                f"task {task.id} exists already with another {', '.join(differing)}; "
                "choose another id, or retry or cancel that one"
            )
        return None, existing
    _expect_dependencies(change, snapshot, task)
    task = model.submit(task, wall=wall)
    write_task(change, task, loaded=loaded)
    return change.transaction(f"submit {task.id} ({task.type})"), task


def _expect_dependencies(change: Change, snapshot: Snapshot, task: Task) -> None:
    """Land only while all that the task is to run after is there, and stays. Raises `NotFound`."""
    for dependency in task.after:
        if load_task(snapshot, dependency) is None:
            raise NotFound(f"task {task.id} is to run after {dependency}, and there is no such task")
        done = layout.done_key(dependency)
        for key in (layout.task_key(dependency), done):
            if change.holds(key):
                change.expect(key)
        if change.holds(done):
            # It may go while nothing is to run after it: whoever decides on that has to see this task.
            change.expect(layout.RETENTION)
            if dependency in condemned(change):
                raise NotFound(f"task {task.id} is to run after {dependency}, which is being pruned")


def _as_json(task: Task, name: str) -> object:
    value = getattr(task, name)
    # Python takes 1 and true for the same value, which arguments do not.
    return encode(value) if name in ("args", "positional") else value


def claim(
    change: Change, task: Task, *, worker: str, incarnation: str, wall: float
) -> tuple[Transaction, Task]:
    """``worker`` takes ``task`` as it was read, to start it when this has landed."""
    change.expect_present(layout.incarnation_key(incarnation))
    claimed = model.claim(task, worker=worker, incarnation=incarnation, wall=wall)
    write_task(change, claimed, loaded=True)
    return change.transaction(f"claim {task.id} epoch {claimed.epoch} by {worker}"), claimed


def end(change: Change, view: View, fence: Fence, ending: Ending, *, wall: float) -> Transaction | None:
    """The owner ends its attempt, decided on the newest record; None when its claim is not in force."""
    task = view.tasks.get(fence.task)
    if task is None or not task.held_under(fence):
        return None
    change.expect_present(layout.incarnation_key(fence.incarnation))
    after = model.end_attempt(task, ending, wall=wall)
    write_task(change, after, loaded=True)
    return change.transaction(f"{_verb(after, ending)} {task.id} epoch {task.epoch} by {task.owner}")


def _verb(after: Task, ending: Ending) -> str:
    if after.state == "done":
        return "finish"
    if after.state == "pending":
        return "hand back" if ending.cause == "drained" else "requeue"
    return "cancel" if after.state == "cancelled" else "fail"


def free_orphan(change: Change, task: Task, *, wall: float, by: str) -> Transaction:
    """Free a running task whose incarnation is absent; it always counts as lost."""
    incarnation = task.incarnation or ""
    change.expect_absent(layout.incarnation_key(incarnation))
    after = model.lose(task, wall=wall, evidence=f"incarnation {incarnation[-6:]} is gone; freed by {by}")
    write_task(change, after)
    verb = {"pending": "free", "cancelled": "cancel"}.get(after.state, "bury")
    return change.transaction(f"{verb} {task.id} epoch {task.epoch}, lost by {task.owner}, by {by}")


def cancel(
    change: Change, snapshot: Snapshot, task_id: str, *, wall: float, reason: str
) -> tuple[Transaction | None, Task]:
    """Cancel a task that waits, or ask the owner of one that runs.

    Raises `NotFound`, and `Conflict` for one that has ended otherwise.
    """
    task = existing(snapshot, task_id)
    if task.state == "cancelled" or task.cancel_requested is not None:
        return None, task
    if task.ended:
        raise Conflict(f"task {task_id} is {task.state} already and cannot be cancelled")
    after = model.cancel(task, wall=wall, reason=reason)
    write_task(change, after)
    verb = "cancel" if after.ended else "ask to cancel"
    return change.transaction(f"{verb} {task_id} ({one_line(reason, 80)})"), after


def retry(
    change: Change, snapshot: Snapshot, task_id: str, *, wall: float, by: str
) -> tuple[Transaction, Task]:
    """A new run of an ended task, which ``by`` asks for.

    Raises `NotFound`, also for something that it is to run after and that was pruned, and `Conflict` for one
    that is done, has not ended, or is to run after one that has not ended as done: its new run would be
    cancelled at once.
    """
    task = existing(snapshot, task_id)
    if task.state == "done":
        raise Conflict(f"task {task_id} is done, and done is final; submit it under a new id")
    if not task.ended:
        raise Conflict(
            f"task {task_id} is {task.state}; only a failed, cancelled or dead task can be retried"
        )
    _expect_dependencies(change, snapshot, task)
    failed = failed_dependency(task, functools.partial(load_task, snapshot))
    if failed is not None:
        raise Conflict(
            f"task {task_id} is to run after {failed.id}, which is {failed.state}: retry that one first, "
            f"with `sentinel tasks retry {failed.id}`"
        )
    after = model.retry(task, wall=wall, note=f"by {by}")
    write_task(change, after)
    return change.transaction(f"retry {task_id} as run {after.run}"), after


def cancel_dependents(change: Change, task: Task, failed: Task, *, wall: float) -> Transaction:
    """Cancel a waiting task because one that it depends on ended without being done."""
    reason = f"{failed.id}, which it was to run after, is {failed.state}"
    change.expect(layout.done_key(failed.id))
    write_task(change, model.cancel(task, wall=wall, reason=reason))
    return change.transaction(f"cancel {task.id} ({reason})")


def existing(snapshot: Snapshot, task_id: str) -> Task:
    """The task, active or ended. Raises `NotFound`."""
    task = load_task(snapshot, task_id)
    if task is None:
        raise NotFound(f"there is no task {task_id!r}; `sentinel tasks list` shows all")
    return task
