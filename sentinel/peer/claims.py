"""Which tasks this peer claims now: its share of the common assignment, and what others leave lying."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from sentinel.fleet.balancers import assign
from sentinel.fleet.candidates import candidates, ready
from sentinel.fleet.dependencies import waiting_for
from sentinel.fleet.observer import Observer
from sentinel.fleet.view import View
from sentinel.model.layout import TASKS
from sentinel.model.task import Task
from sentinel.peer.options import PeerOptions
from sentinel.store.base import Register


class Chooser:
    """Remembers since when each waiting task was seen as it is, and picks."""

    def __init__(self, options: PeerOptions) -> None:
        self._options = options
        #: Task → (rev, reply of the first look that showed it).
        self._since: dict[str, tuple[int, float]] = {}
        #: The view of the last look, by its number; whether it showed nothing for this worker.
        self._number = 0
        self._idle = False
        self._backing_off: list[Task] = []
        self._sent = 0.0
        self._due: list[float] = []
        self._passed_by: dict[str, int] = {}
        #: Whether the last look showed no task that this worker could take, now or after its backoff.
        self.nothing_waits = False

    def look(self, view: View, *, sent: float, reply: float) -> None:
        """Take in one look at the state, sent and replied at these times on this machine's clock."""
        self._sent = sent
        if view.number != self._number:
            self._take_in(view, reply)
        self._due = [
            self._since[task.id][1] + task.backoff
            for task in self._backing_off
            if self.waited(task) < task.backoff
        ]
        self.nothing_waits = self._idle

    def _take_in(self, view: View, reply: float) -> None:
        """Another view than at the last look."""
        if view.number == self._number + 1:
            moved = [key[len(TASKS) :] for key in view.moved]
        else:
            # What moved in a view that was never looked at does not show in this one.
            moved = [*self._since, *view.pending]
        self._number = view.number
        for name in moved:
            task, known = view.pending.get(name), self._since.get(name)
            if task is None:
                self._since.pop(name, None)
            elif known is None or known[0] != task.rev:
                self._since[name] = (task.rev, reply)
        self._backing_off = [task for task in view.pending.values() if task.backoff]
        self._idle = not any(
            task.type in self._options.types and not waiting_for(task, view.task)
            for task in view.pending.values()
        )

    def pass_by(self, task_id: str, rev: int) -> None:
        """Do not choose this version of a task again: the store refused its claim for good."""
        self._passed_by[task_id] = rev

    def waited(self, task: Task) -> float:
        """Seconds for which the task's record was seen unchanged."""
        known = self._since.get(task.id)
        return max(0.0, self._sent - known[1]) if known is not None and known[0] == task.rev else 0.0

    def next_due(self, now: float) -> float:
        """Seconds until the next backoff is over."""
        return max(0.0, min(self._due, default=float("inf")) - now)

    def choose(
        self, view: View, registers: Mapping[str, Register], observer: Observer, running: set[str]
    ) -> list[Task]:
        """Tasks to claim, most urgent first; never more than there are slots to start them in at once."""
        me = self._options.worker
        slots = self._options.max_tasks - len(running)
        if slots <= 0 or any(view.tasks[name].alone for name in running if name in view.tasks):
            return []
        waiting = sorted(
            (task for task in ready(view, self.waited) if self._passed_by.get(task.id) != task.rev),
            key=lambda task: task.rank,
        )
        if not waiting:
            return []
        workers = [
            # My own processes are known better than my records, which still show what just ended.
            dataclasses.replace(worker, active=len(running)) if worker.id == me else worker
            for worker in candidates(view, registers, observer)
        ]
        assigned = assign(waiting, workers, self._options.balancer, self._options.balancer_options)
        mine = [task for task in waiting if assigned.get(task.id) == me]
        late = [
            task
            for task in waiting
            if assigned.get(task.id, me) != me
            and task.type in self._options.types
            and self.waited(task) >= task.backoff + self._options.claim_grace
        ]
        chosen: list[Task] = []
        for task in [*mine, *late]:
            busy = len(running) + len(chosen)
            if len(chosen) >= slots or (task.alone and busy):
                continue
            chosen.append(task)
            if task.alone:
                break
        return chosen
