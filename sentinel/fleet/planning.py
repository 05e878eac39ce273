"""What a coordinator means for whom: pure functions of the snapshot, over the same balancers as ever."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sentinel.fleet.balancers import Balancer, Candidate, assign
from sentinel.model.task import Task


def plan(
    waiting: Sequence[Task],
    workers: Sequence[Candidate],
    meant: Mapping[str, str],
    balancer: Balancer,
    options: Mapping[str, Any],
) -> dict[str, str]:
    """Task id → worker id for tasks that are not ``meant`` for anybody yet.

    Free slots first; then as much again ahead for each worker as it has slots, so that one whose task has
    ended need not wait for its coordinator to look.
    """
    left = [task for task in waiting if task.id not in meant]
    load = Counter(meant.values())
    now = assign(left, [_loaded(worker, load[worker.id]) for worker in workers], balancer, options)
    load.update(now.values())
    left = [task for task in left if task.id not in now and not task.alone]
    ahead = [
        dataclasses.replace(_loaded(worker, load[worker.id]), max_tasks=2 * worker.max_tasks)
        for worker in workers
    ]
    return now | assign(left, ahead, balancer, options)


def rebalance(
    waiting: Sequence[Task],
    workers: Sequence[Candidate],
    meant: Mapping[str, str],
    balancer: Balancer,
    options: Mapping[str, Any],
) -> dict[str, str]:
    """Task id → another worker id: what waits for an overloaded worker goes to idle ones.

    Overloaded is who has more meant for it than it has slots free; idle who has slots free beyond that. Only
    what was not begun moves, and no more of it than is too much, the least urgent tasks.
    """
    load = Counter(meant.values())
    free = {worker.id: worker.free for worker in workers}
    surplus = {worker: load[worker] - free.get(worker, 0) for worker in load}
    movable: list[Task] = []
    for task in sorted(waiting, key=lambda task: task.rank, reverse=True):
        worker = meant.get(task.id)
        if worker is not None and surplus[worker] > 0 and not task.alone:
            surplus[worker] -= 1
            movable.append(task)
    idle = [_loaded(worker, load[worker.id]) for worker in workers if worker.free > load[worker.id]]
    return assign(movable, idle, balancer, options)


def _loaded(worker: Candidate, more: int) -> Candidate:
    return dataclasses.replace(worker, active=worker.active + more, queue=max(0, worker.queue - more))


def kept(meant: Mapping[str, str], waiting: Iterable[Task], workers: Iterable[Candidate]) -> dict[str, str]:
    """What of ``meant`` still stands: for tasks that are ready, and workers that take tasks."""
    ready, able = {task.id for task in waiting}, {worker.id for worker in workers}
    return {task: worker for task, worker in meant.items() if task in ready and worker in able}
