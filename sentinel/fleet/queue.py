"""The order in which waiting tasks get free slots.

The most urgent first, and among equally urgent ones first in, first out. That alone would let a steady stream
of urgent tasks keep others waiting for ever. So a task that was handed in more than `PATIENCE` before the one
that stands at the head gets the slot in its place with a chance of one in `ODDS`, by a lot that every peer
draws alike. Nobody waits for ever: of the slots for which it is passed over by later and more urgent tasks,
an overdue task gets one in eight, so that it is still there after a hundred of them in two cases of a
million; and nothing urgent waits behind what is overdue for more than one slot in eight.
"""

from __future__ import annotations

import bisect
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from sentinel.clock import from_rfc3339
from sentinel.fleet.balancers.port import REGION
from sentinel.fleet.balancers.rendezvous import lot
from sentinel.model.task import PRIORITIES, Task

#: Seconds by which a task must have been handed in earlier than a more urgent one to be overdue.
PATIENCE = 300.0
#: One in so many slots goes to the longest overdue task instead of the most urgent one.
ODDS = 8

#: More newcomers than this are sorted in together.
_FEW = 64


class Queue:
    """Waiting tasks in their order. Some coming or going costs little, however many there are.

    Nobody reads all of a long queue to fill a few slots: whoever iterates gets the tasks one by one.
    """

    def __init__(self, tasks: Iterable[Task] = ()) -> None:
        self._tasks: dict[str, Task] = {}
        #: Priority → the ranks of its tasks, sorted.
        self._lanes: dict[str, list[tuple[int, str, str]]] = {priority: [] for priority in PRIORITIES}
        #: How many tasks there are of each type and for each region, None for any.
        self.kinds: Counter[tuple[str, str | None]] = Counter()
        self.add(tasks)

    def add(self, tasks: Iterable[Task]) -> None:
        """Take in these tasks; one that is here already is replaced."""
        fresh: dict[str, list[tuple[int, str, str]]] = {}
        for task in tasks:
            self.discard(task.id)
            self._tasks[task.id] = task
            self.kinds[_kind(task)] += 1
            fresh.setdefault(task.priority, []).append(task.rank)
        for priority, ranks in fresh.items():
            lane = self._lanes[priority]
            if len(ranks) > _FEW:
                lane += ranks
                lane.sort()
            else:
                for rank in ranks:
                    bisect.insort(lane, rank)

    def discard(self, task_id: str) -> None:
        """Take the task out, if it is here."""
        task = self._tasks.pop(task_id, None)
        if task is None:
            return
        lane = self._lanes[task.priority]
        del lane[bisect.bisect_left(lane, task.rank)]
        self.kinds[_kind(task)] -= 1
        if not self.kinds[_kind(task)]:
            del self.kinds[_kind(task)]

    @property
    def ids(self) -> Iterable[str]:
        """The ids of all tasks, in no order."""
        return self._tasks.keys()

    def get(self, task_id: str) -> Task | None:
        """The task, or None when it does not wait."""
        return self._tasks.get(task_id)

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._tasks

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[Task]:
        return self.of()

    def of(self, wanted: Callable[[Task], bool] | None = None) -> Iterator[Task]:
        """The tasks, of which only those that are ``wanted`` are there, in their order."""
        lanes = [_Lane(self._tasks, self._lanes[priority], wanted) for priority in PRIORITIES]
        patient = self._spread() <= PATIENCE
        for number, lane in enumerate(lanes):
            others = [] if patient else lanes[number + 1 :]
            while (head := lane.head) is not None:
                yield (_overdue(head, others) or lane).take()

    def picked(self, ids: Iterable[str]) -> Iterator[Task]:
        """Those of these tasks that wait, in the order that they have among all."""
        left = {task_id for task_id in ids if task_id in self._tasks}
        everybody = iter(self)
        while left:
            task = next(everybody)
            if task.id in left:
                left.remove(task.id)
                yield task

    def _spread(self) -> float:
        """Seconds between the first and the last task that was handed in."""
        lanes = [lane for lane in self._lanes.values() if lane]
        if not lanes:
            return 0.0
        return _time(max(lane[-1][1] for lane in lanes)) - _time(min(lane[0][1] for lane in lanes))


class _Lane:
    """The tasks of one priority, while they are read."""

    def __init__(
        self,
        tasks: dict[str, Task],
        ranks: list[tuple[int, str, str]],
        wanted: Callable[[Task], bool] | None,
    ) -> None:
        found = (tasks[task_id] for _, _, task_id in ranks)
        self._left = found if wanted is None else filter(wanted, found)
        #: The first that is left.
        self.head = next(self._left, None)

    def take(self) -> Task:
        """The first that is left, which is then no more."""
        head = self.head
        assert head is not None, "nobody takes from an empty lane"
        self.head = next(self._left, None)
        return head


def _kind(task: Task) -> tuple[str, str | None]:
    return task.type, task.affinity.get(REGION)


def _overdue(head: Task, others: list[_Lane]) -> _Lane | None:
    """The lane whose first task comes before ``head``, which is more urgent."""
    firsts = [(lane.head.created_at, lane.head.id, lane) for lane in others if lane.head is not None]
    if not firsts:
        return None
    created_at, task_id, oldest = min(firsts, key=lambda first: first[:2])
    if _time(head.created_at) - _time(created_at) <= PATIENCE:
        return None
    return oldest if lot(head.id, task_id) < 1 / ODDS else None


@functools.lru_cache(maxsize=16_384)
def _time(text: str) -> float:
    # For order alone; whoever owns what never depends on it.
    try:
        return from_rfc3339(text)
    except (ValueError, OverflowError):
        return 0.0
