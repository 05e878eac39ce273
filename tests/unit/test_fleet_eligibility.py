"""Which workers may take a task at all, whatever the strategy."""

from __future__ import annotations

from typing import Any

from sentinel.fleet.balancers import Candidate
from sentinel.fleet.eligibility import demand_of, eligible, refusals
from sentinel.model.task import Task
from tests.unit.builders import evolve, task


def worker(id: str, **fields: Any) -> Candidate:
    given: dict[str, Any] = {"types": frozenset({"work"}), "active": 0, "max_tasks": 2, **fields}
    return Candidate(id=id, **given)


def able(waiting: Task, *workers: Candidate) -> list[str]:
    return [found.id for found in eligible(demand_of(waiting), workers)]


def demands(**affinity: str) -> Task:
    return task("t", affinity=affinity)


def test_a_worker_must_run_the_type() -> None:
    assert able(task("t"), worker("w1", types=frozenset({"other"})), worker("w2")) == ["w2"]


def test_a_region_that_is_demanded_must_be_the_workers() -> None:
    workers = [worker("w1", region="eu-west-1"), worker("w2", region="us-east-1"), worker("w3")]
    assert able(demands(region="eu-west-1"), *workers) == ["w1"]


def test_a_task_that_demands_no_region_goes_anywhere() -> None:
    assert able(task("t"), worker("w1", region="eu-west-1"), worker("w2")) == ["w1", "w2"]


def test_a_capability_that_is_demanded_must_be_the_workers() -> None:
    workers = [worker("w1", capabilities=frozenset({"gpu"})), worker("w2")]
    assert able(demands(capability="gpu"), *workers) == ["w1"]


def test_all_of_several_capabilities_must_be_the_workers() -> None:
    both = worker("w1", capabilities=frozenset({"gpu", "arm"}))
    assert able(demands(capability="gpu, arm"), both, worker("w2", capabilities=frozenset({"gpu"}))) == ["w1"]


def test_a_type_is_a_capability_too() -> None:
    assert able(demands(capability="build"), worker("w1", types=frozenset({"work", "build"}))) == ["w1"]


def test_general_stands_in_for_a_capability_that_nobody_has() -> None:
    general = worker("w1", capabilities=frozenset({"general"}))
    assert able(demands(capability="gpu"), general, worker("w2")) == ["w1"]


def test_general_does_not_stand_in_where_somebody_has_the_capability() -> None:
    general = worker("w1", capabilities=frozenset({"general"}))
    assert able(demands(capability="gpu"), general, worker("w2", capabilities=frozenset({"gpu"}))) == ["w2"]


def test_every_worker_meets_the_demand_for_general() -> None:
    assert able(demands(capability="general"), worker("w1"), worker("w2")) == ["w1", "w2"]


def test_where_an_attempt_failed_the_next_one_does_not_go() -> None:
    assert able(evolve(task("t"), failed_on=("w1",)), worker("w1"), worker("w2")) == ["w2"]


def test_where_an_attempt_failed_the_next_one_goes_when_there_is_nobody_else() -> None:
    assert able(evolve(task("t"), failed_on=("w1",)), worker("w1")) == ["w1"]


def test_each_worker_has_the_first_ground_that_holds() -> None:
    workers = [
        worker("w1", types=frozenset({"other"}), region="eu-west-1"),
        worker("w2", region="us-east-1"),
        worker("w3", region="eu-west-1"),
        worker("w4", region="eu-west-1", capabilities=frozenset({"gpu"})),
        worker("w5", region="eu-west-1", capabilities=frozenset({"gpu"})),
    ]
    wanted = evolve(demands(region="eu-west-1", capability="gpu"), failed_on=("w4",))
    assert refusals(demand_of(wanted), workers) == {
        "w1": "type",
        "w2": "region",
        "w3": "capability",
        "w4": "failed_here",
    }
