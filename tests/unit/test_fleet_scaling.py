"""How many workers there should be: the rules of the guide, and what keeps the number from swinging."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.fleet.metrics import Metrics, TaskMetrics, WorkerMetrics
from sentinel.fleet.scaling import Decision, Rules, decide
from sentinel.model.codec import decode, encode
from sentinel.model.counts import Counts
from sentinel.model.scaling import Scaling

WALL = 1_795_000_000.0
#: No pause, and one look is enough: what the rules alone say.
RULES = Rules(min_workers=2, max_workers=8, looks=1, cooldown=0.0)


def worker(id: str, active: int = 0, status: str = "online", **more: Any) -> WorkerMetrics:
    fields: dict[str, Any] = {field.name: None for field in dataclasses.fields(WorkerMetrics)}
    numbers = ("starts", "crashes", "claimed", "lost_claims", "stale_results", "failovers", "locks_held")
    fields.update(dict.fromkeys((*numbers, "tasks_done", "tasks_failed"), 0))
    fields.update(
        id=id,
        status=status,
        healthy=status in ("online", "busy", "draining", "cordoned"),
        expected=True,
        active_tasks=active,
        max_tasks=4,
        utilization=active / 4,
    )
    return WorkerMetrics(**{**fields, **more})


def fleet(*workers: WorkerMetrics, queue: int = 0, response: float | None = None) -> Metrics:
    tasks = TaskMetrics(
        by_state={},
        queue_length=queue,
        queue_by_priority={},
        oldest_waiting_seconds=None,
        success_rate=None,
        mean_run_seconds=None,
        mean_response_seconds=None,
        recent_ended=0,
        recent_failure_rate=None,
        recent_response_seconds=response,
    )
    return Metrics(
        timestamp="",
        workers=workers,
        tasks=tasks,
        locks=(),
        counts=Counts(),
        failovers=0,
        unreadable_records=0,
    )


def same(number: int, active: int = 0, queue: int = 0, **more: Any) -> Metrics:
    """So many equal workers, named as the scaler names them."""
    return fleet(*(worker(f"worker-{n:03d}", active, **more) for n in range(1, number + 1)), queue=queue)


def decided(metrics: Metrics, memory: Scaling | None = None, wall: float = WALL, **rules: Any) -> Decision:
    return decide(metrics, dataclasses.replace(RULES, **rules), memory or Scaling(), wall)


def test_a_busy_fleet_with_a_long_queue_gets_two_more() -> None:
    found = decided(same(3, active=4, queue=51))
    assert (found.action, found.start, found.target) == ("up", ("worker-004", "worker-005"), 5)


@pytest.mark.parametrize(("active", "queue"), [(4, 50), (3, 500)], ids=["short queue", "free slots"])
def test_a_long_queue_or_full_slots_alone_ask_for_nothing(active: int, queue: int) -> None:
    assert decided(same(3, active=active, queue=queue)).action == "hold"


def test_an_idle_fleet_loses_the_two_least_busy() -> None:
    metrics = fleet(worker("a", 2), worker("b"), worker("c"), worker("d", 1), worker("e"))
    found = decided(metrics)
    assert (found.action, found.drain, found.target) == ("down", ("b", "c"), 3)


@pytest.mark.parametrize(("active", "queue"), [(0, 10), (1, 0)], ids=["queue", "use"])
def test_at_the_lower_thresholds_nobody_goes(active: int, queue: int) -> None:
    assert decided(same(4, active=active, queue=queue)).action == "hold"


def test_the_maximum_and_the_minimum_hold() -> None:
    assert decided(same(7, active=4, queue=99)).start == ("worker-008",)
    assert decided(same(8, active=4, queue=99)).action == "hold"
    assert decided(same(3)).drain == ("worker-001",)
    assert decided(same(2)).action == "hold"


def test_a_fleet_below_its_minimum_grows_whatever_its_load() -> None:
    assert decided(fleet()).start == ("worker-001", "worker-002")
    assert decided(same(1), Scaling(changed_at=WALL - 1), cooldown=300.0).start == ("worker-002",)


def test_a_fleet_above_its_maximum_shrinks_whatever_its_load() -> None:
    assert len(decided(same(11, active=4, queue=99)).drain) == 2


def test_several_looks_must_agree() -> None:
    memory = Scaling()
    actions = []
    for _ in range(3):
        found = decided(same(3, active=4, queue=99), memory, looks=3)
        actions.append(found.action)
        memory = found.memory
    assert actions == ["hold", "hold", "up"]


def test_a_look_that_disagrees_begins_anew() -> None:
    busy, calm = same(3, active=4, queue=99), same(3, active=2)
    memory = decided(busy, looks=2).memory
    memory = decided(calm, memory, looks=2).memory
    assert decided(busy, memory, looks=2).action == "hold"


@pytest.mark.parametrize(("passed", "action"), [(299.0, "hold"), (300.0, "up")])
def test_after_a_change_there_is_a_pause(passed: float, action: str) -> None:
    memory = Scaling(changed_at=WALL - passed)
    found = decided(same(3, active=4, queue=99), memory, cooldown=300.0)
    assert found.action == action
    assert any("pause after the last change" in reason for reason in found.reasons) == (action == "hold")


def test_a_change_in_the_future_of_our_clock_says_nothing() -> None:
    memory = Scaling(changed_at=WALL + 7200)
    assert decided(same(3, active=4, queue=99), memory, cooldown=300.0).action == "up"


def test_what_was_asked_for_counts_before_it_is_there() -> None:
    memory = decided(same(6, active=4, queue=99)).memory
    assert decided(same(6, active=4, queue=99), memory, WALL + 60).action == "hold"
    assert decided(same(8, active=4, queue=99), memory, WALL + 60).memory.starting == {}


def test_what_does_not_come_is_given_up_and_its_name_used_again() -> None:
    memory = decided(same(3, active=4, queue=99)).memory
    found = decided(same(3, active=4, queue=99), memory, WALL + 600)
    assert found.start == ("worker-004", "worker-005")


def test_nobody_goes_while_an_earlier_change_is_not_complete() -> None:
    assert decided(same(5), Scaling(starting={"worker-006": WALL})).action == "hold"
    draining = worker("worker-006", status="draining")
    metrics = fleet(*same(5).workers, draining)
    assert decided(metrics, Scaling(stopping=("worker-006",))).action == "hold"


def test_a_drained_worker_that_has_left_is_forgotten_and_its_name_is_free() -> None:
    gone = worker("worker-003", status="offline", expected=False)
    metrics = fleet(*same(2, active=4, queue=99).workers, gone, queue=99)
    memory = Scaling(stopping=("worker-003",), managed=("worker-003",))
    found = decided(metrics, memory)
    assert (found.forget, found.memory.stopping) == (("worker-003",), ())
    assert found.start == ("worker-003", "worker-004")


def test_a_worker_of_the_scaler_that_was_failed_over_is_started_again() -> None:
    dead = worker("worker-003", status="offline")
    metrics = fleet(*same(2, active=2).workers, dead)
    found = decided(metrics, Scaling(managed=("worker-003",)))
    assert (found.action, found.start, found.target) == ("up", ("worker-003",), 3)


@pytest.mark.parametrize(
    "memory",
    [
        Scaling(),
        Scaling(managed=("worker-003",), starting={"worker-003": WALL}),
        Scaling(managed=("worker-003",), changed_at=WALL - 1),
    ],
    ids=["somebody else's", "asked for already", "too soon"],
)
def test_not_every_dead_worker_is_started_again(memory: Scaling) -> None:
    metrics = fleet(*same(2, active=2).workers, worker("worker-003", status="offline"))
    assert decided(metrics, memory, cooldown=300.0).action == "hold"


@pytest.mark.parametrize(
    ("rules", "metrics"),
    [
        ({"cpu_percent": 70.0}, same(3, active=2, cpu_percent=71.0)),
        ({"memory_percent": 80.0}, same(3, active=2, memory_percent=81.0)),
        ({"queue": 10}, same(3, active=2, queue=11)),
        ({"response": 5.0}, fleet(*same(3, active=2).workers, response=5.1)),
    ],
    ids=["cpu", "memory", "queue", "response"],
)
def test_each_trigger_alone_asks_for_more(rules: dict[str, Any], metrics: Metrics) -> None:
    assert decided(metrics).action == "hold"
    assert decided(metrics, **rules).action == "up"


def test_a_trigger_that_is_nearly_reached_stands_against_fewer() -> None:
    assert decided(same(4, cpu_percent=60.0)).action == "down"
    assert decided(same(4, cpu_percent=60.0), cpu_percent=70.0).action == "hold"
    assert decided(same(4, cpu_percent=40.0), cpu_percent=70.0).action == "down"


def test_silent_and_draining_workers_are_not_counted_and_never_drained() -> None:
    metrics = fleet(*same(3).workers, worker("quiet", status="stale"), worker("going", status="draining"))
    found = decided(metrics)
    assert (found.size, found.drain) == (3, ("worker-001",))


def test_every_decision_has_its_reasons() -> None:
    assert decided(same(3, active=4, queue=51)).reasons == (
        "100% of the slots are in use and 51 tasks wait; more than 80% and 50 ask for more workers",
    )


workers_of_a_fleet = st.lists(
    st.builds(
        lambda number, active, status: worker(f"worker-{number:03d}", active, status),
        st.integers(1, 12),
        st.integers(0, 4),
        st.sampled_from(["online", "busy", "cordoned", "draining", "stale", "offline", "error"]),
    ),
    max_size=12,
    unique_by=lambda found: found.id,
)
names = st.sampled_from([f"worker-{number:03d}" for number in range(1, 15)])


@given(
    workers=workers_of_a_fleet,
    queue=st.integers(0, 200),
    starting=st.dictionaries(names, st.floats(WALL - 1000, WALL + 1000), max_size=4),
    managed=st.lists(names, max_size=4, unique=True),
    stopping=st.lists(names, max_size=4, unique=True),
    changed=st.one_of(st.none(), st.floats(WALL - 600, WALL + 600)),
    step=st.integers(1, 4),
)
def test_no_decision_passes_the_limits_or_names_a_worker_twice(
    workers: list[WorkerMetrics],
    queue: int,
    starting: dict[str, float],
    managed: list[str],
    stopping: list[str],
    changed: float | None,
    step: int,
) -> None:
    memory = Scaling(starting=starting, managed=tuple(managed), stopping=tuple(stopping), changed_at=changed)
    found = decided(fleet(*workers, queue=queue), memory, step=step, cooldown=300.0)
    live = {one.id for one in workers if one.status != "offline"}
    assert len(set(found.start)) == len(found.start)
    assert not set(found.start) & (live | found.memory.starting.keys() - set(found.start))
    assert set(found.drain) <= {one.id for one in workers if one.healthy and one.status != "draining"}
    assert not set(found.drain) & set(memory.stopping)
    if found.start:
        assert found.target <= RULES.max_workers
    if found.drain:
        assert (found.target >= RULES.min_workers, len(found.drain) <= step) == (True, True)
    document = {**found.memory.document(), "rev": 0, "tx": ""}
    assert Scaling.load("scaling", decode(encode(document))) == found.memory
    assert decide(fleet(*workers, queue=queue), RULES, memory, WALL) == decide(
        fleet(*workers, queue=queue), RULES, memory, WALL
    )
