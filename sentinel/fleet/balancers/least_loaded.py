"""``least_loaded``: the worker with the least to do."""

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
    """The lowest load, then the most free slots, then the lowest id.

    The load is `Candidate.score`: its tasks against its slots and its CPU against all of its CPU, or the
    plain score when ``considerCapacity`` is false.
    """
    by_capacity = options.get("considerCapacity", True)

    def load(worker: Candidate) -> tuple[float, int, str]:
        score = worker.score
        if by_capacity:
            score = (worker.active * 2 + worker.queue) / worker.max_tasks + worker.cpu_percent / 100
        return (score, -worker.free, worker.id)

    return min(workers, key=load)
