"""What a peer does for others: it takes the lock of its group when that is free, and hints under it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from sentinel.errors import BadRecord, LockHeld, LockLost
from sentinel.fleet import locks
from sentinel.fleet.balancers import Candidate
from sentinel.fleet.hints import hints
from sentinel.fleet.observer import Observer
from sentinel.fleet.patterns import elected, lock_over
from sentinel.fleet.planning import kept, plan, rebalance
from sentinel.fleet.view import View
from sentinel.model import layout
from sentinel.model.assignment import Assignment
from sentinel.model.task import Task
from sentinel.model.worker import Worker
from sentinel.peer.options import PeerOptions
from sentinel.store.base import Transaction
from sentinel.store.transact import Change


class Coordination:
    """One incarnation's part in the pattern of its fleet. For the control thread alone."""

    def __init__(self, options: PeerOptions, incarnation: str) -> None:
        self._options = options
        self._incarnation = incarnation
        self._vacant_since: float | None = None
        self._rebalanced: float | None = None

    def calls(self, view: View) -> bool:
        """Whether there may be anything to do for others: the lock of its group is its own, or free."""
        me = view.workers.get(self._options.worker)
        name = None if me is None else self._lock_over(me)
        lock = None if name is None else view.locks.get(name)
        return name is not None and (lock is None or not lock.held or lock.incarnation == self._incarnation)

    def reconfigure(self, options: PeerOptions) -> None:
        """Choose by these options from now on."""
        self._options = options

    def act(
        self,
        view: View,
        observer: Observer,
        workers: Sequence[Candidate],
        waiting: Sequence[Task],
        begin: Callable[[], Change],
        *,
        now: float,
        wall: float,
        patience: float,
    ) -> Iterator[Transaction]:
        """Transactions, each made with ``begin``: taking the lock, or the hints of whoever has it.

        ``workers`` are all that take tasks, ``waiting`` all tasks that are ready; ``now`` is on this
        machine's clock. A free lock is left to whose turn it is for ``patience`` seconds.
        """
        me = view.workers.get(self._options.worker)
        name = None if me is None else self._lock_over(me)
        if name is None:
            return
        lock = view.locks.get(name)
        if lock is None or not lock.held:
            if self._may_take(name, workers, now, patience):
                change = begin()
                try:
                    yield self._take(change, view, name, observer, wall)
                except (LockHeld, LockLost, BadRecord):
                    # Not to be had after all, or torn: then everybody goes on as a peer among peers.
                    return
            return
        self._vacant_since = None
        if lock.incarnation != self._incarnation:
            self._rebalanced = None
            return
        for worker, tasks in self._wanted(view, name, workers, waiting, now).items():
            change = begin().expect_present(layout.lock_key(name))
            yield self._hint(change, view, name, worker, tasks)

    def _lock_over(self, member: Worker | Candidate) -> str | None:
        return lock_over(member, self._options.pattern, self._options.group_by)

    def _may_take(self, name: str, workers: Sequence[Candidate], now: float, patience: float) -> bool:
        """Whether it is this peer's turn to take a free lock, or whoever's turn it was has let it lie."""
        if self._vacant_since is None:
            self._vacant_since = now
        group = {worker.id: worker for worker in workers if self._lock_over(worker) == name}
        late = now - self._vacant_since >= patience
        # Who is about to leave takes nothing on.
        return self._options.worker in group and (late or elected(group.values()) == self._options.worker)

    def _take(self, change: Change, view: View, name: str, observer: Observer, wall: float) -> Transaction:
        transaction, _ = locks.acquire(
            change,
            view.snapshot,
            name,
            holder=self._options.worker,
            incarnation=self._incarnation,
            ttl=self._options.times.stale,
            observer=observer,
            wall=wall,
        )
        return transaction

    def _wanted(
        self, view: View, name: str, workers: Sequence[Candidate], waiting: Sequence[Task], now: float
    ) -> dict[str, dict[str, int]]:
        """Worker → the tasks that are to be meant for it, for workers of this lock where that changes."""
        options = self._options
        meant = kept(hints(view), waiting, workers)
        wanted = dict(meant)
        if self._rebalanced is None:
            self._rebalanced = now
        if now - self._rebalanced >= options.rebalance:
            self._rebalanced = now
            wanted.update(rebalance(waiting, workers, meant, options.balancer, options.balancer_options))
        wanted.update(plan(waiting, workers, wanted, options.balancer, options.balancer_options))
        changed = {wanted[task] for task in wanted if wanted[task] != meant.get(task)}
        changed |= {meant[task] for task in meant if wanted[task] != meant[task]}
        able = {worker.id for worker in workers}
        # What is void goes with the next change; alone it is worth a write only where no change is to come.
        changed |= {name for name in view.assignments if name not in able or not waiting}
        found: dict[str, dict[str, int]] = {}
        for worker in sorted(changed):
            member = view.workers.get(worker)
            if member is not None and self._lock_over(member) != name:
                continue
            tasks = {task: view.tasks[task].epoch for task in wanted if wanted[task] == worker}
            if tasks or worker in view.assignments:
                found[worker] = tasks
        return found

    def _hint(
        self, change: Change, view: View, lock: str, worker: str, tasks: Mapping[str, int]
    ) -> Transaction:
        me, key = self._options.worker, layout.assignment_key(worker)
        before = view.assignments.get(worker)
        if not tasks:
            return change.delete(key).transaction(f"nothing is meant for {worker} any more, by {me}")
        assignment = Assignment(
            worker=worker,
            tasks=tasks,
            by=me,
            lock=lock,
            rev=0 if before is None else before.rev,
            tx="" if before is None else before.tx,
            extra={} if before is None else before.extra,
        )
        new = [task for task in tasks if before is None or before.tasks.get(task) != tasks[task]]
        change.put(key, assignment)
        return change.transaction(f"mean {', '.join(sorted(new)) or 'the same'} for {worker}, by {me}")
