"""What every balancer promises, whatever the fleet and its tasks look like."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sentinel.fleet.balancers import Balancer, Candidate, assign, configured, find
from sentinel.fleet.balancers.affinity import Affinity
from sentinel.fleet.balancers.capacity_based import weight
from sentinel.fleet.balancers.rendezvous import lot, ranking, ring
from sentinel.fleet.eligibility import demand_of, eligible
from sentinel.model.task import PRIORITIES, Task
from tests.unit.builders import evolve, task

#: Each strategy on its own, and once with its options turned round.
STRATEGIES: Mapping[str, tuple[str, dict[str, Any], bool]] = {
    "round_robin": ("round_robin", {"startIndex": 2}, False),
    "least_loaded": ("least_loaded", {}, False),
    "least_loaded by count": ("least_loaded", {"considerCapacity": False}, False),
    "capacity_based": ("capacity_based", {}, False),
    "capacity_based by slots": ("capacity_based", {"weightByCpu": False, "weightByMemory": False}, False),
    "affinity": ("affinity", {"affinityKey": "project"}, True),
    "affinity, then round_robin": ("affinity", {"fallbackStrategy": "round_robin"}, True),
    "least_loaded with affinity": ("least_loaded", {}, True),
}
every_strategy = pytest.mark.parametrize("name", STRATEGIES)


def strategy(name: str) -> tuple[Balancer, dict[str, Any]]:
    chosen, options, affinity = STRATEGIES[name]
    return configured(chosen, options, affinity=affinity), options


def share(name: str, waiting: list[Task], workers: list[Candidate]) -> dict[str, str]:
    balancer, options = strategy(name)
    return assign(waiting, workers, balancer, options)


def idle(id: str, **fields: Any) -> Candidate:
    given: dict[str, Any] = {"types": frozenset({"work"}), "active": 0, "max_tasks": 10_000, **fields}
    return Candidate(id=id, **given)


TYPES = st.sampled_from(["work", "other", "rare"])
REGIONS = st.sampled_from(["us-east-1", "eu-west-1"])
NAMES = [f"w{number}" for number in range(6)]
CANDIDATES = st.lists(
    st.builds(
        Candidate,
        id=st.sampled_from(NAMES),
        types=st.frozensets(TYPES),
        active=st.integers(0, 3),
        max_tasks=st.integers(0, 4),
        region=st.none() | REGIONS,
        capabilities=st.frozensets(st.sampled_from(["gpu", "general"])),
        cpu_cores=st.integers(0, 16),
        memory_mb=st.integers(0, 4096),
        cpu_percent=st.sampled_from([0.0, 50.0, 100.0]),
        queue=st.integers(0, 2),
        served=st.integers(0, 9),
    ),
    max_size=6,
    unique_by=lambda worker: worker.id,
)
LABELS = st.fixed_dictionaries(
    {},
    optional={"project": st.sampled_from(["p", "q"]), "region": REGIONS, "capability": st.just("gpu")},
)
WAITING = st.lists(
    st.builds(
        lambda id, type, priority, affinity, failed_on: evolve(
            task(id, type=type, priority=priority, affinity=affinity), failed_on=failed_on
        ),
        id=st.sampled_from([f"t{number}" for number in range(16)]),
        type=TYPES,
        priority=st.sampled_from(PRIORITIES),
        affinity=LABELS,
        failed_on=st.lists(st.sampled_from(NAMES), max_size=2, unique=True).map(tuple),
    ),
    max_size=16,
    unique_by=lambda waiting: waiting.id,
)


@every_strategy
@settings(max_examples=25)
@given(WAITING, CANDIDATES)
def test_only_eligible_workers_get_a_task(name: str, waiting: list[Task], workers: list[Candidate]) -> None:
    given_out = share(name, waiting, workers)
    for each in waiting:
        able = [worker.id for worker in eligible(demand_of(each), workers)]
        assert given_out.get(each.id) in (None, *able)


@every_strategy
@settings(max_examples=25)
@given(WAITING, CANDIDATES)
def test_no_worker_gets_more_than_it_has_slots_for(
    name: str, waiting: list[Task], workers: list[Candidate]
) -> None:
    counts = Counter(share(name, waiting, workers).values())
    assert all(counts[worker.id] <= worker.free for worker in workers)


@every_strategy
@settings(max_examples=25)
@given(WAITING, CANDIDATES, st.randoms())
def test_equal_snapshots_give_equal_assignments(
    name: str, waiting: list[Task], workers: list[Candidate], rng: random.Random
) -> None:
    expected = share(name, waiting, workers)
    rng.shuffle(waiting)
    rng.shuffle(workers)
    assert share(name, waiting, workers) == expected


@every_strategy
@settings(max_examples=25)
@given(WAITING, CANDIDATES)
def test_no_slot_stays_free_that_a_task_could_use(
    name: str, waiting: list[Task], workers: list[Candidate]
) -> None:
    given_out = share(name, waiting, workers)
    used = Counter(given_out.values())
    for each in waiting:
        if each.id not in given_out:
            assert all(used[worker.id] >= worker.free for worker in eligible(demand_of(each), workers))


@every_strategy
@settings(max_examples=25)
@given(WAITING, CANDIDATES, st.sampled_from(NAMES))
def test_who_has_claimed_its_share_changes_nothing_for_the_others(
    name: str, waiting: list[Task], workers: list[Candidate], claimer: str
) -> None:
    assume(len(waiting) <= sum(worker.free for worker in workers))
    before = share(name, waiting, workers)
    taken = [task for task, worker in before.items() if worker == claimer]
    left = [each for each in waiting if each.id not in taken]
    later = [
        dataclasses.replace(worker, active=worker.active + len(taken)) if worker.id == claimer else worker
        for worker in workers
    ]
    assert share(name, left, later) == {task: who for task, who in before.items() if who != claimer}


@every_strategy
@settings(max_examples=25)
@given(WAITING, CANDIDATES)
def test_lots_that_are_remembered_are_those_that_would_be_drawn_now(
    name: str, waiting: list[Task], workers: list[Candidate]
) -> None:
    remembered = share(name, waiting, workers)
    for memory in (ring, ranking, lot):
        memory.cache_clear()
    assert share(name, waiting, workers) == remembered


@every_strategy
def test_a_second_look_at_a_long_queue_ranks_nobody_again(name: str) -> None:
    waiting = [task(f"t{number}", type="work") for number in range(200)]
    workers = [idle(f"w{number}", max_tasks=2) for number in range(10)]
    share(name, waiting, workers)
    drawn = ranking.cache_info().misses
    later = [dataclasses.replace(worker, active=1) for worker in workers]
    share(name, waiting, later)
    assert ranking.cache_info().misses == drawn


# -- fairness ----------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(st.integers(1, 12), st.integers(0, 80), st.integers(0, 20), st.integers(0, 1000))
def test_round_robin_gives_equal_workers_equally_many_but_for_one(
    count: int, number: int, start: int, served: int
) -> None:
    workers = [idle(f"w{n:02}", served=served if n == 0 else 0) for n in range(count)]
    waiting = [task(f"t{n}") for n in range(number)]
    counts = Counter(assign(waiting, workers, find("round_robin"), {"startIndex": start}).values())
    shares = [counts[worker.id] for worker in workers]
    assert max(shares) - min(shares) <= 1


def test_round_robin_begins_at_the_start_index_and_goes_on_in_order_of_id() -> None:
    waiting = [task(f"t{n}") for n in range(4)]
    given_out = assign(waiting, [idle("a"), idle("b"), idle("c")], find("round_robin"), {"startIndex": 1})
    assert [given_out[each.id] for each in waiting] == ["b", "c", "a", "b"]


def test_round_robin_goes_on_where_the_fleet_has_served_tasks_one_at_a_time() -> None:
    turns = [
        assign([task("t")], [idle("a", served=n), idle("b"), idle("c")], find("round_robin"))["t"]
        for n in range(4)
    ]
    assert turns == ["a", "b", "c", "a"]


MANY = [task(f"t{number}") for number in range(10_000)]


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 16), st.integers(512, 16_384)), min_size=2, max_size=6))
def test_capacity_based_keeps_to_the_weights_within_five_percent_of_all_tasks(
    sizes: list[tuple[int, int]],
) -> None:
    workers = [idle(f"w{n}", cpu_cores=cpu, memory_mb=memory) for n, (cpu, memory) in enumerate(sizes)]
    counts = Counter(assign(MANY, workers, find("capacity_based")).values())
    total = sum(weight(worker, {}) for worker in workers)
    for worker in workers:
        assert abs(counts[worker.id] / len(MANY) - weight(worker, {}) / total) <= 0.05


def test_capacity_based_gives_each_of_four_sizes_its_share_within_five_percent_of_it() -> None:
    workers = [idle(f"w{size}", cpu_cores=size, memory_mb=1024 * size) for size in (1, 2, 3, 4)]
    counts = Counter(assign(MANY, workers, find("capacity_based")).values())
    shares = [counts[worker.id] / (len(MANY) * size / 10) for size, worker in enumerate(workers, 1)]
    assert all(0.95 <= found <= 1.05 for found in shares), shares


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 4.0),
        ({"weightByMemory": False}, 8.0),
        ({"weightByCpu": False}, 2.0),
        ({"weightByCpu": False, "weightByMemory": False}, 3.0),
    ],
)
def test_the_weight_is_what_the_options_say_it_is(options: dict[str, Any], expected: float) -> None:
    small = idle("w1", cpu_cores=1, memory_mb=1024, max_tasks=1)
    large = idle("w2", cpu_cores=8, memory_mb=2048, max_tasks=3)
    assert weight(large, options) / weight(small, options) == pytest.approx(expected)


KEYS = [task(f"t{number}", affinity={"project": f"p{number}"}) for number in range(2_000)]


def homes(workers: list[Candidate]) -> dict[str, str]:
    return assign(KEYS, workers, Affinity(find("least_loaded")), {"affinityKey": "project"})


@settings(max_examples=8, deadline=None)
@given(st.integers(2, 10), st.integers(0, 9))
def test_affinity_moves_few_keys_when_a_worker_leaves_and_only_its_own(count: int, leaver: int) -> None:
    workers = [idle(f"w{number}") for number in range(count)]
    gone = workers[leaver % count].id
    before, after = homes(workers), homes([worker for worker in workers if worker.id != gone])
    moved = [key for key in before if before[key] != after[key]]
    assert len(moved) <= 1.5 / count * len(KEYS)
    assert {before[key] for key in moved} <= {gone}


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 10))
def test_affinity_moves_keys_to_a_worker_that_joins_and_nowhere_else(count: int) -> None:
    workers = [idle(f"w{number}") for number in range(count)]
    before, after = homes(workers), homes([*workers, idle("new")])
    assert {after[key] for key in before if before[key] != after[key]} == {"new"}


@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
def test_affinity_keeps_to_the_home_however_loaded_the_others_are(one: int, two: int, three: int) -> None:
    labelled = [task("t", affinity={"project": "p"})]
    workers = [idle("w1", max_tasks=4), idle("w2", max_tasks=4), idle("w3", max_tasks=4)]
    loaded = [
        dataclasses.replace(worker, active=active)
        for worker, active in zip(workers, (one, two, three), strict=True)
    ]
    balancer = configured("affinity", {}, affinity=True)
    assert assign(labelled, loaded, balancer) == assign(labelled, workers, balancer)


@every_strategy
@given(
    waiting=WAITING,
    data=st.data(),
    names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique=True),
)
def test_what_is_taken_ahead_is_the_same_ones_whatever_each_has_in_hand(
    name: str, waiting: list[Task], data: st.DataObject, names: list[str]
) -> None:
    balancer, options = strategy(name)
    seen = []
    for _ in range(2):
        # All slots are taken; how far, and how busy each machine is, two peers never see alike.
        workers = [
            idle(
                worker,
                max_tasks=2,
                active=data.draw(st.integers(2, 600)),
                cpu_percent=data.draw(st.sampled_from([0.0, 50.0])),
            )
            for worker in names
        ]
        room = {worker: data.draw(st.integers(len(waiting), 600)) for worker in names}
        seen.append(assign(waiting, workers, balancer, options, ahead=room))
    assert seen[0] == seen[1]
    assert all(each.id in seen[0] for each in waiting if demand_of(each) == ("work", None, (), frozenset()))


@given(count=st.integers(1, 60), room=st.integers(0, 60))
def test_no_more_is_taken_ahead_than_there_is_room_for(count: int, room: int) -> None:
    waiting = [task(f"t{number}") for number in range(count)]
    full = [idle(worker, max_tasks=1, active=1) for worker in ("w1", "w2")]
    shared = Counter(assign(waiting, full, find("least_loaded"), ahead={"w1": room, "w2": 60}).values())
    assert shared["w1"] == min(room, Counter(first_of(each.id) for each in waiting)["w1"])


def first_of(id: str) -> str | None:
    return ring((("w1", 1.0), ("w2", 1.0))).first(id)


def test_many_that_wait_are_taken_ahead_in_about_equal_parts() -> None:
    waiting = [task(f"t{number}") for number in range(900)]
    full = [idle(worker, max_tasks=1, active=40) for worker in ("w1", "w2", "w3")]
    parts = Counter(
        assign(waiting, full, find("least_loaded"), ahead=dict.fromkeys(("w1", "w2", "w3"), 900)).values()
    )
    assert sum(parts.values()) == 900
    assert min(parts.values()) > 250
