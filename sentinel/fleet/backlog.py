"""What waits, kept from look to look: taking in a look costs what has changed since, not what there is.

Of the pending tasks, those that may start now stand in a queue for each kind of task. Beside the queues are
those that back off, ordered by when that is over, and those that wait for others, to be found by what they
wait for.
"""

from __future__ import annotations

import bisect
import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from sentinel.errors import BadRecord
from sentinel.fleet.view import View
from sentinel.model.task import ENDED, REGION, WAITING, Task

#: More new tasks than this are sorted into a queue together.
_FEW = 16

#: Tasks of one kind differ in their age alone, as far as anybody can tell who gives them out.
_Kind = tuple[str, str, bool, tuple[str, ...], tuple[tuple[str, str], ...]]
#: When a task was handed in, and its id.
_Age = tuple[str, str]


def _kind(task: Task) -> _Kind:
    return (task.priority, task.type, task.alone, task.failed_on, tuple(sorted(task.affinity.items())))


class Backlog:
    """The tasks of one reader's views that nobody has, and since when each was seen as it is."""

    def __init__(self) -> None:
        #: The view of the last look, by its number.
        self._number = 0
        self._sent = 0.0
        #: Task → (rev, reply of the first look that showed it).
        self._since: dict[str, tuple[int, float]] = {}
        self._clear()

    def _clear(self) -> None:
        #: All tasks that wait, for whatever.
        self._known: dict[str, Task] = {}
        #: Kind → the tasks that may start now, in order.
        self._queues: dict[_Kind, list[_Age]] = {}
        #: The tasks in there.
        self._queued: set[str] = set()
        #: The tasks that back off, and (when that is over, id, rev) in order. What has moved on stays there.
        self._backing_off: set[str] = set()
        self._due: list[tuple[float, str, int]] = []
        #: Task → what is still to be done before it, and what of that has failed; for each that has any.
        self._open: dict[str, set[str]] = {}
        self._failed: dict[str, set[str]] = {}
        #: Dependency → the tasks that were to run after it.
        self._dependents: dict[str, set[str]] = {}
        #: (type, region) → how many tasks wait for no more than a worker, or the end of their backoff.
        self._demanded: Counter[tuple[str, str | None]] = Counter()

    def look(self, view: View, *, sent: float, reply: float) -> None:
        """Take in one look at the state, sent and replied at these times on this machine's clock."""
        self._sent = sent
        if view.number != self._number:
            self._take_in(view, reply)
        while self._due:
            _, name, rev = self._due[0]
            task = self._known.get(name)
            if name in self._backing_off and task is not None and task.rev == rev:
                if self.waited(task) < task.backoff:
                    break
                self._backing_off.discard(name)
                self._enqueue([task])
            heapq.heappop(self._due)

    def waited(self, task: Task) -> float:
        """Seconds for which the task's record was seen unchanged."""
        known = self._since.get(task.id)
        return max(0.0, self._sent - known[1]) if known is not None and known[0] == task.rev else 0.0

    def next_due(self, now: float) -> float:
        """Seconds until the next backoff is over."""
        return max(0.0, self._due[0][0] - now) if self._due else float("inf")

    def waits_for(self, types: Iterable[str], region: str | None) -> bool:
        """Whether any task is, now or after its backoff, for workers of these types in this region."""
        return any(self._demanded[type_, place] for type_ in types for place in {None, region})

    def first(self, number: int, wanted: Callable[[Task], bool]) -> Iterator[Task]:
        """The first ``number`` of each kind that may start now, those left out that are not ``wanted``."""
        for queue in self._queues.values():
            left = number
            for _, name in queue:
                if not left:
                    break
                task = self._known[name]
                if wanted(task):
                    left -= 1
                    yield task

    def may_start(self, task_id: str) -> Task | None:
        """The task, if it may start now."""
        return self._known[task_id] if task_id in self._queued else None

    def doomed(self) -> list[Task]:
        """Waiting tasks that were to run after something that ended without being done."""
        return [self._known[name] for name in sorted(self._failed)]

    def needs(self, task_id: str) -> bool:
        """Whether any waiting task was to run after that one."""
        return task_id in self._dependents

    # -- taking in a view ----------------------------------------------------------------------------

    def _take_in(self, view: View, reply: float) -> None:
        if view.number == self._number + 1:
            moved: Iterable[str] = view.moved
            freed = set(self._dependents) if view.ended_moved is None else view.moved | view.ended_moved
        else:
            # What moved in a view that was never looked at does not show in this one.
            moved, freed = view.tasks, frozenset()
            self._clear()
            self._since = {name: since for name, since in self._since.items() if name in view.tasks}
        self._number = view.number
        self._forget(moved)
        touched: set[str] = set()
        for name in moved:
            task = view.tasks.get(name)
            if task is None or task.state not in WAITING:
                self._since.pop(name, None)
                continue
            known = self._since.get(name)
            if known is None or known[0] != task.rev:
                self._since[name] = (task.rev, reply)
            self._known[name] = task
            touched.add(name)
            for dependency in task.after:
                self._dependents.setdefault(dependency, set()).add(name)
                self._judge(name, dependency, _state(view, dependency))
        for dependency in freed & self._dependents.keys():
            state = _state(view, dependency)
            for name in self._dependents[dependency]:
                self._judge(name, dependency, state)
                touched.add(name)
        self._put(touched)

    def _judge(self, name: str, dependency: str, state: str | None) -> None:
        """Take in what has become of something that a task was to run after."""
        _mark(self._open, name, dependency, state != "done")
        _mark(self._failed, name, dependency, state in ENDED and state != "done")

    def _put(self, names: Iterable[str]) -> None:
        """Have these tasks stand where they belong."""
        new: list[Task] = []
        held_up: list[Task] = []
        for name in names:
            task = self._known[name]
            stands = name in self._queued or name in self._backing_off
            free = task.state == "pending" and name not in self._open
            if stands and not free:
                held_up.append(task)
            elif free and not stands:
                self._demanded[_demanded(task)] += 1
                if self.waited(task) < task.backoff:
                    self._backing_off.add(name)
                    heapq.heappush(self._due, (self._since[name][1] + task.backoff, name, task.rev))
                else:
                    new.append(task)
        self._take_off(held_up)
        self._enqueue(new)

    def _enqueue(self, tasks: Iterable[Task]) -> None:
        new: dict[_Kind, list[_Age]] = {}
        for task in tasks:
            self._queued.add(task.id)
            new.setdefault(_kind(task), []).append((task.created_at, task.id))
        for kind, entries in new.items():
            queue = self._queues.setdefault(kind, [])
            if len(entries) > _FEW:
                queue += entries
                queue.sort()
            else:
                for entry in entries:
                    bisect.insort(queue, entry)

    def _take_off(self, tasks: Iterable[Task]) -> None:
        """Take tasks out of wherever they wait for a worker."""
        gone: dict[_Kind, list[_Age]] = {}
        for task in tasks:
            if task.id in self._queued:
                self._queued.discard(task.id)
                gone.setdefault(_kind(task), []).append((task.created_at, task.id))
            elif task.id in self._backing_off:
                self._backing_off.discard(task.id)
            else:
                continue
            demanded = _demanded(task)
            self._demanded[demanded] -= 1
            if not self._demanded[demanded]:
                del self._demanded[demanded]
        for kind, entries in gone.items():
            queue = self._queues[kind]
            _remove(queue, entries)
            if not queue:
                del self._queues[kind]

    def _forget(self, names: Iterable[str]) -> None:
        known = [task for name in names if (task := self._known.pop(name, None)) is not None]
        self._take_off(known)
        for task in known:
            self._open.pop(task.id, None)
            self._failed.pop(task.id, None)
            for dependency in task.after:
                dependents = self._dependents.get(dependency, set())
                dependents.discard(task.id)
                if not dependents:
                    self._dependents.pop(dependency, None)


def _remove(queue: list[_Age], entries: Iterable[_Age]) -> None:
    """Take out what is in there; neighbours go together, for all that stands behind moves up each time."""
    places = sorted(bisect.bisect_left(queue, entry) for entry in entries)
    while places:
        last = first = places.pop()
        while places and places[-1] == first - 1:
            first = places.pop()
        del queue[first : last + 1]


def _mark(marks: dict[str, set[str]], name: str, dependency: str, on: bool) -> None:
    if on:
        marks.setdefault(name, set()).add(dependency)
    elif name in marks:
        marks[name].discard(dependency)
        if not marks[name]:
            del marks[name]


def _demanded(task: Task) -> tuple[str, str | None]:
    return task.type, task.affinity.get(REGION)


def _state(view: View, task_id: str) -> str | None:
    try:
        found = view.task(task_id)
    except BadRecord:
        return None
    return None if found is None else found.state
