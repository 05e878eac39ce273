"""What is wrong with a fleet: conditions that hold now, by limits. Pure functions of its numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Literal

from sentinel.fleet.metrics import RECENT, Metrics, WorkerMetrics
from sentinel.model.codec import Document

Severity = Literal["critical", "warning"]
Verdict = Literal["healthy", "degraded", "down"]

#: So many runs must have ended before a rate of failure says anything.
_ENOUGH = 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """From where on a number is a condition; shares are 0 to 1."""

    #: Share of slots in use above which the fleet is too busy.
    utilization: float = 0.90
    #: Share of expected workers below which too few are healthy.
    healthy: float = 0.75
    #: Waiting tasks above which the queue is too long.
    queue: int = 100
    #: Share of recent runs above which too many fail.
    failures: float = 0.05


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Something that is wrong now."""

    #: Stable name: ``no_workers``, ``worker_failure``, ``workers_unhealthy``, ``high_utilization``,
    #: ``queue_backlog``, ``failure_rate`` or ``unreadable_records``.
    code: str
    severity: Severity
    #: The worker that it is about, or None for the whole fleet.
    subject: str | None = None
    message: str
    value: float
    limit: float

    @property
    def key(self) -> str:
        """Tells this condition from all others that may hold at the same time."""
        return self.code if self.subject is None else f"{self.code}:{self.subject}"

    def document(self) -> Document:
        """The condition as JSON."""
        return dataclasses.asdict(self)


def conditions(metrics: Metrics, limits: Limits) -> list[Condition]:
    """Everything that is wrong, the critical first."""
    found = [*_workers(metrics, limits), *_load(metrics, limits)]
    return sorted(found, key=lambda condition: (condition.severity != "critical", condition.key))


def verdict(metrics: Metrics, found: Sequence[Condition]) -> Verdict:
    """``down`` when no worker beats, ``degraded`` while something critical holds; a busy fleet is healthy."""
    if not metrics.healthy:
        return "down"
    critical = any(condition.severity == "critical" for condition in found)
    return "degraded" if critical else "healthy"


def _workers(metrics: Metrics, limits: Limits) -> Iterator[Condition]:
    expected, healthy = len(metrics.expected), len(metrics.healthy)
    if healthy == 0:
        yield Condition(
            code="no_workers",
            severity="critical",
            message="no worker beats; start one with `sentinel worker start`",
            value=0,
            limit=1,
        )
    for worker in metrics.expected:
        if not worker.healthy:
            silent = worker.seconds_since_heartbeat
            yield Condition(
                code="worker_failure",
                severity="critical",
                subject=worker.id,
                message=f"worker {worker.id} {_what(worker)}",
                value=0.0 if silent is None else silent,
                limit=0,
            )
    if expected and healthy < expected * limits.healthy:
        yield Condition(
            code="workers_unhealthy",
            severity="critical",
            message=f"only {healthy} of {expected} workers are healthy",
            value=round(healthy / expected, 4),
            limit=limits.healthy,
        )


def _load(metrics: Metrics, limits: Limits) -> Iterator[Condition]:
    tasks = metrics.tasks
    if metrics.utilization > limits.utilization:
        yield Condition(
            code="high_utilization",
            severity="warning",
            message=f"{metrics.utilization:.1%} of all slots are in use",
            value=round(metrics.utilization, 4),
            limit=limits.utilization,
        )
    if tasks.queue_length > limits.queue:
        yield Condition(
            code="queue_backlog",
            severity="warning",
            message=f"{tasks.queue_length} tasks wait for a worker",
            value=tasks.queue_length,
            limit=limits.queue,
        )
    rate = tasks.recent_failure_rate
    if rate is not None and tasks.recent_ended >= _ENOUGH and rate > limits.failures:
        yield Condition(
            code="failure_rate",
            severity="warning",
            message=f"{rate:.1%} of the runs that ended within {RECENT / 60:.0f} minutes failed",
            value=rate,
            limit=limits.failures,
        )
    if metrics.unreadable_records:
        yield Condition(
            code="unreadable_records",
            severity="warning",
            message=f"{metrics.unreadable_records} records cannot be read; `sentinel doctor` tells which",
            value=metrics.unreadable_records,
            limit=0,
        )


def _what(worker: WorkerMetrics) -> str:
    if worker.status == "offline":
        return "was failed over and has not come back"
    if worker.status == "stale":
        return f"is silent, last seen {worker.last_heartbeat or 'when it joined'}"
    return f"is in error ({worker.problem})"
