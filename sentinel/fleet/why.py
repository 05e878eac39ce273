"""Why a task is where it is: one sentence, the first obstacle in the order in which peers meet them.

For people. Backoff and liveness are judged by wall clocks here, which no decision may do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

from sentinel.clock import from_rfc3339, rfc3339
from sentinel.errors import BadRecord
from sentinel.fleet import balancers
from sentinel.fleet.balancers import Candidate
from sentinel.fleet.board import worker_rows
from sentinel.fleet.candidates import candidates, ready
from sentinel.fleet.dependencies import failed_dependency, waiting_for
from sentinel.fleet.observer import Observer
from sentinel.fleet.submission import nearest
from sentinel.fleet.view import View
from sentinel.model.origin import spec_hash
from sentinel.model.task import ALONE_AFTER, Task
from sentinel.store.base import Register

Code = Literal[
    "ended",
    "awaiting_approval",
    "running",
    "owner_gone",
    "cancelling",
    "dependency_ended",
    "blocked",
    "backoff",
    "no_live_worker",
    "no_capable_worker",
    "no_free_slot",
    "alone",
    "queued",
    "assigned",
]

#: Ids named in one sentence before it says how many more there are.
_NAMED = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Reason:
    """Why a task is where it is."""

    code: Code
    #: A sentence for people, without a full stop.
    text: str


def why(
    task: Task,
    view: View,
    registers: Mapping[str, Register],
    *,
    wall: float,
    strategy: str = "least_loaded",
) -> Reason:
    """The one reason why ``task`` does not run, or where it does, or how it ended."""
    if task.ended:
        return _ended(task)
    if task.state == "running":
        return _running(task, view)
    if task.state == "awaiting_approval":
        return _unapproved(task)
    failed = failed_dependency(task, view.task)
    if failed is not None:
        return Reason(
            "dependency_ended",
            f"{failed.id}, which it was to run after, is {failed.state}; the next peer that looks cancels it",
        )
    waiting = waiting_for(task, view.task)
    if waiting:
        return Reason("blocked", f"blocked by {_named([_with_state(name, view) for name in waiting])}")
    over = backoff_until(task)
    if over > wall:
        cause = task.error["message"] if task.error and "message" in task.error else "an error"
        return Reason("backoff", f"backoff until {rfc3339(over)} after attempt {task.attempt}: {cause}")
    return _without_worker(task, view, registers, wall=wall, strategy=strategy)


def backoff_until(task: Task) -> float:
    """Wall time in seconds when a backoff that began with the last event is over; zero without one."""
    if not task.backoff or not task.history:
        return 0.0
    try:
        return from_rfc3339(task.history[-1].at) + task.backoff
    except ValueError:
        return 0.0


def _ended(task: Task) -> Reason:
    by = f" by {task.owner}" if task.owner else ""
    when = f" at {task.finished_at}" if task.finished_at else ""
    because = f" because {task.reason}" if task.reason else ""
    return Reason("ended", f"ended as {task.state}{by}{when}{because}")


def _unapproved(task: Task) -> Reason:
    asked = [event.note for event in task.history if event.event in ("approval_needed", "approval_void")]
    because = f": {asked[-1]}" if asked and asked[-1] else ""
    text = f"it waits for an approval of {spec_hash(task)[:12]}{because}; `sentinel tasks approve` gives it"
    return Reason("awaiting_approval", text)


def _running(task: Task, view: View) -> Reason:
    if not view.live(task.incarnation or ""):
        text = f"its worker {task.owner} is gone; the next peer that looks frees it"
        return Reason("owner_gone", text)
    if task.cancel_requested is not None:
        text = f"{task.owner} was asked to cancel it: {task.cancel_requested}"
        return Reason("cancelling", text)
    text = f"it runs on {task.owner} since {task.started_at}, attempt {task.attempt}, epoch {task.epoch}"
    return Reason("running", text)


def _without_worker(
    task: Task, view: View, registers: Mapping[str, Register], *, wall: float, strategy: str
) -> Reason:
    beating = {row.id for row in worker_rows(view, registers, wall) if row.status in ("online", "busy")}
    able = [found for found in candidates(view, registers, Observer()) if found.id in beating]
    if not able:
        text = "no live worker takes tasks; `sentinel worker start` starts one"
        return Reason("no_live_worker", text)
    capable = [worker for worker in able if task.type in worker.types]
    if not capable:
        near = nearest(task.type, {name for worker in able for name in worker.types})
        hint = f"; the nearest type that one runs is {near}" if near else ""
        return Reason("no_capable_worker", f"no worker runs the type {task.type}{hint}")
    assigned = balancers.assign(_ready(view, wall), able, balancers.find(strategy))
    if task.id in assigned:
        return Reason("assigned", f"assigned to {assigned[task.id]} and not claimed yet")
    names = _named([worker.id for worker in capable])
    if task.alone and not any(worker.active == 0 for worker in capable):
        text = (
            f"waits to run alone, because {task.losses} workers were lost while running it "
            f"({ALONE_AFTER} are enough); none of {names} is idle"
        )
        return Reason("alone", text)
    if not any(worker.free for worker in capable):
        return Reason("no_free_slot", f"all {_slots(capable)} slots of {names} are taken")
    return Reason("queued", f"more urgent or older tasks come first on {names}")


def _ready(view: View, wall: float) -> list[Task]:
    def waited(other: Task) -> float:
        return float("inf") if backoff_until(other) <= wall else 0.0

    return ready(view, waited)


def _slots(workers: Sequence[Candidate]) -> int:
    return sum(worker.max_tasks for worker in workers)


def _with_state(task_id: str, view: View) -> str:
    try:
        found = view.task(task_id)
    except BadRecord:
        return f"{task_id} (unreadable)"
    return f"{task_id} ({'missing' if found is None else found.state})"


def _named(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    shown = ", ".join(names[:_NAMED])
    return f"{shown} and {more} more" if more > 0 else shown
