"""``least_loaded``: the worker with the least to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sentinel.fleet.balancers.port import Candidate
from sentinel.fleet.balancers.rendezvous import weighted_lot
from sentinel.model.task import Task


def least_loaded(
    task: Task,
    workers: Sequence[Candidate],
    options: Mapping[str, Any],
) -> Candidate:
    """The lowest load; among equals the winner of a lot that each draws for the task, weighted by slots.

    Were it the first of them in any order, every claim and every end would make it another one, and peers
    that look a moment apart would not agree.

    The load is `Candidate.score`: its tasks against its slots and its CPU against all of its CPU, or the
    plain score when ``considerCapacity`` is false.
    """
    if len(workers) == 1:
        return workers[0]
    by_capacity = options.get("considerCapacity", True)

    def load(worker: Candidate) -> float:
        if by_capacity:
            return (worker.active * 2 + worker.queue) / worker.max_tasks + worker.cpu_percent / 100
        return worker.score

    loads = [load(worker) for worker in workers]
    lowest = min(loads)
    equals = [worker for worker, found in zip(workers, loads, strict=True) if found == lowest]
    return max(equals, key=lambda worker: weighted_lot(task.id, worker.id, worker.max_tasks))
