"""Who takes which task: a pure function of the snapshot, the same on every peer.

Each peer computes the whole assignment and claims only its own share, so identical peers mostly agree
without talking; compare-and-swap is the referee where they do not. `assign` filters first (a balancer
only ever sees workers that may take the task), then the strategy chooses among them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from sentinel.errors import BadInput
from sentinel.fleet.balancers.least_loaded import least_loaded
from sentinel.fleet.balancers.port import Candidate
from sentinel.model.task import Task

__all__ = ["Balancer", "Candidate", "assign", "find"]


class Balancer(Protocol):
    """Chooses among workers that may all take the task.

    ``workers`` is never empty and sorted by id; equal arguments must give equal answers, on any machine.
    """

    def __call__(self, task: Task, workers: Sequence[Candidate], options: Mapping[str, Any]) -> Candidate:
        """The worker that is to take ``task``: one of ``workers``."""


_STRATEGIES: Mapping[str, Balancer] = {"least_loaded": least_loaded}


def find(name: str) -> Balancer:
    """The balancer called ``name``. Raises `BadInput` when there is none."""
    if name not in _STRATEGIES:
        known = ", ".join(sorted(_STRATEGIES))
        raise BadInput(f"there is no balancer {name!r}; this version has {known}")
    return _STRATEGIES[name]


def assign(
    tasks: Iterable[Task],
    workers: Iterable[Candidate],
    balancer: Balancer,
    options: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """Task id → worker id for as many tasks as there are free slots, most urgent first.

    A task that lost many workers goes to an idle worker and takes all of it; while it waits for one, the
    worker that will be idle soonest is held free for it, so that it does not wait for ever.
    """
    slots = {worker.id: worker for worker in sorted(workers, key=lambda worker: worker.id)}
    assigned: dict[str, str] = {}
    for task in sorted(tasks, key=lambda task: task.rank):
        if not any(worker.free for worker in slots.values()):
            break
        able = [worker for worker in slots.values() if task.type in worker.types and worker.free]
        if task.alone:
            idle = [worker for worker in able if worker.active == 0]
            if not idle:
                if able:
                    held = min(able, key=lambda worker: (worker.active, worker.id))
                    slots[held.id] = held.full()
                continue
            chosen = balancer(task, idle, options or {})
            slots[chosen.id] = chosen.full()
        elif able:
            chosen = balancer(task, able, options or {})
            slots[chosen.id] = dataclasses.replace(chosen, active=chosen.active + 1)
        else:
            continue
        assigned[task.id] = chosen.id
    return assigned
