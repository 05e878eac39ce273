"""``least_loaded``: the worker with the smallest share of its slots in use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sentinel.fleet.balancers.port import Candidate
from sentinel.model.task import Task


def least_loaded(
    task: Task,  # noqa: ARG001 - every strategy is given the task; this one looks at loads alone
    workers: Sequence[Candidate],
    options: Mapping[str, Any],
) -> Candidate:
    """Fewest active tasks, against capacity unless ``considerCapacity`` is false; then the lowest id."""
    by_capacity = options.get("considerCapacity", True)

    def load(worker: Candidate) -> tuple[float, int, str]:
        share = worker.active / worker.max_tasks if by_capacity else float(worker.active)
        return (share, -worker.free, worker.id)

    return min(workers, key=load)
