"""The fleet in numbers, and what is wrong with it, at limits and beside them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sentinel.client.fleetwide import Health
from sentinel.fleet.events import events, kind_of
from sentinel.fleet.health import Condition, Limits, conditions, verdict
from sentinel.fleet.metrics import Metrics
from sentinel.model.counts import Counts
from sentinel.model.task import Ending
from sentinel.store.base import Entry
from tests.unit.stage import PatientStore, Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()


def metrics(stage: Stage) -> Metrics:
    return stage.client().metrics()


def health(stage: Stage, **limits: Any) -> Health:
    return stage.client().health(Limits(**limits))


def codes(health: Health) -> list[str]:
    return [condition.key for condition in health.conditions]


def submit(stage: Stage, *ids: str, **more: Any) -> None:
    for name in ids:
        stage.client().submit("shell", positional=["true"], id=name, **more)


def work(stage: Stage, worker: str, *ids: str, seconds: float = 4.0, ending: Ending | None = None) -> None:
    for name in ids:
        submit(stage, name)
        stage.claim(name, worker)
        stage.clock.advance(seconds)
        stage.end(name, ending or Ending(cause=None))
        stage.beat(worker)


def silence(stage: Stage, seconds: float = 60.0) -> None:
    stage.clock.advance(seconds)


def test_a_fleet_of_nobody_is_down(stage: Stage) -> None:
    found = health(stage)
    assert (found.verdict, codes(found)) == ("down", ["no_workers"])


def test_capacity_and_use_are_those_of_healthy_workers(stage: Stage) -> None:
    stage.join("gone", max_tasks=8)
    silence(stage)
    stage.join("w1", max_tasks=4)
    submit(stage, "a", "b")
    stage.claim("a", "w1")
    found = metrics(stage)
    assert (found.capacity, found.used, found.utilization) == (4, 1, 0.25)
    assert (len(found.workers), len(found.expected), len(found.healthy)) == (2, 2, 1)


def test_who_left_of_its_own_accord_is_not_missed(stage: Stage) -> None:
    for worker in ("w1", "w2"):
        stage.join(worker)
    stage.leave("w2")
    found = health(stage)
    assert (found.verdict, codes(found)) == ("healthy", [])
    assert [worker.id for worker in found.metrics.expected] == ["w1"]


def test_a_silent_worker_degrades_the_fleet_and_is_named(stage: Stage) -> None:
    stage.join("w1")
    silence(stage)
    for worker in ("w2", "w3", "w4"):
        stage.join(worker)
    found = health(stage)
    assert (found.verdict, codes(found)) == ("degraded", ["worker_failure:w1"])
    assert found.conditions[0].value == pytest.approx(60.0)


def test_one_that_was_failed_over_is_missed_until_it_is_back(stage: Stage) -> None:
    stage.join("w1")
    stage.join("w2")
    stage.fail_over("w1")
    assert codes(health(stage)) == ["worker_failure:w1", "workers_unhealthy"]
    assert (metrics(stage).failovers, metrics(stage).workers[0].crashes) == (1, 1)
    stage.join("w1")
    assert codes(health(stage)) == []


@pytest.mark.parametrize(("healthy", "expected"), [(3, []), (2, ["workers_unhealthy"])])
def test_fewer_than_three_quarters_are_too_few(stage: Stage, healthy: int, expected: list[str]) -> None:
    for number in range(4 - healthy):
        stage.join(f"gone-{number}")
    silence(stage)
    for number in range(healthy):
        stage.join(f"here-{number}")
    assert [code for code in codes(health(stage)) if code == "workers_unhealthy"] == expected


@pytest.mark.parametrize(("slots", "expected"), [(10, []), (9, ["high_utilization"])])
def test_more_than_nine_tenths_of_the_slots_are_too_many(
    stage: Stage, slots: int, expected: list[str]
) -> None:
    stage.join("w1", max_tasks=slots)
    names = [f"t{number}" for number in range(9)]
    submit(stage, *names)
    for name in names:
        stage.claim(name, "w1")
    found = health(stage)
    assert (found.verdict, codes(found)) == ("healthy", expected)


def test_a_queue_over_its_limit_is_a_warning_and_who_waits_for_others_is_not_in_it(stage: Stage) -> None:
    stage.join("w1")
    submit(stage, "a", "b")
    submit(stage, "c", "d", after=["a"])
    assert codes(health(stage, queue=2)) == []
    found = health(stage, queue=1)
    assert (found.verdict, codes(found)) == ("healthy", ["queue_backlog"])


def test_a_rate_of_failure_counts_only_when_enough_ended_lately(stage: Stage) -> None:
    stage.join("w1")
    failed = Ending(cause="error", message="no", retry=False)
    work(stage, "w1", *(f"bad-{number}" for number in range(2)), ending=failed)
    assert codes(health(stage)) == []
    work(stage, "w1", *(f"good-{number}" for number in range(18)))
    assert codes(health(stage)) == ["failure_rate"]
    assert codes(health(stage, failures=0.1)) == []
    silence(stage, 1000.0)
    stage.beat("w1")
    assert codes(health(stage)) == []


def test_records_that_cannot_be_read_are_a_warning(stage: Stage) -> None:
    stage.join("w1")
    stage.plant("tasks/torn", b"{")
    assert codes(health(stage)) == ["unreadable_records"]


def test_the_critical_stands_first() -> None:
    stage = Stage()
    stage.join("w1")
    stage.plant("tasks/torn", b"{")
    silence(stage)
    assert [condition.severity for condition in health(stage).conditions][-1] == "warning"


def test_times_and_rates_come_from_the_records_of_tasks(stage: Stage) -> None:
    stage.join("w1")
    submit(stage, "later")
    stage.clock.advance(6.0)
    stage.claim("later", "w1")
    stage.clock.advance(2.0)
    stage.end("later")
    work(stage, "w1", "quick", seconds=4.0)
    work(stage, "w1", "bad", seconds=6.0, ending=Ending(cause="error", message="no", retry=False))
    found = metrics(stage)
    assert (found.tasks.mean_run_seconds, found.tasks.mean_response_seconds) == (4.0, 6.0)
    assert found.tasks.success_rate == pytest.approx(2 / 3, abs=1e-4)
    (worker,) = found.workers
    assert (worker.tasks_done, worker.tasks_failed, worker.mean_run_seconds) == (2, 1, 4.0)


def test_counts_of_ended_incarnations_and_of_beats_add_up(stage: Stage) -> None:
    stage.join("w1")
    stage.beat("w1", counts=Counts(claimed=5, lost_claims=1, failovers=1))
    stage.fail_over("w1")
    stage.join("w1")
    stage.beat("w1", counts=Counts(claimed=2))
    found = metrics(stage)
    assert (found.counts.claimed, found.counts.lost_claims) == (7, 1)
    (worker,) = found.workers
    assert (worker.starts, worker.crashes, worker.claimed, worker.failovers) == (2, 1, 7, 1)


def test_priorities_and_the_oldest_of_the_queue_are_told(stage: Stage) -> None:
    stage.join("w1")
    submit(stage, "old", priority="low")
    stage.clock.advance(9.0)
    submit(stage, "new", priority="critical")
    found = metrics(stage).tasks
    assert found.queue_by_priority == {"critical": 1, "high": 0, "normal": 0, "low": 1}
    assert found.oldest_waiting_seconds == pytest.approx(9.0)


def test_a_lock_has_the_conflicts_that_were_met_at_it(stage: Stage) -> None:
    client = stage.client()
    client.acquire_lock("x", ttl=60)
    stage.client(actor="other").acquire_lock("x", wait=70)
    (lock,) = client.lock_metrics()
    assert (lock.acquisitions, lock.conflicts, lock.refused, lock.rate) == (2, 1, 0, 0.5)


def test_what_the_machine_is_full_of_is_told_by_the_beat(stage: Stage) -> None:
    stage.join("w1")
    stage.beat("w1", cpu_percent=70.0, memory_percent=81.5, disk_percent=12.0, connections=3)
    (worker,) = metrics(stage).workers
    assert (worker.cpu_percent, worker.memory_percent, worker.disk_percent) == (70.0, 81.5, 12.0)
    assert worker.connections == 3


def test_a_wall_clock_that_went_back_gives_no_negative_ages(stage: Stage) -> None:
    stage.join("w1")
    submit(stage, "t")
    stage.clock.wall_offset -= 3600.0
    found = metrics(stage)
    assert found.tasks.oldest_waiting_seconds == 0.0
    assert found.workers[0].seconds_since_heartbeat == 0.0


def test_a_verdict_needs_a_worker_before_all_else(stage: Stage) -> None:
    warning = Condition(code="x", severity="warning", message="m", value=1, limit=0)
    nobody = metrics(stage)
    assert verdict(nobody, []) == "down"
    stage.join("w1")
    somebody = metrics(stage)
    assert verdict(somebody, [warning]) == "healthy"
    assert verdict(somebody, [dataclasses.replace(warning, severity="critical")]) == "degraded"
    assert conditions(somebody, Limits()) == []


@pytest.mark.parametrize(
    ("note", "kind"),
    [
        ("submit build-42 (shell)", "task"),
        ("hand back build-42 epoch 1 by w1", "task"),
        ("free build-42 epoch 1, lost by w3, by w2", "task"),
        ("free lock deploy epoch 1 of w3 (its holder is gone) by w2", "lock"),
        ("join w1 on host as 01m8", "worker"),
        ("remove worker w1", "worker"),
        ("fail over w3 (01m8): proven dead, by w2", "failover"),
        ("count what w1 did as 01m8", "count"),
        ("set memory default/k by w1", "memory"),
        ("expire memory default/k (silent for 30 s) by w1", "memory"),
        ("Make the fleet", "other"),
    ],
)
def test_each_note_of_the_audit_is_of_a_kind(note: str, kind: str) -> None:
    assert kind_of(note) == kind


def test_events_come_oldest_first_each_with_its_commit() -> None:
    entries = [
        Entry(revision="b", at=1.0, by="w2", notes=("claim t epoch 1 by w2", "claim u epoch 1 by w2")),
        Entry(revision="a", at=None, by="", notes=("submit t (shell)",)),
    ]
    found = [(event.revision, event.at, event.text) for event in events(entries)]
    assert found == [
        ("a", None, "submit t (shell)"),
        ("b", "1970-01-01T00:00:01.000000Z", "claim t epoch 1 by w2"),
        ("b", "1970-01-01T00:00:01.000000Z", "claim u epoch 1 by w2"),
    ]


def test_following_gives_what_is_there_and_then_what_comes(stage: Stage) -> None:
    submit(stage, "first", "second")
    followed = stage.client().follow_events(1)
    assert next(followed).text == "submit second (shell)"
    submit(stage, "third", "fourth")
    assert [next(followed).text for _ in range(2)] == ["submit third (shell)", "submit fourth (shell)"]


def test_following_from_now_on_gives_nothing_older(stage: Stage) -> None:
    class Busy(PatientStore):
        def wait(self, timeout: float) -> bool:
            submit(stage, "new")
            return super().wait(timeout)

    submit(stage, "old")
    client = stage.client(store=Busy(stage.fleet, stage.clock))
    assert next(client.follow_events()).text == "submit new (shell)"
