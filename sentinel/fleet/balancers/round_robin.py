"""``round_robin``: one worker after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sentinel.fleet.balancers.port import Candidate
from sentinel.model.task import Task


def round_robin(
    task: Task,  # noqa: ARG001 - whose turn it is does not depend on the task
    workers: Sequence[Candidate],
    options: Mapping[str, Any],
) -> Candidate:
    """Nobody gets another task while somebody with a free slot has fewer; within a round in order of id.

    A round begins with the worker at ``startIndex``, and further on by one for each task that the fleet
    has served. What a worker has in hand is what counts its turns, and not a counter: so a peer that looks
    when half of a batch has been claimed still finds the other half where everybody else does.
    """
    start = options.get("startIndex", 0)

    def turn(worker: Candidate) -> tuple[int, int]:
        return (worker.active, (worker.place - start - worker.fleet_served) % worker.fleet_size)

    return min(workers, key=turn)
