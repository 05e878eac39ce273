"""What a coordinator means for whom, and what moves when it looks for a better distribution."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.errors import BadRecord
from sentinel.fleet.balancers import Candidate, find
from sentinel.fleet.hints import hints
from sentinel.fleet.patterns import elected, lock_over
from sentinel.fleet.planning import plan, rebalance
from sentinel.model.assignment import Assignment
from sentinel.model.ids import is_id
from sentinel.model.task import ALONE_AFTER, Task
from tests.unit.builders import Bench, evolve, running, task, worker

BALANCER = find("least_loaded")


def idle(id: str, *, active: int = 0, slots: int = 2, **fields: Any) -> Candidate:
    return Candidate(id=id, types=frozenset({"work"}), active=active, max_tasks=slots, **fields)


def tasks(count: int) -> list[Task]:
    return [task(f"t{number:03}") for number in range(count)]


def planned(waiting: list[Task], *workers: Candidate, meant: dict[str, str] | None = None) -> dict[str, str]:
    return plan(waiting, workers, meant or {}, BALANCER, {})


def moved(waiting: list[Task], *workers: Candidate, meant: dict[str, str]) -> dict[str, str]:
    return rebalance(waiting, workers, meant, BALANCER, {})


def test_free_slots_come_first_and_as_many_tasks_are_meant_ahead_as_there_are_slots() -> None:
    found = planned(tasks(9), idle("w1"), idle("w2", active=2))
    assert [found[name] for name in ("t000", "t001")] == ["w1", "w1"]
    assert Counter(found.values()) == {"w1": 4, "w2": 2}


def test_what_is_meant_for_somebody_already_stays_and_counts() -> None:
    found = planned(tasks(3), idle("w1"), idle("w2"), meant={"t000": "w1", "t001": "w1"})
    assert found == {"t002": "w2"}


def test_a_task_that_must_run_alone_is_not_meant_ahead() -> None:
    lonely = evolve(task("t"), losses=ALONE_AFTER)
    assert planned([lonely], idle("w1", active=1)) == {}


def test_what_waits_for_an_overloaded_worker_moves_to_an_idle_one() -> None:
    meant = {"t000": "w1", "t001": "w1"}
    assert moved(tasks(2), idle("w1", active=1), idle("w2"), meant=meant) == {"t001": "w2"}


def test_nothing_moves_from_a_worker_that_can_begin_it() -> None:
    meant = {"t000": "w1", "t001": "w1"}
    assert moved(tasks(2), idle("w1"), idle("w2"), meant=meant) == {}


def test_nothing_moves_where_nobody_is_idle() -> None:
    meant = {"t000": "w1", "t001": "w2"}
    assert moved(tasks(2), idle("w1", active=2), idle("w2", active=1), meant=meant) == {}


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3)), min_size=1, max_size=5),
    st.lists(st.integers(0, 4), max_size=12),
)
def test_a_move_never_overloads_anybody_and_moves_only_what_was_meant(
    sizes: list[tuple[int, int]], meant_for: list[int]
) -> None:
    workers = [idle(f"w{n}", active=active, slots=slots) for n, (active, slots) in enumerate(sizes)]
    waiting = tasks(len(meant_for))
    meant = {each.id: f"w{n % len(workers)}" for each, n in zip(waiting, meant_for, strict=True)}
    moves = moved(waiting, *workers, meant=meant)
    after = Counter((meant | moves).values())
    assert moves.keys() <= meant.keys()
    assert all(after[name] <= next(w.free for w in workers if w.id == name) for name in moves.values())


# -- hints -------------------------------------------------------------------------------------------


def test_a_hint_is_for_a_task_as_it_was(bench: Bench) -> None:
    bench.put(task("a"), task("b"), running("c"))
    assignment = Assignment(worker="w1", tasks={"a": 0, "b": 1, "c": 0, "gone": 0})
    change = bench.change(bench.snapshot()).put("assignments/w1", assignment)
    assert bench.lands(change.transaction("mean a for w1"))
    assert hints(bench.view()) == {"a": "w1"}


def test_hints_that_are_another_workers_are_unreadable() -> None:
    document = {"worker": "w2", "tasks": {}, "rev": 1, "tx": "x"}
    with pytest.raises(BadRecord, match="it says it is for worker 'w2'"):
        Assignment.load("assignments/w1", document)


def test_hints_keep_what_a_later_version_added() -> None:
    document = {"worker": "w1", "tasks": {"a": 0}, "by": "w2", "lock": "x", "rev": 1, "tx": "x", "later": 1}
    assert Assignment.load("assignments/w1", document).document() == document


# -- who leads ---------------------------------------------------------------------------------------


def test_a_peer_among_peers_has_nobody_over_it() -> None:
    assert lock_over(worker(), "peer_to_peer", "region") is None


def test_one_lock_is_over_all_workers_where_a_coordinator_assigns() -> None:
    assert lock_over(worker(region="eu"), "master_worker", "region") == "coordinator"


@pytest.mark.parametrize(("by", "lock"), [("region", "leader.eu-west-1"), ("role", "leader.build")])
def test_a_group_has_a_lock_of_its_own(by: Any, lock: str) -> None:
    assert lock_over(worker(region="eu-west-1", role="build"), "hierarchical", by) == lock


@given(st.text(max_size=40), st.text(max_size=40))
def test_two_groups_never_share_a_lock_and_each_has_a_legal_name(one: str, other: str) -> None:
    locks = [str(lock_over(worker(region=name), "hierarchical", "region")) for name in (one, other)]
    assert all(is_id(lock) for lock in locks)
    assert (locks[0] == locks[1]) == (one == other)


def test_a_worker_whose_role_it_is_leads_and_otherwise_the_first_by_id() -> None:
    crowd = [worker("w2"), worker("w1"), worker("w3", role="leader")]
    assert (elected(crowd), elected(crowd[:2]), elected([])) == ("w3", "w1", None)
