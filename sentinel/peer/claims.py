"""Which tasks this peer claims now: its share of the common assignment, and what others leave lying."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

from sentinel.fleet.balancers import Candidate, assign
from sentinel.fleet.candidates import ready
from sentinel.fleet.dependencies import waiting_for
from sentinel.fleet.hints import hints
from sentinel.fleet.planning import kept
from sentinel.fleet.queue import in_order
from sentinel.fleet.view import View
from sentinel.model.task import Task
from sentinel.peer.options import PeerOptions
from sentinel.peer.patience import ITS_COORDINATOR, Patience


class Chooser:
    """Remembers since when each waiting task was seen as it is, and picks."""

    def __init__(self, options: PeerOptions) -> None:
        self._options = options
        #: Task → (rev, reply of the first look that showed it).
        self._since: dict[str, tuple[int, float]] = {}
        self._sent = 0.0
        self._due: list[float] = []
        self._passed_by: dict[str, int] = {}
        self._patience = Patience(options.patience)
        self._reply = 0.0
        #: Whether the last look showed no task that this worker could take, now or after its backoff.
        self.nothing_waits = False

    def look(self, view: View, *, sent: float, reply: float) -> None:
        """Take in one look at the state, sent and replied at these times on this machine's clock."""
        self._sent, self._reply = sent, reply
        since: dict[str, tuple[int, float]] = {}
        for task in view.tasks.values():
            if task.state == "pending":
                known = self._since.get(task.id)
                since[task.id] = known if known is not None and known[0] == task.rev else (task.rev, reply)
        self._since = since
        self._due = [
            since[task.id][1] + task.backoff
            for task in view.tasks.values()
            if task.state == "pending" and self.waited(task) < task.backoff
        ]

        self.nothing_waits = not any(
            task.state == "pending" and task.type in self._options.types and not waiting_for(task, view.task)
            for task in view.tasks.values()
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

    def waiting(self, view: View) -> list[Task]:
        """Tasks that are ready to be taken, in the order of the queue."""
        return list(in_order(task for task in ready(view, self.waited) if self._may_choose(task)))

    def choose(
        self,
        view: View,
        waiting: Sequence[Task],
        workers: Sequence[Candidate],
        running: set[str],
        *,
        led: bool,
    ) -> list[Task]:
        """Tasks to claim, most urgent first; never more than there are slots to start them in at once.

        ``waiting`` are those that are ready, in their order, ``workers`` all that take tasks. ``led`` tells
        whether somebody who assigns tasks to this peer is there, so that tasks are left to its hints at
        first.
        """
        me = self._options.worker
        slots = self._options.max_tasks - len(running)
        if slots <= 0 or not waiting or any(view.tasks[name].alone for name in running if name in view.tasks):
            return []
        workers = [
            # My own processes are known better than my records, which still show what just ended.
            dataclasses.replace(worker, active=len(running)) if worker.id == me else worker
            for worker in workers
        ]
        passed = self._patience.passed(waiting, self._sent)
        meant = kept(hints(view), waiting, workers) if self._options.pattern != "peer_to_peer" else {}
        meant = {task: worker for task, worker in meant.items() if worker not in passed.get(task, ())}
        free = [task for task in waiting if task.id not in meant]
        if led:
            left = {task.id: ITS_COORDINATOR for task in free if not passed.get(task.id)}
            free = [task for task in free if task.id not in left]
        else:
            left = {}
        load = Counter(meant.values())
        others = [dataclasses.replace(worker, active=worker.active + load[worker.id]) for worker in workers]
        options = self._options
        shared = assign(free, others, options.balancer, options.balancer_options, passed=passed)
        mine = {task for task, worker in (meant | shared).items() if worker == me}
        others_turn = {task: who for task, who in (left | meant | shared).items() if who != me}
        self._patience.meant(others_turn, waiting, self._reply)
        return self._startable([task for task in waiting if task.id in mine], len(running), slots)

    def _startable(self, mine: Sequence[Task], busy: int, slots: int) -> list[Task]:
        chosen: list[Task] = []
        for task in mine:
            if len(chosen) >= slots or (task.alone and busy + len(chosen)):
                continue
            chosen.append(task)
            if task.alone:
                break
        return chosen

    def _may_choose(self, task: Task) -> bool:
        return self._passed_by.get(task.id) != task.rev
