"""What waits, as it is kept from look to look, is what anybody would find who looks at everything anew."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from sentinel.fleet.backlog import Backlog
from sentinel.fleet.candidates import ready
from sentinel.fleet.dependencies import failed_dependency
from sentinel.fleet.view import Reader
from sentinel.model.layout import done_key, task_key
from sentinel.model.task import WAITING, Task
from sentinel.store.base import Snapshot
from tests.unit.builders import FAILED, Bench, ended, evolve, running, task
from tests.unit.test_fleet_view import Forgetful

NAMES = ("a", "b", "c", "d", "e", "f")


class Follower:
    """A backlog that follows a store from look to look."""

    def __init__(self, bench: Bench, *, told: bool = True) -> None:
        self.bench = bench
        self.reader = Reader()
        self.backlog = Backlog()
        self._told = told

    def look(self) -> None:
        """One look at the newest state."""
        snapshot: Snapshot = self.bench.snapshot()
        view = self.reader.view(snapshot if self._told else Forgetful(snapshot))
        now = self.bench.clock.now()
        self.backlog.look(view, sent=now, reply=now)

    def ready(self, number: int = 100) -> list[str]:
        """The tasks that may start."""
        return [each.id for each in self.backlog.first(number, lambda _: True)]


@pytest.fixture
def follower(bench: Bench) -> Follower:
    return Follower(bench)


def store(bench: Bench, record: Task) -> None:
    """Put a task where it belongs, wherever it was."""
    for key in (task_key(record.id), done_key(record.id)):
        if bench.change().holds(key):
            bench.drop(key)
    bench.put(record)


def drawn(rng: random.Random, name: str, number: int) -> Task:
    fields: dict[str, Any] = {
        "created_at": f"2026-11-22T00:{number:02d}:00Z",
        "type": rng.choice(("work", "other")),
        "priority": rng.choice(("low", "high")),
        "after": tuple(other for other in NAMES if other < name and rng.random() < 0.3),
        "affinity": {"region": "eu"} if rng.random() < 0.3 else {},
    }
    kind = rng.random()
    if kind < 0.5:
        return evolve(task(name, **fields), backoff=rng.choice((0.0, 0.0, 3.0, 8.0)))
    if kind < 0.65:
        return running(name, **fields)
    if kind < 0.7:
        return evolve(task(name, **fields), state="awaiting_approval")
    return ended(name, **fields) if kind < 0.9 else ended(name, FAILED, **fields)


@pytest.mark.parametrize("told", [True, False], ids=["told-what-changed", "not-told"])
@pytest.mark.parametrize("seed", range(8))
def test_a_backlog_that_followed_every_step_holds_what_a_look_at_everything_finds(
    bench: Bench, seed: int, told: bool
) -> None:
    rng, follower = random.Random(seed), Follower(bench, told=told)
    for number in range(60):
        for _ in range(rng.randrange(4)):
            name = rng.choice(NAMES)
            if rng.random() < 0.1 and bench.change().holds(task_key(name)):
                bench.drop(task_key(name))
            else:
                store(bench, drawn(rng, name, rng.randrange(60)))
        bench.clock.advance(rng.choice((0.0, 1.0, 5.0)))
        if rng.random() < 0.1:
            follower.reader.view(bench.snapshot())  # a view that the backlog never gets to see
        follower.look()
        view, backlog = bench.view(), follower.backlog
        expected = ready(view, backlog.waited)
        assert sorted(follower.ready()) == sorted(each.id for each in expected), f"step {number}"
        assert [each.id for each in backlog.doomed()] == sorted(
            each.id
            for each in view.tasks.values()
            if each.state in WAITING and failed_dependency(each, view.task)
        ), f"step {number}"
        for region in (None, "eu"):
            anything = any(
                each.type == "work" and each.affinity.get("region", region) == region
                for each in ready(view, lambda _: 1e9)
            )
            assert backlog.waits_for({"work"}, region) is anything, f"step {number}"


def test_of_each_kind_the_oldest_come_first(bench: Bench, follower: Follower) -> None:
    for number in (3, 1, 2):
        bench.put(task(f"old-{number}", created_at=f"2026-11-22T00:00:0{number}Z"))
        bench.put(task(f"urgent-{number}", created_at=f"2026-11-22T00:00:0{number}Z", priority="high"))
    follower.look()
    assert sorted(follower.ready(2)) == ["old-1", "old-2", "urgent-1", "urgent-2"]


def test_what_nobody_wants_takes_no_place_among_the_first(bench: Bench, follower: Follower) -> None:
    for number in range(3):
        bench.put(task(f"t-{number}", created_at=f"2026-11-22T00:00:0{number}Z"))
    follower.look()
    assert [each.id for each in follower.backlog.first(1, lambda each: each.id != "t-0")] == ["t-1"]


def test_many_new_tasks_at_once_are_in_order(bench: Bench, follower: Follower) -> None:
    names = [f"t-{number:02d}" for number in range(40)]
    for name in reversed(names):
        bench.put(task(name))
    follower.look()
    assert follower.ready() == names


def test_a_backoff_runs_from_the_first_look_that_showed_it(bench: Bench, follower: Follower) -> None:
    bench.put(evolve(task("again"), backoff=4.0))
    follower.look()
    bench.clock.advance(1.5)
    follower.look()
    assert follower.backlog.next_due(bench.clock.now()) == pytest.approx(2.5)


def test_a_task_whose_backoff_is_over_may_start_though_nothing_changed(
    bench: Bench, follower: Follower
) -> None:
    bench.put(evolve(task("again"), backoff=4.0))
    follower.look()
    before = follower.ready()
    bench.clock.advance(4.0)
    follower.look()
    assert (before, follower.ready()) == ([], ["again"])


def test_nothing_is_due_when_nothing_backs_off(bench: Bench, follower: Follower) -> None:
    bench.put(task("now"))
    follower.look()
    assert follower.backlog.next_due(0.0) == float("inf")


def test_only_what_may_start_may_be_taken_by_its_id(bench: Bench, follower: Follower) -> None:
    bench.put(task("first"), task("then", after=("first",)))
    follower.look()
    assert (follower.backlog.may_start("first") is None, follower.backlog.may_start("then")) == (False, None)


@pytest.mark.parametrize(
    "gone", [range(8), range(24, 32), range(3, 29), [0, 1, 5, 6, 7, 20, 31], [], range(32)]
)
def test_what_goes_leaves_the_others_in_their_order(
    bench: Bench, follower: Follower, gone: Sequence[int]
) -> None:
    names = [f"t{number:02d}" for number in range(32)]
    bench.put(*(task(name) for name in names))
    follower.look()
    for number in gone:
        store(bench, running(names[number]))
    follower.look()
    assert follower.ready() == [name for number, name in enumerate(names) if number not in gone]
