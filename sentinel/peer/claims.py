"""Which tasks this peer claims now: its share of the common assignment, and what others leave lying."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence

from sentinel.fleet.assigning import assign
from sentinel.fleet.balancers import Candidate
from sentinel.fleet.balancers.port import REGION
from sentinel.fleet.dependencies import waiting_for
from sentinel.fleet.hints import hints
from sentinel.fleet.planning import kept
from sentinel.fleet.queue import Queue
from sentinel.fleet.view import View
from sentinel.model.layout import TASKS
from sentinel.model.task import Task
from sentinel.peer.options import PeerOptions
from sentinel.peer.patience import ITS_COORDINATOR, Patience


class Chooser:
    """Remembers since when each waiting task was seen as it is, and picks.

    What waits is kept in order from look to look: a look costs as much as has moved, not as much as waits.
    """

    def __init__(self, options: PeerOptions) -> None:
        self._options = options
        #: Task → (rev, reply of the first look that showed it).
        self._since: dict[str, tuple[int, float]] = {}
        #: The view of the last look, by its number.
        self._number = 0
        #: Tasks that are ready to be taken.
        self.waiting = Queue()
        #: Pending tasks that run after others or back off, ready or not.
        self._bound: dict[str, Task] = {}
        #: Those of them that only their backoff keeps from being ready.
        self._backing_off: list[Task] = []
        self._sent = 0.0
        self._passed_by: dict[str, int] = {}
        self._patience = Patience()
        self._reply = 0.0
        #: Whether the last look showed no task that this worker could take, now or after its backoff.
        self.nothing_waits = False

    def reconfigure(self, options: PeerOptions) -> None:
        """Choose by these options from now on."""
        self._options = options

    def look(self, view: View, *, sent: float, reply: float) -> None:
        """Take in one look at the state, sent and replied at these times on this machine's clock."""
        self._sent, self._reply = sent, reply
        if view.number != self._number:
            self._take_in(view, reply)
        over = [task for task in self._backing_off if self.waited(task) >= task.backoff]
        if over:
            self._enqueue(over)
            self._backing_off = [task for task in self._backing_off if self.waited(task) < task.backoff]
        me = view.workers.get(self._options.worker)
        self.nothing_waits = not self._anything_for(None if me is None else me.region)

    def _take_in(self, view: View, reply: float) -> None:
        """Another view than at the last look."""
        if view.number == self._number + 1:
            moved = [key[len(TASKS) :] for key in view.moved]
        else:
            # What moved in a view that was never looked at does not show in this one.
            moved = [*self._since, *(name for name in view.tasks if name not in self._since)]
        self._number = view.number
        free: list[Task] = []
        for name in moved:
            task, known = view.tasks.get(name), self._since.get(name)
            self.waiting.discard(name)
            self._bound.pop(name, None)
            if task is None or task.state != "pending":
                self._since.pop(name, None)
                continue
            if known is None or known[0] != task.rev:
                self._since[name] = (task.rev, reply)
            if task.after or task.backoff:
                self._bound[name] = task
            else:
                free.append(task)
        self._enqueue(free)
        self._loosen(view)

    def _loosen(self, view: View) -> None:
        """Find out which tasks still wait for others. Whom they run after may have been retried, too."""
        self._backing_off, done = [], []
        for name, task in self._bound.items():
            if waiting_for(task, view.task):
                self.waiting.discard(name)
            elif self.waited(task) < task.backoff:
                self._backing_off.append(task)
            elif name not in self.waiting:
                done.append(task)
        self._enqueue(done)

    def _enqueue(self, tasks: Iterable[Task]) -> None:
        self.waiting.add(task for task in tasks if self._passed_by.get(task.id) != task.rev)

    def _anything_for(self, region: str | None) -> bool:
        """Whether a task waits or backs off that this worker could take there."""
        kinds = [*self.waiting.kinds, *((task.type, task.affinity.get(REGION)) for task in self._backing_off)]
        return any(kind in self._options.types and where in (None, region) for kind, where in kinds)

    def pass_by(self, task_id: str, rev: int) -> None:
        """Do not choose this version of a task again: the store refused its claim for good."""
        self._passed_by[task_id] = rev
        self.waiting.discard(task_id)

    def waited(self, task: Task) -> float:
        """Seconds for which the task's record was seen unchanged."""
        known = self._since.get(task.id)
        return max(0.0, self._sent - known[1]) if known is not None and known[0] == task.rev else 0.0

    def next_due(self, now: float) -> float:
        """Seconds until the next backoff is over."""
        due = (self._since[task.id][1] + task.backoff for task in self._backing_off)
        return max(0.0, min(due, default=float("inf")) - now)

    def choose(
        self,
        view: View,
        workers: Sequence[Candidate],
        running: set[str],
        *,
        led: bool,
        patience: float,
    ) -> list[Task]:
        """Tasks to claim, most urgent first; never more than there are slots to start them in at once.

        ``workers`` are all that take tasks. ``led`` tells whether somebody who assigns tasks to this peer is
        there, so that tasks are left to its hints at first. A task is left to whose turn it is for
        ``patience`` seconds.
        """
        me, waiting = self._options.worker, self.waiting
        slots = self._options.max_tasks - len(running)
        if slots <= 0 or not waiting or any(view.tasks[name].alone for name in running if name in view.tasks):
            return []
        workers = [
            # My own processes are known better than my records, which still show what just ended.
            dataclasses.replace(worker, active=len(running)) if worker.id == me else worker
            for worker in workers
        ]
        passed = self._patience.passed(waiting, self._sent, grace=patience)
        meant = kept(hints(view), waiting, workers) if self._options.pattern != "peer_to_peer" else {}
        meant = {task: worker for task, worker in meant.items() if worker not in passed.get(task, ())}
        left: dict[str, str] = {}
        if led:
            left = {
                name: ITS_COORDINATOR for name in waiting.ids if name not in meant and not passed.get(name)
            }
        load = Counter(meant.values())
        others = [
            dataclasses.replace(worker, active=worker.active + load[worker.id]) if load[worker.id] else worker
            for worker in workers
        ]
        options = self._options
        shared = assign(
            waiting,
            others,
            options.balancer,
            options.balancer_options,
            passed=passed,
            wanted=(lambda task: task.id not in meant and task.id not in left) if meant or left else None,
        )
        mine = {task for task, worker in (meant | shared).items() if worker == me}
        others_turn = {task: who for task, who in (left | meant | shared).items() if who != me}
        self._patience.meant(others_turn, waiting, self._reply)
        return self._startable(waiting.picked(mine), len(running), slots)

    def _startable(self, mine: Iterable[Task], busy: int, slots: int) -> list[Task]:
        chosen: list[Task] = []
        for task in mine:
            if len(chosen) >= slots:
                break
            if task.alone and busy + len(chosen):
                continue
            chosen.append(task)
            if task.alone:
                break
        return chosen
