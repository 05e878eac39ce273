"""Why a task is where it is: one sentence, the first obstacle in the order in which peers meet them.

For people. Backoff and liveness are judged by wall clocks here, which no decision may do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sentinel.clock import from_rfc3339, rfc3339
from sentinel.errors import BadRecord
from sentinel.fleet import balancers
from sentinel.fleet.balancers import Balancer
from sentinel.fleet.board import worker_rows
from sentinel.fleet.candidates import candidates, ready
from sentinel.fleet.dependencies import failed_dependency, waiting_for
from sentinel.fleet.eligibility import demand_of
from sentinel.fleet.hints import hints
from sentinel.fleet.observer import Observer
from sentinel.fleet.submission import HOW_TO_IMPLEMENT, nearest
from sentinel.fleet.verdicts import Field, Verdict
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
    "no_worker_in_region",
    "no_worker_with_capability",
    "cordoned",
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
    #: For a task that waits: what each registered worker says to it.
    workers: tuple[Verdict, ...] = ()
    #: For a task that backs off: until when, by the clock of whoever looks.
    until: str | None = None


def why(
    task: Task,
    view: View,
    registers: Mapping[str, Register],
    *,
    wall: float,
    balancer: Balancer,
    options: Mapping[str, Any] | None = None,
) -> Reason:
    """The one reason why ``task`` does not run, or where it does, or how it ended.

    ``balancer`` and ``options`` are the fleet's.
    """
    if task.ended:
        return _ended(task)
    if task.state == "running":
        return _running(task, view)
    field = _field(task, view, registers, wall)
    if task.state == "awaiting_approval":
        return _unapproved(task, field)
    failed = failed_dependency(task, view.task)
    if failed is not None:
        text = (
            f"{failed.id}, which it was to run after, is {failed.state}; the next peer that looks cancels it"
        )
        return Reason("dependency_ended", text, _all(field, "dependency", f"{failed.id} is {failed.state}"))
    waiting = waiting_for(task, view.task)
    if waiting:
        text = f"blocked by {_named([_with_state(name, view) for name in waiting])}"
        return Reason("blocked", text, _all(field, "dependency", f"the task is {text}"))
    over = backoff_until(task)
    if over > wall:
        cause = task.error["message"] if task.error and "message" in task.error else "an error"
        until = rfc3339(over)
        text = f"backoff until {until} after attempt {task.attempt}: {cause}"
        return Reason("backoff", text, _all(field, "backoff", f"the task backs off until {until}"), until)
    return _without_worker(task, view, field, wall=wall, balancer=balancer, options=options or {})


def _field(task: Task, view: View, registers: Mapping[str, Register], wall: float) -> Field:
    rows = worker_rows(view, registers, wall)
    beating = {row.id for row in rows if row.status in ("online", "busy", "cordoned")}
    able = [found for found in candidates(view, registers, Observer()) if found.id in beating]
    cordoned = [
        found for found in candidates(view, registers, Observer(), cordoned=True) if found.id in beating
    ]
    return Field(demand=demand_of(task), rows=rows, able=able, cordoned=cordoned)


def _all(field: Field, ground: str, text: str) -> tuple[Verdict, ...]:
    return tuple(field.verdicts(ground, text))


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


def _unapproved(task: Task, field: Field) -> Reason:
    asked = [event.note for event in task.history if event.event in ("approval_needed", "approval_void")]
    because = f": {asked[-1]}" if asked and asked[-1] else ""
    text = f"it waits for an approval of {spec_hash(task)[:12]}{because}; `sentinel tasks approve` gives it"
    return Reason("awaiting_approval", text, _all(field, "approval", "the task waits for an approval"))


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
    task: Task, view: View, field: Field, *, wall: float, balancer: Balancer, options: Mapping[str, Any]
) -> Reason:
    capable = field.capable
    if not capable:
        return _nobody(task, field)
    names = _named([worker.id for worker in capable])
    assigned = balancers.assign(_ready(view, wall), field.able, balancer, options)
    worker = hints(view).get(task.id) or assigned.get(task.id)
    if worker is not None:
        text = f"assigned to {worker} and not claimed yet"
        verdicts = field.verdicts("turn", f"it is the turn of {worker}", {worker: "it is to take the task"})
        return Reason("assigned", text, tuple(verdicts))
    if task.alone and not any(worker.active == 0 for worker in capable):
        text = (
            f"waits to run alone, because {task.losses} workers were lost while running it "
            f"({ALONE_AFTER} are enough); none of {names} is idle"
        )
        return Reason("alone", text, _all(field, "alone", "it is not idle, and the task has to run alone"))
    if not any(worker.free for worker in capable):
        text = f"all {sum(worker.max_tasks for worker in capable)} slots of {names} are taken"
        return Reason("no_free_slot", text, _all(field, "slots", text))
    text = f"more urgent or older tasks come first on {names}"
    return Reason("queued", text, _all(field, "queue", "more urgent or older tasks come first"))


def _nobody(task: Task, field: Field) -> Reason:
    """No worker takes tasks and is what the task demands: the first demand that leaves none."""
    grounds = set(field.refused.values())
    wanted = field.demand
    cordoned = _named([worker.id for worker in field.waiting_for_a_person])
    code: Code
    if cordoned:
        text = f"{cordoned} could run it but for a cordon; `sentinel workers uncordon` lifts it"
        code = "cordoned"
    elif not field.able and not field.cordoned:
        text = "no live worker takes tasks; `sentinel worker start` starts one"
        code = "no_live_worker"
    elif "capability" in grounds:
        text = f"no worker that runs {task.type} has the capability {' and '.join(wanted.capabilities)}"
        code = "no_worker_with_capability"
    elif "region" in grounds:
        text = f"no worker that runs {task.type} is in the region {wanted.region}"
        code = "no_worker_in_region"
    else:
        text = f"no worker runs the type {task.type}{_hint(task.type, field)}"
        code = "no_capable_worker"
    return Reason(code, text, _all(field, "type", text))


def _hint(wanted: str, field: Field) -> str:
    """What may be done about a type that nobody runs."""
    named = [row.id for row in field.rows if wanted in row.unimplemented]
    if named:
        has = "has" if len(named) == 1 else "have"
        are = "is" if len(named) == 1 else "are"
        return f"; {_named(named)} {are} to take it but {has} no code for it: {HOW_TO_IMPLEMENT}"
    near = nearest(wanted, {name for worker in field.able for name in worker.types})
    return f"; the nearest type that one runs is {near}" if near else ""


def _ready(view: View, wall: float) -> list[Task]:
    def waited(other: Task) -> float:
        return float("inf") if backoff_until(other) <= wall else 0.0

    return ready(view, waited)


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
