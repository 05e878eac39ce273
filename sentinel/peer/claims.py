"""Which tasks this peer claims now: its share of the common assignment, and what others leave lying."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

from sentinel.fleet.backlog import Backlog
from sentinel.fleet.balancers import Candidate, assign
from sentinel.fleet.hints import hints
from sentinel.fleet.planning import kept
from sentinel.fleet.queue import in_order
from sentinel.fleet.view import View
from sentinel.model.evolve import evolve
from sentinel.model.task import Task
from sentinel.peer.lanes import MOST
from sentinel.peer.options import PeerOptions
from sentinel.peer.patience import ITS_COORDINATOR, Patience

#: How many ready tasks of a kind are looked at: so many, so many for each worker and each of its slots, and
#: what is taken ahead.
_LEAST, _WINDOW = 64, 4


class InHand(Protocol):
    """What a peer has in hand already."""

    @property
    def running(self) -> set[str]:
        """Ids of its tasks."""

    @property
    def busy(self) -> int:
        """Slots that are taken."""

    def ahead(self, types: Iterable[str]) -> int:
        """How many tasks of these types, in their order, may be claimed beyond the slots that are free."""


class Chooser:
    """Keeps what waits from look to look, and picks."""

    def __init__(self, options: PeerOptions) -> None:
        self._options = options
        self._backlog = Backlog()
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
        self._backlog.look(view, sent=sent, reply=reply)
        me = view.workers.get(self._options.worker)
        region = None if me is None else me.region
        self.nothing_waits = not self._backlog.waits_for(self._options.types, region)

    def pass_by(self, task_id: str, rev: int) -> None:
        """Do not choose this version of a task again: the store refused its claim for good."""
        self._passed_by[task_id] = rev

    def next_due(self, now: float) -> float:
        """Seconds until the next backoff is over."""
        return self._backlog.next_due(now)

    def doomed(self) -> list[Task]:
        """Waiting tasks that were to run after something that ended without being done."""
        return self._backlog.doomed()

    def needs(self, task_id: str) -> bool:
        """Whether any waiting task was to run after that one."""
        return self._backlog.needs(task_id)

    def waiting(self, view: View, *, ahead: int = 0) -> list[Task]:
        """Tasks that are ready to be taken, in the order of the queue.

        Of a long queue only the first of each kind: more than there are slots, and ``ahead`` for each worker,
        cannot be given out now.
        """
        slots = sum(worker.max_tasks for worker in view.workers.values())
        window = _LEAST + _WINDOW * (slots + len(view.workers)) + ahead * len(view.workers)
        found = {task.id: task for task in self._backlog.first(window, self._may_choose)}
        for name in hints(view):
            task = self._backlog.may_start(name)
            if task is not None and self._may_choose(task):
                found[name] = task
        return list(in_order(found.values()))

    def choose(
        self,
        view: View,
        waiting: Sequence[Task],
        workers: Sequence[Candidate],
        work: InHand,
        *,
        led: bool,
        patience: float,
    ) -> list[Task]:
        """Tasks to claim, most urgent first: as many as there are free slots, and what may be taken ahead.

        ``waiting`` are those that are ready, in their order, ``workers`` all that take tasks. ``led`` tells
        whether somebody who assigns tasks to this peer is there, so that tasks are left to its hints at
        first. A task is left to whose turn it is for ``patience`` seconds.
        """
        me = self._options.worker
        running, busy = work.running, work.busy
        slots = max(0, self._options.max_tasks - busy)
        ahead = work.ahead(task.type for task in waiting[slots:])
        slots += ahead
        if slots <= 0 or not waiting or any(view.tasks[name].alone for name in running if name in view.tasks):
            return []
        workers = [self._seen_by_me(worker, busy) for worker in workers]
        passed = self._patience.passed(waiting, self._sent, grace=patience)
        meant = kept(hints(view), waiting, workers) if self._options.pattern != "peer_to_peer" else {}
        meant = {task: worker for task, worker in meant.items() if worker not in passed.get(task, ())}
        free = [task for task in waiting if task.id not in meant]
        if led:
            left = {task.id: ITS_COORDINATOR for task in free if not passed.get(task.id)}
            free = [task for task in free if task.id not in left]
        else:
            left = {}
        load = Counter(meant.values())
        others = [
            dataclasses.replace(worker, active=worker.active + load[worker.id]) if load[worker.id] else worker
            for worker in workers
        ]
        options = self._options
        shared = assign(
            free,
            others,
            options.balancer,
            options.balancer_options,
            passed=passed,
            ahead=self._room_ahead(others, ahead),
        )
        # What somebody who could still begin it was to take at my last look is probably being claimed: that
        # it is mine by now only says that much has moved since.
        able = {worker.id for worker in others if worker.free}
        theirs = self._patience.still(shared, able)
        turns = left | meant | shared | theirs
        mine = {task for task, worker in turns.items() if worker == me}
        others_turn = {task: who for task, who in turns.items() if who != me}
        self._patience.meant(others_turn, waiting, self._reply)
        return self._startable([task for task in waiting if task.id in mine], len(running), slots)

    def _seen_by_me(self, worker: Candidate, busy: int) -> Candidate:
        """My own processes are known better than my records, which still show what just ended."""
        return evolve(worker, active=busy) if worker.id == self._options.worker else worker

    def _room_ahead(self, workers: Iterable[Candidate], ahead: int) -> dict[str, int]:
        """For how many tasks there is room beyond the slots of each worker that takes tasks ahead.

        Of others it is not known. One that has nothing, or more than it has slots, takes ahead as I do, or
        would: it is left its part.
        """
        if not ahead:
            return {}
        me = self._options.worker
        takes = (worker for worker in workers if worker.active == 0 or worker.active > worker.max_tasks)
        return {**{worker.id: MOST for worker in takes}, me: ahead}

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
