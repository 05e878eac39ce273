"""Rows for people and scripts: workers and tasks as `interface.md` names their fields.

What is shown here decides nothing: ``stale`` compares a sender's clock with ours, which no decision may do.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

from sentinel.clock import from_rfc3339
from sentinel.errors import BadRecord
from sentinel.fleet.dependencies import public_state
from sentinel.fleet.hints import hints
from sentinel.fleet.view import View
from sentinel.model import layout
from sentinel.model.codec import Document
from sentinel.model.lock import Lock
from sentinel.model.origin import spec_hash
from sentinel.model.task import Task
from sentinel.model.worker import Session, Worker
from sentinel.store.base import Register

WorkerStatus = Literal["online", "busy", "draining", "cordoned", "stale", "offline", "error"]

#: A beat that claims to be sent this many seconds from now is no clock that is a little off.
FUTURE_LIMIT = 86_400.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """One worker as people see it; the fields of ``workers list -o json``."""

    id: str
    incarnation: str | None = None
    hostname: str | None = None
    region: str | None = None
    environment: str | None = None
    role: str | None = None
    status: WorkerStatus
    types: tuple[str, ...] = ()
    #: Types that it is to take and has no code for.
    unimplemented: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    #: Tasks that it owns, by the task records.
    active_tasks: int = 0
    max_tasks: int = 0
    #: Share of its slots in use, 0 to 1.
    load: float = 0.0
    #: What balancers compare: twice the active tasks, those that wait for it alone, a tenth of the CPU
    #: percent.
    load_score: float = 0.0
    #: Whether a person wants it to take nothing new, whatever its status.
    cordoned: bool = False
    cpu_cores: int = 0
    memory_mb: int = 0
    #: When its last beat was sent, by its own clock; None when there was none.
    last_heartbeat: str | None = None
    version: str | None = None
    endpoint: str | None = None
    #: Why the status is ``error``.
    problem: str | None = None

    def document(self) -> Document:
        """The row as JSON."""
        row = dataclasses.asdict(self)
        lists = ("types", "unimplemented", "capabilities")
        return {**row, **{name: list(row[name]) for name in lists}}


def worker_rows(view: View, registers: Mapping[str, Register], wall: float) -> list[WorkerRow]:
    """One row a registered worker, its current incarnation, sorted by id; unreadable ones have ``error``."""
    owned = Counter(task.incarnation for task in view.running.values())
    meant = Counter(hints(view).values())
    rows = [
        _row(view, worker, registers.get(layout.session_register(worker.incarnation)), owned, meant, wall)
        for worker in view.workers.values()
    ]
    for problem in view.problems:
        if problem.key.startswith(layout.WORKERS):
            name = problem.key[len(layout.WORKERS) :]
            rows.append(WorkerRow(id=name, status="error", problem=str(problem)))
    return sorted(rows, key=lambda row: row.id)


def _row(
    view: View,
    worker: Worker,
    register: Register | None,
    owned: Mapping[str | None, int],
    meant: Mapping[str, int],
    wall: float,
) -> WorkerRow:
    active = owned[worker.incarnation]
    row = WorkerRow(
        id=worker.id,
        incarnation=worker.incarnation,
        hostname=worker.hostname,
        region=worker.region,
        environment=worker.environment,
        role=worker.role,
        status="offline",
        types=worker.types,
        unimplemented=worker.unimplemented,
        capabilities=worker.capabilities,
        active_tasks=active,
        max_tasks=worker.max_tasks,
        load=round(active / worker.max_tasks, 3) if worker.max_tasks else 0.0,
        load_score=float(active * 2 + meant[worker.id]),
        cordoned=worker.cordoned,
        cpu_cores=worker.cpu_cores,
        memory_mb=worker.memory_mb,
        version=worker.version or None,
        endpoint=worker.endpoint,
    )
    if not view.live(worker.incarnation):
        return row
    try:
        session = read_session(worker.incarnation, register)
    except BadRecord as problem:
        return dataclasses.replace(row, status="error", problem=str(problem))
    incarnation = view.incarnations.get(worker.incarnation)
    if incarnation is None:
        reason = f"{layout.incarnation_key(worker.incarnation)} cannot be read"
        return dataclasses.replace(row, status="error", problem=reason)
    sent_at, ttl = incarnation.started_at, incarnation.ttl
    if session is not None:
        sent_at, ttl = session.sent_at, max(ttl, session.ttl)
        score = row.load_score + session.cpu_percent / 10
        row = dataclasses.replace(row, last_heartbeat=sent_at, load_score=score)
    try:
        age = wall - from_rfc3339(sent_at)
    except (ValueError, OverflowError):
        return dataclasses.replace(row, status="error", problem=f"{sent_at[:40]!r} is not a time")
    if age < -FUTURE_LIMIT:
        return dataclasses.replace(row, status="error", problem=f"its last beat is dated {sent_at}")
    return dataclasses.replace(row, status=_status(session, age, ttl, active, worker))


def _status(session: Session | None, age: float, ttl: float, active: int, worker: Worker) -> WorkerStatus:
    if age >= ttl or (session is not None and session.sealed_by is not None):
        return "stale"
    if session is not None and session.status == "draining":
        return "draining"
    if worker.cordoned:
        return "cordoned"
    return "busy" if active >= worker.max_tasks else "online"


def read_session(incarnation: str, register: Register | None) -> Session | None:
    """The session of ``incarnation``, None before its first beat. Raises `BadRecord`."""
    if register is None:
        return None
    name = layout.session_register(incarnation)
    if register.document is None:
        raise BadRecord(f"session of {incarnation}", register.problem or "it cannot be read")
    session = Session.load(name, register.document)
    if session.incarnation != incarnation:
        raise BadRecord(f"session of {incarnation}", f"it says it is {session.incarnation[:40]!r}'s")
    return session


def bad_sessions(view: View, registers: Mapping[str, Register]) -> list[BadRecord]:
    """What is wrong with the sessions of live incarnations, for `doctor`."""
    problems = []
    for incarnation in view.incarnations:
        try:
            read_session(incarnation, registers.get(layout.session_register(incarnation)))
        except BadRecord as problem:
            problems.append(problem)
    return problems


def state_of(task: Task, view: View) -> str:
    """The state that people see."""
    return public_state(task, view.task)


def task_row(task: Task, view: View, *, result: Any = ...) -> Document:
    """The fields of ``tasks list -o json``. ``result`` stands in for one that is kept as a blob."""
    return {
        "id": task.id,
        "type": task.type,
        "args": dict(task.args),
        "positional": list(task.positional),
        "state": state_of(task, view),
        "run": task.run,
        "reason": task.reason,
        "priority": task.priority,
        "attempt": task.attempt,
        "epoch": task.epoch,
        "owner": task.owner,
        "incarnation": task.incarnation,
        "created_at": task.created_at,
        "started_at": task.started_at,
        "finished_at": task.finished_at,
        "result": task.result if result is ... else result,
        "error": None if task.error is None else dict(task.error),
        "exit_code": task.exit_code,
        "retries_left": task.retries_left,
        "losses": task.losses,
        "timeout": task.timeout,
        "retries": task.retries,
        "after": list(task.after),
        "affinity": dict(task.affinity),
        "causes": dict(task.causes),
        "cancel_requested": task.cancel_requested,
        "submitted_by": task.submitted_by,
        "source": None if task.source is None else task.source.document(),
        "spec": None if task.source is None else spec_hash(task),
        "approval": None if task.approval is None else task.approval.document(),
    }


def task_document(task: Task, view: View, *, result: Any = ...) -> Document:
    """The fields of ``tasks show -o json``: a row and the history."""
    history = [event.document() for event in task.history]
    return {**task_row(task, view, result=result), "history": history}


def lock_row(lock: Lock, view: View) -> Document:
    """The fields of ``locks list -o json``; ``worker`` is whose incarnation holds it, None for a ticket."""
    incarnation = view.incarnations.get(lock.incarnation) if lock.incarnation is not None else None
    kind = "ticket" if lock.ticket else "incarnation"
    return {
        "name": lock.name,
        "state": "held" if lock.held else "free",
        "kind": kind if lock.held else None,
        "holder": lock.holder,
        "epoch": lock.epoch,
        "ttl": lock.ttl if lock.held else None,
        "acquired_at": lock.acquired_at,
        "renewed_at": lock.renewed_at,
        "worker": incarnation.worker if incarnation is not None else None,
        "incarnation": lock.incarnation,
    }
