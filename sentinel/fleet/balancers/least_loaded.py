"""``least_loaded``: the worker with the smallest share of its slots in use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sentinel.fleet.balancers.port import Candidate
from sentinel.model.task import Task


def least_loaded(task: Task, workers: Sequence[Candidate], options: Mapping[str, Any]) -> Candidate:  # noqa: ARG001 - the task plays no part
    """Fewest active tasks, counted against capacity unless ``considerCapacity`` is false; then the lowest id."""
    by_capacity = options.get("considerCapacity", True)

    def load(worker: Candidate) -> tuple[float, int, str]:
        share = worker.active / worker.max_tasks if by_capacity else float(worker.active)
        return (share, -worker.free, worker.id)

    return min(workers, key=load)
