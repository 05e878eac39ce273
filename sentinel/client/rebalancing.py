"""Moving what waits for an overloaded worker to idle ones now, not at its coordinator's next look."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from sentinel.client.connection import Connection
from sentinel.fleet import board
from sentinel.fleet.balancers import Candidate, configured
from sentinel.fleet.candidates import candidates, ready
from sentinel.fleet.hints import hints
from sentinel.fleet.observer import Observer
from sentinel.fleet.patterns import GroupBy, Pattern, lock_over
from sentinel.fleet.planning import kept, rebalance
from sentinel.fleet.view import View
from sentinel.model import layout
from sentinel.model.assignment import Assignment
from sentinel.store.base import Snapshot, Transaction
from sentinel.store.transact import Change


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A waiting task that is now meant for another worker."""

    task: str
    before: str
    after: str


class RebalanceCalls(Connection):
    """Rebalances a fleet that is led."""

    def rebalance(
        self, pattern: Pattern, group_by: GroupBy = "region", *, dry_run: bool = False
    ) -> list[Move]:
        """Do once what each coordinator does at its interval; running tasks never move.

        Among peers nothing is meant for anybody ahead, so nothing moves. Raises `BadInput` when the
        configured balancer cannot be had.
        """
        chosen = self._options
        balancer = configured(chosen.strategy, chosen.balancer_options, affinity=chosen.affinity)

        def decide(snapshot: Snapshot) -> tuple[Transaction | None, list[Move]]:
            view = self._records.view(snapshot)
            workers = self._able(view)
            waiting = ready(view, lambda _: math.inf)
            meant = kept(hints(view), waiting, workers)
            moved: dict[str, str] = {}
            for group in _groups(workers, pattern, group_by):
                members = {worker.id for worker in group}
                theirs = {task: worker for task, worker in meant.items() if worker in members}
                moved |= rebalance(waiting, group, theirs, balancer, chosen.balancer_options)
            moves = [
                Move(task=task, before=meant[task], after=worker)
                for task, worker in sorted(moved.items())
                if meant[task] != worker
            ]
            if not moves:
                return None, moves
            return self._moving(view, meant, moves), moves

        return self._transact(decide, dry_run=dry_run)

    def _able(self, view: View) -> list[Candidate]:
        registers = self._transactor.retrying()(self.store.published)
        rows = board.worker_rows(view, registers, self._clock.wall())
        beats = {row.id for row in rows if row.status in ("online", "busy")}
        return [found for found in candidates(view, registers, Observer()) if found.id in beats]

    def _moving(self, view: View, meant: Mapping[str, str], moves: Sequence[Move]) -> Transaction:
        wanted = {**meant, **{move.task: move.after for move in moves}}
        change = self._transactor.change(view.snapshot)
        for worker in sorted({name for move in moves for name in (move.before, move.after)}):
            tasks = {task: view.tasks[task].epoch for task, name in wanted.items() if name == worker}
            self._mean(change, view, worker, tasks)
        said = ", ".join(f"{move.task} to {move.after}" for move in moves)
        return change.transaction(f"rebalance {said}, by {self._actor}")

    def _mean(self, change: Change, view: View, worker: str, tasks: Mapping[str, int]) -> None:
        before = view.assignments.get(worker)
        if not tasks:
            change.delete(layout.assignment_key(worker))
            return
        known = Assignment(worker=worker) if before is None else before
        change.put(layout.assignment_key(worker), dataclasses.replace(known, tasks=tasks, by=self._actor))


def _groups(workers: Sequence[Candidate], pattern: Pattern, group_by: GroupBy) -> list[list[Candidate]]:
    """Workers by the lock over them; none among peers."""
    groups: dict[str, list[Candidate]] = {}
    for worker in workers:
        lock = lock_over(worker, pattern, group_by)
        if lock is not None:
            groups.setdefault(lock, []).append(worker)
    return list(groups.values())
