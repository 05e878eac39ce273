"""Which workers take tasks now, which tasks may start, and what a waiting one waits for."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sentinel.errors import BadRecord
from sentinel.fleet import failover
from sentinel.fleet.balancers import Candidate
from sentinel.fleet.candidates import candidates, ready
from sentinel.fleet.dependencies import failed_dependency, public_state, waiting_for
from sentinel.model.layout import session_register
from sentinel.model.task import ALONE_AFTER, Task
from tests.unit.builders import FAILED, STALE, Bench, ended, evolve, running, session, task


def found(bench: Bench) -> list[Candidate]:
    return candidates(bench.view(), bench.registers(), bench.observer)


def names(bench: Bench) -> list[str]:
    return sorted(worker.id for worker in found(bench))


def look(bench: Bench, after: float = 0.0) -> None:
    bench.clock.advance(after)
    watched = failover.watched(bench.view(), bench.registers())
    bench.observer.look(watched, sent=bench.clock.now(), reply=bench.clock.now())


@pytest.fixture
def fleet(bench: Bench) -> Bench:
    bench.join("w1", "inc1", types=("work", "other"), max_tasks=3, region="eu")
    return bench


def test_a_worker_that_beats_takes_tasks_as_it_said(fleet: Bench) -> None:
    assert found(fleet) == [
        Candidate(id="w1", types=frozenset({"work", "other"}), active=0, max_tasks=3, region="eu")
    ]


def test_its_load_is_counted_from_the_records(fleet: Bench) -> None:
    fleet.put(running("a"), running("b", incarnation="before"), task("c"), ended("d"))
    assert found(fleet)[0].active == 2


def test_a_worker_that_never_beat_takes_nothing(fleet: Bench) -> None:
    fleet.store.publish(session_register("inc1"), {}, fleet.register_version(session_register("inc1")))
    assert found(fleet) == []


def test_a_worker_that_is_gone_takes_nothing(fleet: Bench) -> None:
    fleet.drop("incarnations/inc1")
    assert found(fleet) == []


@pytest.mark.parametrize("fields", [{"status": "draining"}, {"sealed_by": "w2"}], ids=str)
def test_a_worker_that_drains_or_is_sealed_takes_nothing(fleet: Bench, fields: dict[str, Any]) -> None:
    fleet.beat(dataclasses.replace(session("inc1", "w1", seq=2), **fields))
    assert found(fleet) == []


@pytest.mark.parametrize(("silence", "taking"), [(9.9, ["w1"]), (10.0, [])])
def test_a_worker_that_was_silent_for_its_time_takes_nothing(
    fleet: Bench, silence: float, taking: list[str]
) -> None:
    look(fleet)
    look(fleet, after=silence)
    assert names(fleet) == taking


def test_a_worker_that_beats_again_takes_tasks_again(fleet: Bench) -> None:
    look(fleet)
    look(fleet, after=STALE)
    fleet.beat(session("inc1", "w1", seq=2))
    assert names(fleet) == ["w1"]


def test_a_session_under_another_name_does_not_count(fleet: Bench) -> None:
    name = session_register("inc1")
    fleet.store.publish(name, session("inc9", "w1").document(), fleet.register_version(name))
    assert found(fleet) == []


def test_a_worker_with_an_unreadable_registration_does_not_stop_the_others(fleet: Bench) -> None:
    fleet.join("w2", "inc2")
    fleet.tear("workers/w1")
    assert names(fleet) == ["w2"]


def test_a_worker_that_runs_a_task_that_must_be_alone_is_full(fleet: Bench) -> None:
    fleet.put(evolve(running("a"), losses=ALONE_AFTER))
    assert found(fleet)[0].free == 0


# -- ready -------------------------------------------------------------------------------------------


def ready_names(bench: Bench, waited: float = 0.0) -> set[str]:
    return {each.id for each in ready(bench.view(), lambda _: waited)}


def test_only_what_waits_is_ready(bench: Bench) -> None:
    bench.put(task("a"), running("b"), ended("c"))
    assert ready_names(bench) == {"a"}


@pytest.mark.parametrize(("waited", "names"), [(0.0, set()), (3.9, set()), (4.0, {"a"})])
def test_a_backoff_counts_the_seconds_for_which_the_record_was_seen_unchanged(
    bench: Bench, waited: float, names: set[str]
) -> None:
    bench.put(evolve(task("a"), backoff=4.0))
    assert ready_names(bench, waited) == names


@pytest.mark.parametrize(
    ("dependency", "names"),
    [
        (task("dep"), {"dep"}),
        (running("dep"), set()),
        (ended("dep"), {"a"}),
        (ended("dep", FAILED), set()),
        (None, set()),
    ],
    ids=["pending", "running", "done", "failed", "missing"],
)
def test_a_task_is_ready_when_what_it_runs_after_is_done(
    bench: Bench, dependency: Task | None, names: set[str]
) -> None:
    bench.put(task("a", after=("dep",)))
    if dependency is not None:
        bench.put(dependency)
    assert ready_names(bench) == names


def test_an_unreadable_dependency_is_waited_for(bench: Bench) -> None:
    bench.put(task("a", after=("dep",)))
    bench.tear("done/dep")
    assert ready_names(bench) == set()


# -- dependencies ------------------------------------------------------------------------------------

KNOWN = {
    "done": ended("done"),
    "failed": ended("failed", FAILED),
    "cancelled": evolve(ended("cancelled", FAILED), state="cancelled"),
    "dead": evolve(ended("dead", FAILED), state="dead"),
    "pending": task("pending"),
    "running": running("running"),
}


def lookup(name: str) -> Task | None:
    if name == "torn":
        raise BadRecord(name, "torn")
    return KNOWN.get(name)


def test_a_task_waits_for_everything_that_is_not_done() -> None:
    waiting = task("a", after=(*KNOWN, "missing", "torn"))
    assert waiting_for(waiting, lookup) == [name for name in (*KNOWN, "missing", "torn") if name != "done"]


@pytest.mark.parametrize(
    ("dependency", "failed"),
    [
        ("done", False),
        ("pending", False),
        ("running", False),
        ("missing", False),
        ("torn", False),
        ("failed", True),
        ("cancelled", True),
        ("dead", True),
    ],
)
def test_only_what_ended_without_being_done_is_a_failed_dependency(dependency: str, failed: bool) -> None:
    assert (failed_dependency(task("a", after=("done", dependency)), lookup) is not None) == failed


@pytest.mark.parametrize(
    ("waiting", "state"),
    [
        (task("a"), "pending"),
        (task("a", after=("done",)), "pending"),
        (task("a", after=("done", "running")), "blocked"),
        (task("a", after=("failed",)), "blocked"),
        (running("a", after=("running",)), "running"),
        (ended("a", after=("running",)), "done"),
    ],
)
def test_blocked_is_what_waits_for_others(waiting: Task, state: str) -> None:
    assert public_state(waiting, lookup) == state
