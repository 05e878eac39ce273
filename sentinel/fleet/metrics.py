"""Numbers of the whole fleet, for people, alerts and the scaler. A pure function of what is stored.

Ages and durations compare clocks of different machines, as nothing that decides on ownership may. What was
counted comes from `sentinel.model.counts`, what tasks took from their records, for as long as those are kept.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sentinel.clock import from_rfc3339, rfc3339
from sentinel.fleet import board
from sentinel.fleet.board import WorkerRow
from sentinel.fleet.counting import all_contention, all_totals
from sentinel.fleet.view import View, load_session
from sentinel.model import layout
from sentinel.model.codec import Document
from sentinel.model.counts import Counts, Totals
from sentinel.model.task import PRIORITIES, Task
from sentinel.model.worker import Session
from sentinel.store.base import Register

#: Statuses of workers that do their part.
HEALTHY = frozenset({"online", "busy", "draining", "cordoned"})
#: Seconds that count as recent.
RECENT = 900.0
#: States that are named even when no task is in them.
_STATES = ("pending", "blocked", "running", "done", "failed", "cancelled", "dead")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WorkerMetrics:
    """One worker in numbers."""

    id: str
    status: str
    healthy: bool
    #: False for one that left of its own accord: nobody misses it.
    expected: bool
    region: str | None
    role: str | None
    active_tasks: int
    max_tasks: int
    utilization: float
    last_heartbeat: str | None
    seconds_since_heartbeat: float | None
    uptime_seconds: float | None
    #: Incarnations so far, the live one included, and how many of them were failed over.
    starts: int
    crashes: int
    claimed: int
    lost_claims: int
    stale_results: int
    #: Others that it failed over.
    failovers: int
    locks_held: int
    #: Runs that it ended, among those whose records are kept.
    tasks_done: int
    tasks_failed: int
    success_rate: float | None
    mean_run_seconds: float | None
    #: By its last beat, in percent of its machine; None while it does not beat.
    cpu_percent: float | None
    memory_percent: float | None
    disk_percent: float | None
    #: Network connections of it and its tasks, by its last beat.
    connections: int | None
    #: Whether a person wants it to take nothing new, whatever its status.
    cordoned: bool
    problem: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TaskMetrics:
    """Tasks in numbers: those that are active, and those that ended and are kept."""

    by_state: Mapping[str, int]
    #: Pending tasks, without those that wait for others.
    queue_length: int
    queue_by_priority: Mapping[str, int]
    oldest_waiting_seconds: float | None
    success_rate: float | None
    mean_run_seconds: float | None
    #: From the submission to the end.
    mean_response_seconds: float | None
    #: The same for what ended within `RECENT` seconds.
    recent_ended: int
    recent_failure_rate: float | None
    recent_response_seconds: float | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LockMetrics:
    """One named lock in numbers."""

    name: str
    held: bool
    holder: str | None
    acquisitions: int
    conflicts: int
    refused: int

    @property
    def rate(self) -> float:
        """The share of all attempts that met a holder."""
        return share(self.conflicts, self.acquisitions + self.refused) or 0.0

    def document(self) -> Document:
        """The numbers as JSON."""
        return {**dataclasses.asdict(self), "conflict_rate": self.rate}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """The fleet in numbers."""

    timestamp: str
    workers: tuple[WorkerMetrics, ...]
    tasks: TaskMetrics
    locks: tuple[LockMetrics, ...]
    #: What all workers did, ended incarnations and forgotten workers included.
    counts: Counts
    #: Incarnations that were failed over.
    failovers: int
    unreadable_records: int

    @property
    def expected(self) -> list[WorkerMetrics]:
        """Workers that ought to be there."""
        return [worker for worker in self.workers if worker.expected]

    @property
    def healthy(self) -> list[WorkerMetrics]:
        """Workers that do their part."""
        return [worker for worker in self.workers if worker.healthy]

    @property
    def capacity(self) -> int:
        """Slots of all healthy workers."""
        return sum(worker.max_tasks for worker in self.healthy)

    @property
    def used(self) -> int:
        """Slots of healthy workers that are in use."""
        return sum(worker.active_tasks for worker in self.healthy)

    @property
    def utilization(self) -> float:
        """Share of the slots in use, 0 to 1; 0 without a slot."""
        return share(self.used, self.capacity) or 0.0

    def document(self) -> Document:
        """The fields of ``cluster metrics -o json``."""
        acquisitions = sum(lock.acquisitions for lock in self.locks)
        conflicts = sum(lock.conflicts for lock in self.locks)
        refused = sum(lock.refused for lock in self.locks)
        tasks = dataclasses.asdict(self.tasks)
        counts = dataclasses.asdict(self.counts)
        return {
            "timestamp": self.timestamp,
            "total_workers": len(self.workers),
            "expected_workers": len(self.expected),
            "healthy_workers": len(self.healthy),
            "total_capacity": self.capacity,
            "utilized_capacity": self.used,
            "avg_utilization": round(self.utilization, 4),
            "tasks": tasks,
            "locks": {
                "total": len(self.locks),
                "held": sum(lock.held for lock in self.locks),
                "acquisitions": acquisitions,
                "conflicts": conflicts,
                "refused": refused,
                "conflict_rate": share(conflicts, acquisitions + refused),
            },
            "claims": {
                "claimed": self.counts.claimed,
                "lost": self.counts.lost_claims,
                "conflict_rate": share(counts["lost_claims"], counts["claimed"] + counts["lost_claims"]),
            },
            "counts": counts,
            "failovers": self.failovers,
            "unreadable_records": self.unreadable_records,
            "workers": [dataclasses.asdict(worker) for worker in self.workers],
        }


def measure(view: View, ended: Sequence[Task], registers: Mapping[str, Register], wall: float) -> Metrics:
    """The fleet in numbers, as seen at ``wall`` seconds since 1970; ``ended`` are the tasks that are kept."""
    totals = all_totals(view.snapshot)
    sessions = {
        name: load_session(register, registers.get(register))
        for name in view.incarnations
        for register in [layout.session_register(name)]
    }
    counts = [record.counts for record in totals.values()]
    counts += [session.counts for session in sessions.values() if session is not None]
    rows = board.worker_rows(view, registers, wall)
    by_owner: dict[str | None, list[Task]] = {}
    for task in ended:
        by_owner.setdefault(task.owner, []).append(task)
    locks = Counter(lock.incarnation for lock in view.locks.values() if lock.incarnation)
    return Metrics(
        timestamp=rfc3339(wall),
        workers=tuple(
            _worker(
                row,
                view,
                totals.get(row.id) or Totals(worker=row.id),
                sessions.get(row.incarnation or ""),
                by_owner.get(row.id, []),
                held=locks[row.incarnation or ""],
                wall=wall,
            )
            for row in rows
        ),
        tasks=_tasks(view, ended, wall),
        locks=lock_metrics(view),
        counts=sum(counts, Counts()),
        failovers=sum(record.crashed for record in totals.values()),
        unreadable_records=len(view.problems),
    )


def lock_metrics(view: View) -> tuple[LockMetrics, ...]:
    """All named locks in numbers, by name."""
    contention = all_contention(view.snapshot)
    names = sorted(view.locks.keys() | contention.keys())
    found = []
    for name in names:
        lock, crowd = view.locks.get(name), contention.get(name)
        found.append(
            LockMetrics(
                name=name,
                held=lock is not None and lock.held,
                holder=None if lock is None else lock.holder,
                acquisitions=0 if lock is None else lock.epoch,
                conflicts=0 if crowd is None else crowd.conflicts,
                refused=0 if crowd is None else crowd.refused,
            )
        )
    return tuple(found)


def _worker(
    row: WorkerRow,
    view: View,
    totals: Totals,
    session: Session | None,
    ended: Sequence[Task],
    *,
    held: int,
    wall: float,
) -> WorkerMetrics:
    counts = totals.counts if session is None else totals.counts + session.counts
    incarnation = view.incarnations.get(row.incarnation or "")
    left = row.status == "offline" and totals.last_crash != row.incarnation
    done, failed = _done_and_failed(ended)
    return WorkerMetrics(
        id=row.id,
        status=row.status,
        healthy=row.status in HEALTHY,
        expected=not left,
        region=row.region,
        role=row.role,
        active_tasks=row.active_tasks,
        max_tasks=row.max_tasks,
        utilization=row.load,
        last_heartbeat=row.last_heartbeat,
        seconds_since_heartbeat=age(row.last_heartbeat, wall),
        uptime_seconds=None if incarnation is None else age(incarnation.started_at, wall),
        starts=totals.ended + (incarnation is not None),
        crashes=totals.crashed,
        claimed=counts.claimed,
        lost_claims=counts.lost_claims,
        stale_results=counts.stale_results,
        failovers=counts.failovers,
        locks_held=held,
        tasks_done=done,
        tasks_failed=failed,
        success_rate=share(done, done + failed),
        mean_run_seconds=_mean(_between(task.started_at, task.finished_at) for task in ended),
        cpu_percent=None if session is None else session.cpu_percent,
        memory_percent=None if session is None else session.memory_percent,
        disk_percent=None if session is None else session.disk_percent,
        connections=None if session is None else session.connections,
        cordoned=row.cordoned,
        problem=row.problem,
    )


def _tasks(view: View, ended: Sequence[Task], wall: float) -> TaskMetrics:
    states = Counter(board.state_of(task, view) for task in view.tasks.values())
    states.update(task.state for task in ended)
    waiting = [task for task in view.tasks.values() if board.state_of(task, view) == "pending"]
    priorities = Counter(task.priority for task in waiting)
    recent = [task for task in ended if (age(task.finished_at, wall) or 0.0) <= RECENT]
    done, failed = _done_and_failed(ended)
    recent_done, recent_failed = _done_and_failed(recent)
    return TaskMetrics(
        by_state={**dict.fromkeys(_STATES, 0), **states},
        queue_length=len(waiting),
        queue_by_priority={priority: priorities[priority] for priority in PRIORITIES},
        oldest_waiting_seconds=max((age(task.created_at, wall) or 0.0 for task in waiting), default=None),
        success_rate=share(done, done + failed),
        mean_run_seconds=_mean(_between(task.started_at, task.finished_at) for task in ended),
        mean_response_seconds=_mean(_response(task) for task in ended),
        recent_ended=len(recent),
        recent_failure_rate=share(recent_failed, recent_done + recent_failed),
        recent_response_seconds=_mean(_response(task) for task in recent),
    )


def _done_and_failed(tasks: Iterable[Task]) -> tuple[int, int]:
    """How many ended well, and how many failed; who cancels a task does not fail it."""
    states = Counter(task.state for task in tasks)
    return states["done"], states["failed"] + states["dead"]


def _response(task: Task) -> float | None:
    # A later run was asked for after the submission, so its time is not known.
    return _between(task.created_at, task.finished_at) if task.run == 1 else None


def _between(first: str | None, last: str | None) -> float | None:
    try:
        return None if not first or not last else max(0.0, from_rfc3339(last) - from_rfc3339(first))
    except (ValueError, OverflowError):
        return None


def age(moment: str | None, wall: float) -> float | None:
    """Seconds since ``moment`` by our clock, rounded to milliseconds; None when there is no such moment."""
    try:
        return None if not moment else round(max(0.0, wall - from_rfc3339(moment)), 3)
    except (ValueError, OverflowError):
        return None


def share(part: float, whole: float) -> float | None:
    """The part of the whole, 0 to 1, to four places; None of nothing."""
    return round(part / whole, 4) if whole else None


def _mean(numbers: Iterable[float | None]) -> float | None:
    found: list[Any] = [number for number in numbers if number is not None]
    return round(sum(found) / len(found), 3) if found else None
