"""What a balancer sees of a worker, and what it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from sentinel.model.evolve import evolve
from sentinel.model.task import Task

#: The capability that stands in for one which nobody has; as a demand, every worker meets it.
GENERAL = "general"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A live worker that takes tasks, as this snapshot shows it."""

    id: str
    types: frozenset[str]
    #: Tasks that it owns, from the task records: not from its own word, which may be late.
    active: int
    max_tasks: int
    region: str | None = None
    role: str | None = None
    capabilities: frozenset[str] = frozenset()
    #: Size of its machine; 0 when it did not say.
    cpu_cores: int = 0
    memory_mb: int = 0
    #: How busy its processors are, by its own word: 0 to 100, in steps of ten.
    cpu_percent: float = 0.0
    #: Tasks that a coordinator means for it and that it has not begun.
    queue: int = 0
    #: Attempts that ended there since its incarnation began, by its own word.
    served: int = 0
    #: Its place among all candidates in order of id, how many there are, and what all of them served.
    place: int = 0
    fleet_size: int = 1
    fleet_served: int = 0

    @property
    def free(self) -> int:
        """Slots that a task could start in now."""
        return max(0, self.max_tasks - self.active)

    @property
    def score(self) -> float:
        """How loaded it is: twice its active tasks, its queue, and a tenth of its CPU percent."""
        return self.active * 2 + self.queue + self.cpu_percent / 10

    def full(self) -> Candidate:
        """The same worker with no slot left."""
        return evolve(self, active=max(self.active, self.max_tasks))

    def with_one_more(self) -> Candidate:
        """The same worker with one more task."""
        return evolve(self, active=self.active + 1)

    def has(self, capability: str) -> bool:
        """Whether it has a capability; the types of its tasks are capabilities, too."""
        return capability == GENERAL or capability in self.capabilities or capability in self.types


def placed(workers: Iterable[Candidate]) -> list[Candidate]:
    """``workers`` in order of id, each told its place among them, how many they are, and what they served."""
    everybody = sorted(workers, key=lambda worker: worker.id)
    size, served = len(everybody), sum(worker.served for worker in everybody)
    return [
        worker
        if (worker.place, worker.fleet_size, worker.fleet_served) == (place, size, served)
        else dataclasses.replace(worker, place=place, fleet_size=size, fleet_served=served)
        for place, worker in enumerate(everybody)
    ]


class Balancer(Protocol):
    """Chooses among workers that may all take the task and have a slot free.

    ``workers`` is never empty and sorted by id; equal arguments must give equal answers, on any machine.
    Tasks are asked for one by one, and each answer shows in ``active`` when the next one is asked for. An
    answer should change as little as possible when one of several equal tasks is taken out: peers look at
    different moments, and where they disagree they get into each other's way.
    """

    def __call__(self, task: Task, workers: Sequence[Candidate], options: Mapping[str, Any]) -> Candidate:
        """The worker that is to take ``task``: one of ``workers``."""


@runtime_checkable
class Homing(Protocol):
    """A balancer for which some tasks have a home: they go there before others, if it has a slot free."""

    def home(self, task: Task, workers: Sequence[Candidate], options: Mapping[str, Any]) -> str | None:
        """The id of the one of ``workers``, full ones too, that ``task`` would best go to, or None."""
