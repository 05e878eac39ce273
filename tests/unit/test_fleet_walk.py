"""Decisions on old snapshots that land late, twice and in any order keep the invariants (I1–I4, I8, I11).

Everything that a peer or a person decides is put on its way as data, and arrives whenever the seed likes.
What then stands in the true history of the store is judged transaction by transaction.
"""

from __future__ import annotations

import functools
import random
from collections import Counter
from collections.abc import Callable

import pytest

from sentinel.errors import SentinelError
from sentinel.fleet import failover, registry, tasks
from sentinel.fleet.failover import Suspect
from sentinel.fleet.view import Reader, View
from sentinel.model import layout
from sentinel.model.codec import Document, decode
from sentinel.model.task import CAUSES, Ending, Fence, Task
from sentinel.store.base import ABSENT, Committed, Outcome, Snapshot, Transaction
from sentinel.store.memory import Commit, MemorySnapshot
from tests.unit.builders import AT, WALL, Bench, incarnation, worker

WORKERS, TASKS = ("w1", "w2", "w3"), ("a", "b", "c", "d", "e", "f")
STEPS = 120
SEEDS = range(12)


class Walk:
    """Three workers, three tasks, and a network that delays and doubles what is sent."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.bench = Bench()
        self.seen: list[Snapshot] = []
        self.on_its_way: list[Transaction] = []
        #: Transaction id → the incarnation in whose name it was made, None for one of nobody's.
        self.made_by: dict[str, str | None] = {}
        #: Of every claim that was ever decided.
        self.fences: list[Fence] = []
        self.starts = 0
        for name in TASKS:
            wanted = Task(id=name, type="work", retries=1, created_at=AT)
            self.bench.lands(tasks.submit(self.bench.change(), self.bench.snapshot(), wanted, wall=WALL)[0])
        self.judged = len(self.bench.fleet.history)
        self.landed: Counter[str] = Counter()

    def look(self) -> View:
        """What somebody sees who decides now: usually the newest state, sometimes one from a while ago."""
        self.seen = [*self.seen[-5:], self.bench.snapshot()]
        return Reader().view(self.rng.choice([self.seen[-1]] * 3 + self.seen))

    def send(self, transaction: Transaction | None, by: str | None = None) -> None:
        """Put a decision on its way; most arrive at once."""
        if transaction is None:
            return
        self.made_by[transaction.id] = by
        if self.rng.random() < 0.3:
            self.on_its_way.append(transaction)
            return
        self.bench.commit(transaction)
        if self.rng.random() < 0.2:
            self.on_its_way.append(transaction)

    def step(self) -> None:
        """One decision or one arrival, and the verdict on what landed."""
        actions: dict[Callable[[], None], int] = {
            self.join: 3,
            self.claim: 6,
            self.end: 3,
            self.leave: 1,
            self.bury: 1,
            self.free: 3,
            self.cancel: 1,
            self.retry: 3,
            self.arrive: 4,
            self.arrive_together: 1,
        }
        (action,) = self.rng.choices(list(actions), list(actions.values()))
        action()
        history = self.bench.fleet.history
        while self.judged < len(history):
            self.judge(history[self.judged - 1], history[self.judged])
            self.judged += 1

    # -- decisions -----------------------------------------------------------------------------------

    def join(self) -> None:
        view, name = self.look(), self.rng.choice(WORKERS)
        self.starts += 1
        new = incarnation(f"inc{self.starts}", name)
        change = self.bench.change(view.snapshot)
        self.send(registry.join(change, view.snapshot, worker(name, new.id), new))

    def claim(self) -> None:
        view = self.look()
        waiting = [task for task in view.tasks.values() if task.state == "pending"]
        if waiting and view.workers:
            task, owner = self.rng.choice(waiting), self.rng.choice(list(view.workers.values()))
            change, me = self.bench.change(view.snapshot), owner.incarnation
            transaction, claimed = tasks.claim(change, task, worker=owner.id, incarnation=me, wall=WALL)
            self.fences.append(claimed.fence())
            self.send(transaction, me)

    def running(self, view: View) -> Task | None:
        found = [task for task in view.tasks.values() if task.state == "running"]
        return self.rng.choice(found) if found else None

    def end(self) -> None:
        view = self.look()
        task = self.running(view)
        if task is not None:
            # Owners remember their claims, whatever became of them.
            fence = task.fence() if self.rng.random() < 0.7 else self.rng.choice(self.fences)
            ending = Ending(cause=None if self.rng.random() < 0.3 else self.rng.choice(CAUSES))
            change = self.bench.change(view.snapshot)
            self.send(tasks.end(change, view, fence, ending, wall=WALL), fence.incarnation)

    def leave(self) -> None:
        view = self.look()
        if view.workers:
            owner = self.rng.choice(list(view.workers.values()))
            mine = {fence for fence in self.fences if fence.incarnation == owner.incarnation}
            endings = [
                (fence, Ending(cause="drained"))
                for fence in sorted(mine, key=lambda fence: (fence.task, fence.epoch))
            ]
            change, me = self.bench.change(view.snapshot), incarnation(owner.incarnation, owner.id)
            self.send(registry.leave(change, view, me, endings, wall=WALL), me.id)

    def bury(self) -> None:
        view = self.look()
        if view.incarnations:
            found = self.rng.choice(list(view.incarnations.values()))
            dead = Suspect(
                incarnation=found.id, worker=found.worker, version=ABSENT, session=None, ground="silent"
            )
            self.send(failover.bury(self.bench.change(view.snapshot), dead, by="w9"))

    def free(self) -> None:
        view = self.look()
        task = self.running(view)
        if task is not None:
            self.send(tasks.free_orphan(self.bench.change(view.snapshot), task, wall=WALL, by="w9"))

    def cancel(self) -> None:
        self.ask(lambda change, snapshot, name: tasks.cancel(change, snapshot, name, wall=WALL, reason="no"))

    def retry(self) -> None:
        self.ask(lambda change, snapshot, name: tasks.retry(change, snapshot, name, wall=WALL, by="ann"))

    def ask(self, decide: Callable[..., tuple[Transaction | None, Task]]) -> None:
        snapshot = self.look().snapshot
        try:
            transaction, _ = decide(self.bench.change(snapshot), snapshot, self.rng.choice(TASKS))
        except SentinelError:
            return
        self.send(transaction)

    # -- arrivals ------------------------------------------------------------------------------------

    def arrive(self) -> None:
        if self.on_its_way:
            transaction = self.rng.choice(self.on_its_way)
            if self.rng.random() < 0.7:
                self.on_its_way.remove(transaction)
            self.bench.commit(transaction)

    def arrive_together(self) -> None:
        batch, self.on_its_way = self.on_its_way, []
        outcomes = self.bench.store.commit(batch)
        landed = [tx for tx, outcome in zip(batch, outcomes, strict=True) if _landed(outcome)]
        assert all(_landed(outcome) for outcome in self.bench.store.commit(landed)), (
            "sent again, it landed still"
        )

    # -- the verdict ---------------------------------------------------------------------------------

    def judge(self, before: Commit, after: Commit) -> None:
        for tx in after.transactions:
            self.landed[tx.note.split()[0]] += 1
            by = self.made_by[tx.id]
            if by is not None:
                version = MemorySnapshot(before).version(layout.incarnation_key(by))
                assert version is not ABSENT, f"{tx.note}: the dead write nothing (I4, I11)"
            for name in TASKS:
                if layout.task_key(name) in tx.write or layout.done_key(name) in tx.write:
                    self.judge_task(tx, by, _only(before, name), _only(after, name))
        live = [found.worker for found in Reader().view(MemorySnapshot(after)).incarnations.values()]
        assert len(live) == len(set(live)), "one incarnation speaks for a worker"

    def judge_task(self, tx: Transaction, by: str | None, old: Document, new: Document) -> None:
        claimed = tx.note.startswith("claim")
        assert new["rev"] == old["rev"] + 1, f"{tx.note}: revisions are a linear chain (I3)"
        assert new["epoch"] == old["epoch"] + claimed, f"{tx.note}: one epoch a claim, and no other (I2)"
        assert old["state"] != "done", f"{tx.note}: done is final (I8)"
        if by is not None:
            owner = (new if claimed else old)["incarnation"]
            assert owner == by, f"{tx.note}: an incarnation acts as the owner (I4)"
        finished = [line for line in new["history"] if line["event"] == "finished"]
        assert len(finished) == (new["state"] == "done"), f"{tx.note}: one committed result (I1)"


def _landed(outcome: Outcome) -> bool:
    return isinstance(outcome, Committed)


def _only(commit: Commit, name: str) -> Document:
    """The one document of a task, in whichever folder."""
    keys = (layout.task_key(name), layout.done_key(name))
    (document,) = (decode(commit.state[key]) for key in keys if key in commit.state)
    found: Document = document
    return found


@functools.cache
def walked(seed: int) -> Counter[str]:
    """What landed in a walk of this seed, every step of it judged."""
    walk = Walk(seed)
    for _ in range(STEPS):
        walk.step()
    return walk.landed


@pytest.mark.parametrize("seed", SEEDS)
def test_the_true_history_keeps_the_invariants_whatever_comes_late_or_twice(seed: int) -> None:
    assert walked(seed)


def test_the_walks_go_everywhere() -> None:
    """A walk that never claims would keep every invariant."""
    landed = sum((walked(seed) for seed in SEEDS), Counter[str]())
    seldom = {
        verb for verb in ("join", "claim", "finish", "fail", "leave", "free", "retry") if landed[verb] < 5
    }
    assert seldom == set()
