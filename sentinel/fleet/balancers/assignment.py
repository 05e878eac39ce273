"""The assignment: a pure function of the snapshot, the same on every peer."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from sentinel.fleet.balancers.port import Balancer, Candidate, Homing, placed
from sentinel.fleet.balancers.rendezvous import Ring, ranking, ring
from sentinel.fleet.eligibility import Demand, demand_of, eligible
from sentinel.fleet.queue import in_order
from sentinel.model.task import Task

#: How many tasks for each worker stand in the part of a long queue that is not strictly first in, first out.
_WINDOW = 4
_NOBODY: AbstractSet[str] = frozenset()


def assign(
    tasks: Iterable[Task],
    workers: Iterable[Candidate],
    balancer: Balancer,
    options: Mapping[str, Any] | None = None,
    *,
    passed: Mapping[str, AbstractSet[str]] | None = None,
    ahead: Mapping[str, int] | None = None,
) -> dict[str, str]:
    """Task id → worker id for as many tasks as there are free slots, in the order of the queue.

    ``ahead`` tells how many more each worker that takes short tasks ahead of its slots has room for.

    A task that lost many workers goes to an idle worker and takes all of it; while it waits for one, the
    worker that will be idle soonest is held free for it, so that it does not wait for ever. ``passed`` names
    workers that had their chance at a task and let it lie.
    """
    queue = list(in_order(tasks))
    sharing = _Sharing(workers, balancer, options or {}, passed or {})
    for _, together in itertools.groupby(queue, key=_together):
        if not sharing.anything_free:
            break
        sharing.share(list(together))
    if ahead:
        sharing.share_ahead(queue, ahead)
    return sharing.assigned


def _together(task: Task) -> tuple[str, str | None]:
    """Tasks of one priority may change places, so that more of them get to their homes."""
    return (task.priority, task.id if task.alone else None)


class _Sharing:
    """The slots while they are given out."""

    def __init__(
        self,
        workers: Iterable[Candidate],
        balancer: Balancer,
        options: Mapping[str, Any],
        passed: Mapping[str, AbstractSet[str]],
    ) -> None:
        self._slots = {worker.id: worker for worker in placed(workers)}
        self._free = sum(worker.free for worker in self._slots.values())
        self._balancer = balancer
        self._homing = balancer if isinstance(balancer, Homing) else None
        self._options = options
        self._passed = passed
        self._eligible: dict[Demand, list[str]] = {}
        self._rings: dict[Demand, Ring] = {}
        self._rings_ahead: dict[Demand, Ring] = {}
        #: Demands that nobody with a free slot meets; slots only get fewer.
        self._hopeless: set[Demand] = set()
        self.assigned: dict[str, str] = {}

    @property
    def anything_free(self) -> bool:
        """Whether a slot is left."""
        return self._free > 0

    def share(self, tasks: Sequence[Task]) -> None:
        """Give slots to tasks of one priority, in their order but for homes and lots."""
        if self._homing is not None:
            tasks = list(self._bring_home(tasks))
        if len(tasks) > self._free:
            tasks = list(self._spread(tasks))
        for task in tasks:
            if not self.anything_free:
                return
            demand = self._demand(task)
            if demand in self._hopeless:
                continue
            able = [self._slots[name] for name in self._able(demand) if self._slots[name].free]
            if not able:
                self._hopeless.add(demand)
            elif task.alone:
                self._alone(task, able)
            else:
                self._give(task, self._balancer(task, able, self._options))

    def share_ahead(self, tasks: Iterable[Task], ahead: Mapping[str, int]) -> None:
        """Give what is left to those that take tasks ahead: each to its home, or else by lot.

        What each of them has in hand changes from one millisecond to the next, and how much it has room for,
        only it knows. Whose a task is depends on neither, so that peers agree though they look at different
        moments. For whom there is no room waits.
        """
        room = dict(ahead)
        for task in tasks:
            if task.alone or task.id in self.assigned:
                continue
            among = self._ring_ahead(self._demand(task), ahead)
            home = self._home(task)
            first = home if home in ahead else among.first(task.id)
            if first is not None and room[first] > 0:
                room[first] -= 1
                self.assigned[task.id] = first

    def _home(self, task: Task) -> str | None:
        if self._homing is None or not task.affinity or task.alone:
            return None
        everybody = [self._slots[name] for name in self._able(self._demand(task))]
        return self._homing.home(task, everybody, self._options) if everybody else None

    def _bring_home(self, tasks: Iterable[Task]) -> Iterator[Task]:
        for task in tasks:
            home = self._home(task) if self.anything_free else None
            if home is not None and self._slots[home].free:
                self._give(task, self._slots[home])
            else:
                yield task

    def _spread(self, tasks: Sequence[Task]) -> Iterator[Task]:
        """Where there are more tasks than slots: give each free slot one of the first tasks, by lot.

        A peer whose slot has just become free cannot know whose slots become free at the same moment. If all
        of them took the first task, all but one would do so in vain. So each task ranks all workers, free or
        not, and each free slot takes the task that ranks its worker highest.
        """
        window = []
        for task in tasks[: _WINDOW * len(self._slots)]:
            if not task.alone:
                among = self._ring(self._demand(task))
                window.append((task, among.places, ranking(among, task.id)))
        taken: set[str] = set()
        room = {name: min(worker.free, len(window)) for name, worker in self._slots.items()}
        for name in [name for name, free in room.items() for _ in range(free)]:
            own = min(
                (
                    (ranks[places[name]], number)
                    for number, (task, places, ranks) in enumerate(window)
                    if name in places and task.id not in taken
                ),
                default=None,
            )
            if own is not None:
                task = window[own[1]][0]
                taken.add(task.id)
                self._give(task, self._slots[name])
        return (task for task in tasks if task.id not in taken)

    def _ring(self, demand: Demand) -> Ring:
        """All workers that meet the demand, free or not, with their slots for weights."""
        found = self._rings.get(demand)
        if found is None:
            found = self._rings[demand] = self._ring_of(self._able(demand))
        return found

    def _ring_ahead(self, demand: Demand, ahead: Mapping[str, int]) -> Ring:
        """Those of all workers that meet the demand which take tasks ahead."""
        found = self._rings_ahead.get(demand)
        if found is None:
            able = [name for name in self._able(demand) if name in ahead]
            found = self._rings_ahead[demand] = self._ring_of(able)
        return found

    def _ring_of(self, names: Iterable[str]) -> Ring:
        return ring(tuple((name, float(max(1, self._slots[name].max_tasks))) for name in names))

    def _alone(self, task: Task, able: Sequence[Candidate]) -> None:
        idle = [worker for worker in able if worker.active == 0]
        if idle:
            chosen = self._balancer(task, idle, self._options)
            self.assigned[task.id] = chosen.id
        else:
            chosen = min(able, key=lambda worker: (worker.active, worker.id))
        self._free -= self._slots[chosen.id].free
        self._slots[chosen.id] = self._slots[chosen.id].full()

    def _give(self, task: Task, worker: Candidate) -> None:
        self._slots[worker.id] = self._slots[worker.id].with_one_more()
        self._free -= 1
        self.assigned[task.id] = worker.id

    def _demand(self, task: Task) -> Demand:
        return demand_of(task, self._passed.get(task.id, _NOBODY))

    def _able(self, demand: Demand) -> list[str]:
        found = self._eligible.get(demand)
        if found is None:
            found = [worker.id for worker in eligible(demand, list(self._slots.values()))]
            self._eligible[demand] = found
        return found
