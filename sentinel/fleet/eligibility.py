"""Which workers may take a task at all, before any strategy chooses among them.

A task demands its type, and by the affinity labels ``region`` and ``capability`` a region and one or more
capabilities (separated by commas). A capability that nobody has is met by workers that have ``general``.
Where an attempt has failed the next one goes to another worker, if another may take it.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Literal, NamedTuple

from sentinel.fleet.balancers.port import GENERAL, Candidate
from sentinel.model.task import REGION, Task

CAPABILITY = "capability"
#: Labels that every balancer heeds, so that they are no mere preference.
DEMANDS = frozenset({REGION, CAPABILITY})

#: Why a worker may not take a task, in the order in which it is looked at.
Ground = Literal["type", "region", "capability", "failed_here"]


class Demand(NamedTuple):
    """What a worker must be like to take a task."""

    type: str
    region: str | None = None
    capabilities: tuple[str, ...] = ()
    #: Workers that are asked only when there is nobody else.
    avoided: frozenset[str] = frozenset()


def demand_of(task: Task, passed: AbstractSet[str] = frozenset()) -> Demand:
    """What ``task`` demands; ``passed`` are workers that had their chance and let it lie."""
    capabilities: tuple[str, ...] = ()
    if CAPABILITY in task.affinity:
        names = task.affinity[CAPABILITY].split(",")
        capabilities = tuple(name.strip() for name in names if name.strip())
    return Demand(task.type, task.affinity.get(REGION), capabilities, frozenset((*task.failed_on, *passed)))


def eligible(demand: Demand, workers: Sequence[Candidate]) -> list[Candidate]:
    """Those of ``workers`` that may take a task, in their order."""
    refused = refusals(demand, workers)
    return [worker for worker in workers if worker.id not in refused]


def refusals(demand: Demand, workers: Sequence[Candidate]) -> dict[str, Ground]:
    """The first ground on which each of ``workers`` may not take it, by id; those that may are not in it."""
    grounds: dict[str, Ground] = {}
    left = list(workers)

    def narrow(keep: list[Candidate], ground: Ground) -> list[Candidate]:
        kept = {worker.id for worker in keep}
        grounds.update({worker.id: ground for worker in left if worker.id not in kept})
        return keep

    left = narrow([worker for worker in left if demand.type in worker.types], "type")
    if demand.region is not None:
        left = narrow([worker for worker in left if worker.region == demand.region], "region")
    for capability in demand.capabilities:
        having = [worker for worker in left if worker.has(capability)]
        left = narrow(having or [worker for worker in left if GENERAL in worker.capabilities], "capability")
    if demand.avoided:
        elsewhere = [worker for worker in left if worker.id not in demand.avoided]
        left = narrow(elsewhere or left, "failed_here")
    return grounds
