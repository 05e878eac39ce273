"""A short version of `scripts/measure-balance`: each strategy and pattern keeps the documented limits."""

from __future__ import annotations

from typing import Any

import pytest

from sentinel.testing.simulation.balance import BalanceOptions, Figures, measure
from sentinel.testing.simulation.mixture import Order, list_schedule
from sentinel.testing.simulator import SimulationOptions, simulate
from tests.unit.builders import worker

#: The limits of docs/balancing.md.
MOST_CONFLICTS, LONGEST_RATIO = 0.05, 1.25

CASES: dict[str, dict[str, Any]] = {
    "round_robin": {"strategy": "round_robin"},
    "least_loaded": {"strategy": "least_loaded"},
    "capacity_based": {"strategy": "capacity_based"},
    "affinity": {"strategy": "affinity", "options": {"affinityKey": "project"}},
    "master_worker": {"pattern": "master_worker"},
    "hierarchical": {"pattern": "hierarchical"},
    "a far store": {"latency": (0.005, 0.02), "joined": True},
    "overload": {"stretch": 5.0},
}


def small(**options: Any) -> Figures:
    # So few tasks, and one of them as long as all of it, would only show that nobody can look ahead; so would
    # a seed that has the longest come last.
    return measure(10, BalanceOptions(peers=6, tasks=120, within=30.0, longest=20.0, **options))


@pytest.mark.parametrize("case", CASES)
def test_the_work_is_done_almost_as_soon_as_by_one_who_knows_all_and_with_few_conflicts(case: str) -> None:
    figures = small(**CASES[case])
    assert figures.ratio <= LONGEST_RATIO
    assert figures.conflict_rate <= MOST_CONFLICTS


@pytest.fixture(scope="module", params=["master_worker", "hierarchical"])
def bereaved(request: pytest.FixtureRequest) -> tuple[Figures, float]:
    """What came of a fleet whose leader was killed under load, and the bound that is printed for it.

    `measure` raises when any invariant does not hold.
    """
    options = BalanceOptions(peers=6, tasks=100, within=30.0, pattern=request.param, kill_after=5.0)
    return measure(7, options), options.times.takeover_bound(poll=options.poll, jitter=0.1, round_trip=0.02)


def test_tasks_are_taken_on_within_the_bound_when_whoever_leads_is_killed(
    bereaved: tuple[Figures, float],
) -> None:
    figures, bound = bereaved
    assert figures.idle_after_kill is not None
    assert figures.idle_after_kill <= bound


def test_what_a_killed_leader_ran_is_free_within_the_bound(bereaved: tuple[Figures, float]) -> None:
    figures, bound = bereaved
    assert figures.freed_after_kill is not None
    assert 0.0 < figures.freed_after_kill <= bound


@pytest.mark.parametrize("pattern", ["master_worker", "hierarchical"])
@pytest.mark.parametrize("seed", [1, 2])
def test_every_invariant_holds_in_a_fleet_that_is_led_while_everything_goes_wrong(
    pattern: Any, seed: int
) -> None:
    report = simulate(seed, SimulationOptions(minutes=8, tasks=60, fault_every=10.0, pattern=pattern))
    assert report.violation is None, report.timeline


def test_the_list_scheduler_fills_all_slots_with_the_longest_tasks_first() -> None:
    orders = [
        Order(id=f"t{seconds}", at=0.0, seconds=seconds, type="work", priority="low", affinity={})
        for seconds in (1.0, 2.0, 3.0, 6.0)
    ]
    assert list_schedule(orders, [worker(max_tasks=2)]) == 6.0


def test_the_list_scheduler_knows_of_no_task_before_it_is_handed_in() -> None:
    late = Order(id="t", at=10.0, seconds=1.0, type="work", priority="low", affinity={})
    assert list_schedule([late], [worker()]) == 11.0
