"""Who takes which task: only who can, never more than fits, and the same answer on every peer."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.errors import BadInput
from sentinel.fleet.balancers import Candidate, assign, configured, find
from sentinel.fleet.balancers.catalogue import GROUP
from sentinel.fleet.balancers.least_loaded import least_loaded
from sentinel.model.task import ALONE_AFTER, PRIORITIES, Task
from tests.unit.builders import evolve, task


def free(id: str, *, active: int = 0, slots: int = 2, types: Sequence[str] = ("work",)) -> Candidate:
    return Candidate(id=id, types=frozenset(types), active=active, max_tasks=slots)


def tasks(*names: str) -> list[Task]:
    return [task(name) for name in names]


def lonely(name: str = "lonely", **fields: Any) -> Task:
    return evolve(task(name, **fields), losses=ALONE_AFTER)


def assigned(waiting: Sequence[Task], *workers: Candidate) -> dict[str, str]:
    return assign(waiting, workers, least_loaded)


def test_the_least_loaded_worker_is_chosen() -> None:
    assert assigned(tasks("a"), free("w1", active=1), free("w2")) == {"a": "w2"}


def test_load_is_a_share_of_the_slots() -> None:
    assert assigned(tasks("a"), free("w1", active=1, slots=2), free("w2", active=3, slots=10)) == {"a": "w2"}


def test_load_is_a_count_where_capacity_is_not_to_be_considered() -> None:
    workers = [free("w1", active=1, slots=2), free("w2", active=3, slots=10)]
    assert assign(tasks("a"), workers, least_loaded, {"considerCapacity": False}) == {"a": "w1"}


def test_equally_loaded_workers_get_as_many_of_many_tasks_as_they_have_slots() -> None:
    workers = [free("w1", slots=2), free("w2", slots=6)]
    chosen = Counter(assigned([each], *workers)[each.id] for each in tasks(*(f"t{n}" for n in range(1_000))))
    assert 0.7 <= chosen["w2"] / 1_000 <= 0.8


def test_which_of_equal_workers_is_chosen_hardly_depends_on_what_the_others_do() -> None:
    waiting = tasks(*(f"t{number}" for number in range(200)))
    crowd = [free(f"w{number}") for number in range(10)]
    less = [dataclasses.replace(crowd[0], active=1), *crowd[1:]]
    moved = [each.id for each in waiting if assigned([each], *crowd) != assigned([each], *less)]
    assert moved == [each.id for each in waiting if assigned([each], *crowd)[each.id] == "w0"]


def test_tasks_are_spread() -> None:
    assert Counter(assigned(tasks("a", "b", "c", "d"), free("w1"), free("w2")).values()) == {"w1": 2, "w2": 2}


def test_only_a_worker_that_runs_the_type_is_chosen() -> None:
    assert assigned(tasks("a"), free("w1", types=["other"]), free("w2", active=1)) == {"a": "w2"}


@pytest.mark.parametrize(
    "worker", [free("w1", active=2), free("w1", active=3), free("w1", slots=0), free("w1", types=[])]
)
def test_a_worker_without_a_free_slot_or_the_type_gets_nothing(worker: Candidate) -> None:
    assert assigned(tasks("a"), worker) == {}


def test_without_workers_nothing_is_assigned() -> None:
    assert assigned(tasks("a")) == {}


def test_the_most_urgent_task_gets_the_last_slot() -> None:
    waiting = [task(priority, priority=priority) for priority in PRIORITIES]
    assert assigned(waiting, free("w1", slots=1)) == {"critical": "w1"}


def test_the_oldest_of_equally_urgent_tasks_gets_the_last_slot() -> None:
    waiting = [task("a", created_at="2026-11-22T09:00:00Z"), task("b", created_at="2026-11-22T08:00:00Z")]
    assert assigned(waiting, free("w1", slots=1)) == {"b": "w1"}


def test_a_task_that_nobody_can_run_does_not_hold_up_the_others() -> None:
    waiting = [task("odd", type="odd", priority="critical"), task("a")]
    assert assigned(waiting, free("w1")) == {"a": "w1"}


# -- alone -------------------------------------------------------------------------------------------


def test_a_task_that_lost_many_workers_gets_an_idle_one_to_itself() -> None:
    waiting = [lonely(priority="high"), *tasks("a", "b")]
    assert assigned(waiting, free("w1", active=1), free("w2")) == {"lonely": "w2", "a": "w1"}


def test_it_is_not_put_beside_others() -> None:
    assert assigned([lonely()], free("w1", active=1)) == {}


def test_it_is_not_put_beside_what_is_assigned_in_the_same_look() -> None:
    waiting = [task("a", priority="high"), lonely()]
    assert assigned(waiting, free("w1")) == {"a": "w1"}


def test_a_worker_is_kept_free_for_it_so_that_it_does_not_wait_for_ever() -> None:
    waiting = [lonely(priority="high"), *tasks("a", "b", "c")]
    given_out = assigned(waiting, free("w1", active=1, slots=4), free("w2", active=2, slots=4))
    assert set(given_out.values()) == {"w2"}


def test_a_worker_that_could_not_run_it_is_not_kept_free() -> None:
    waiting = [lonely(priority="high"), task("a", type="other")]
    workers = [free("w1", active=1, types=["work", "other"]), free("w2", active=0, types=["other"])]
    assert assigned(waiting, *workers) == {"a": "w2"}


def test_two_of_them_get_two_workers() -> None:
    assert assigned([lonely("x"), lonely("y")], free("w1"), free("w2")) == {"x": "w1", "y": "w2"}


# -- always ------------------------------------------------------------------------------------------

TYPES = st.sampled_from(["work", "other", "rare"])
CANDIDATES = st.lists(
    st.builds(
        Candidate,
        id=st.sampled_from([f"w{n}" for n in range(6)]),
        types=st.frozensets(TYPES),
        active=st.integers(0, 3),
        max_tasks=st.integers(0, 4),
    ),
    max_size=6,
    unique_by=lambda worker: worker.id,
)
WAITING = st.lists(
    st.builds(
        lambda id, type, priority, losses: evolve(task(id, type=type, priority=priority), losses=losses),
        id=st.sampled_from([f"t{n}" for n in range(12)]),
        type=TYPES,
        priority=st.sampled_from(PRIORITIES),
        losses=st.sampled_from([0, 0, 0, ALONE_AFTER]),
    ),
    max_size=12,
    unique_by=lambda waiting: waiting.id,
)


@settings(max_examples=40)
@given(WAITING, CANDIDATES)
def test_an_assignment_is_always_possible(waiting: list[Task], workers: list[Candidate]) -> None:
    given_out = assign(waiting, workers, least_loaded)
    by_id = {worker.id: worker for worker in workers}
    for name, count in Counter(given_out.values()).items():
        assert by_id[name].active + count <= by_id[name].max_tasks
    for each in waiting:
        if each.id in given_out:
            assert each.type in by_id[given_out[each.id]].types
        if each.alone and each.id in given_out:
            name = given_out[each.id]
            assert (by_id[name].active, list(given_out.values()).count(name)) == (0, 1)


@settings(max_examples=40)
@given(WAITING, CANDIDATES, st.randoms())
def test_the_order_in_which_a_peer_lists_things_does_not_matter(
    waiting: list[Task], workers: list[Candidate], rng: Any
) -> None:
    expected = assign(waiting, workers, least_loaded)
    rng.shuffle(waiting)
    rng.shuffle(workers)
    assert assign(waiting, workers, least_loaded) == expected


@settings(max_examples=40)
@given(WAITING, CANDIDATES)
def test_no_slot_stays_free_that_an_ordinary_task_could_use(
    waiting: list[Task], workers: list[Candidate]
) -> None:
    ordinary = [evolve(each, losses=0) for each in waiting]
    given_out = assign(ordinary, workers, least_loaded)
    used = Counter(given_out.values())
    for each in ordinary:
        if each.id not in given_out:
            able = [worker for worker in workers if each.type in worker.types]
            assert all(worker.active + used[worker.id] >= worker.max_tasks for worker in able)


def test_a_balancer_sees_only_workers_that_may_take_the_task_sorted_by_id() -> None:
    seen: list[list[str]] = []

    def last(task: Task, workers: Sequence[Candidate], options: Mapping[str, Any]) -> Candidate:
        seen.append([worker.id for worker in workers])
        return workers[-1]

    workers = [free("w3"), free("w1", active=2), free("w2"), free("w4", types=["other"])]
    assert (assign(tasks("a"), workers, last), seen) == ({"a": "w3"}, [["w2", "w3"]])


def test_a_balancer_is_found_by_its_name() -> None:
    assert find("least_loaded") is least_loaded


def test_an_unknown_balancer_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(
        BadInput, match="there is no balancer 'magic'; there are affinity, capacity_based, least_loaded"
    ):
        find("magic")


@pytest.mark.parametrize(("active", "slots", "left"), [(0, 2, 2), (2, 2, 0), (5, 2, 0)])
def test_free_slots_are_never_fewer_than_none(active: int, slots: int, left: int) -> None:
    assert free("w1", active=active, slots=slots).free == left


@pytest.mark.parametrize(("active", "slots"), [(0, 2), (2, 2), (5, 2)])
def test_a_full_worker_has_no_free_slot(active: int, slots: int) -> None:
    full = free("w1", active=active, slots=slots).full()
    assert (full.free, dataclasses.replace(full, active=active)) == (
        0,
        free("w1", active=active, slots=slots),
    )


class _Point:
    """What `importlib.metadata` gives for an entry point."""

    def __init__(self, name: str, found: object) -> None:
        self.name, self.value, self._found = name, "elsewhere:balancer", found

    def load(self) -> object:
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, object], None]]:
    """Make a balancer of another package known under a name."""
    points: list[_Point] = []
    monkeypatch.setattr(metadata, "entry_points", lambda group: points if group == GROUP else [])
    find.cache_clear()
    yield lambda name, found: points.append(_Point(name, found))
    find.cache_clear()


def test_a_balancer_of_another_package_is_found_by_its_entry_point(
    install: Callable[[str, object], None],
) -> None:
    def last(task: Task, workers: Sequence[Candidate], options: Mapping[str, Any]) -> Candidate:
        return workers[-1]

    install("last", last)
    assert assign(tasks("a"), [free("w1"), free("w2")], find("last")) == {"a": "w2"}


def test_a_class_of_another_package_is_made_a_balancer(install: Callable[[str, object], None]) -> None:
    class Last:
        def __call__(self, task: Task, workers: Sequence[Candidate], options: Mapping[str, Any]) -> Candidate:
            return workers[-1]

    install("last", Last)
    assert assign(tasks("a"), [free("w1"), free("w2")], find("last")) == {"a": "w2"}


@pytest.mark.parametrize(
    ("found", "words"), [(ImportError("no module"), "cannot be loaded: no module"), (3, "cannot be called")]
)
def test_a_balancer_that_cannot_be_used_is_refused_with_the_reason(
    install: Callable[[str, object], None], found: object, words: str
) -> None:
    install("odd", found)
    with pytest.raises(BadInput, match=words):
        find("odd")


def test_a_balancer_of_another_package_does_not_hide_a_built_in_one(
    install: Callable[[str, object], None],
) -> None:
    install("least_loaded", 3)
    assert find("least_loaded") is least_loaded


def test_affinity_cannot_be_its_own_fallback() -> None:
    with pytest.raises(BadInput, match="cannot be affinity itself"):
        configured("affinity", {"fallbackStrategy": "affinity"}, affinity=True)


def test_without_affinity_the_strategy_of_that_name_is_its_fallback() -> None:
    assert configured("affinity", {}, affinity=False) is least_loaded


def test_a_worker_that_let_a_task_lie_is_passed_over() -> None:
    workers = [free("w1"), free("w2")]
    assert assign(tasks("a"), workers, least_loaded, passed={"a": {"w1"}}) == {"a": "w2"}


def test_load_is_twice_the_active_tasks_and_the_queue_and_a_tenth_of_the_cpu() -> None:
    assert dataclasses.replace(free("w1", active=2), queue=3, cpu_percent=40.0).score == 11.0


def test_where_there_are_more_tasks_than_slots_not_everybody_wants_the_first() -> None:
    workers = [free(f"w{number}", active=1, slots=1) for number in range(8)]
    waiting = tasks(*[f"t{number}" for number in range(40)])
    wanted = [
        assign(
            waiting,
            [dataclasses.replace(worker, active=0) if worker == own else worker for worker in workers],
            least_loaded,
        )
        for own in workers
    ]
    assert len({task for found in wanted for task in found}) >= 7
