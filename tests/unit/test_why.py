"""``why``: exactly one reason for every task that does not run, the first obstacle that a peer meets."""

from __future__ import annotations

import dataclasses

import pytest

from sentinel.client import Client
from sentinel.fleet.why import Code, Reason
from sentinel.model.task import ALONE_AFTER, Ending
from tests.unit.stage import Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def client(stage: Stage) -> Client:
    return stage.client()


def submit(client: Client, id: str, type: str = "shell", after: tuple[str, ...] = ()) -> None:
    client.submit(type, positional=["true"], id=id, after=after, allow_unknown_type=True)


def says(reason: Reason, code: Code, *words: str) -> None:
    assert reason.code == code
    assert all(word in reason.text for word in words), reason.text


def test_a_task_behind_others_names_them_with_their_states(stage: Stage, client: Client) -> None:
    submit(client, "a")
    submit(client, "b", after=("a",))
    says(client.why("b"), "blocked", "a (pending)")


def test_many_dependencies_are_counted_and_not_all_named(client: Client) -> None:
    names = tuple(f"d{number}" for number in range(9))
    for name in names:
        submit(client, name)
    submit(client, "z", after=names)
    says(client.why("z"), "blocked", "d0 (pending)", "and 6 more")


def test_a_dependency_whose_record_is_torn_is_named_as_unreadable(stage: Stage, client: Client) -> None:
    submit(client, "a")
    submit(client, "b", after=("a",))
    stage.plant("tasks/a", b"{")
    says(client.why("b"), "blocked", "a (unreadable)")


def test_a_task_behind_a_cancelled_one_is_about_to_be_cancelled(client: Client) -> None:
    submit(client, "a")
    submit(client, "b", after=("a",))
    client.cancel("a")
    says(client.why("b"), "dependency_ended", "a", "cancelled")


def test_a_task_between_two_attempts_says_until_when_and_why(stage: Stage, client: Client) -> None:
    client.submit("shell", positional=["false"], id="a", retries=1)
    stage.join("w1")
    stage.claim("a", "w1")
    stage.end("a", Ending(cause="error", message="it broke"))
    says(client.why("a"), "backoff", "it broke", "attempt 1")


def test_when_the_backoff_is_over_another_reason_is_given(stage: Stage, client: Client) -> None:
    client.submit("shell", positional=["false"], id="a", retries=1)
    stage.join("w1")
    stage.claim("a", "w1")
    stage.end("a", Ending(cause="error", message="it broke"))
    stage.clock.advance(5.0)
    stage.beat("w1")
    says(client.why("a"), "assigned", "w1")


def test_without_any_worker_the_command_that_starts_one_is_named(client: Client) -> None:
    submit(client, "a")
    says(client.why("a"), "no_live_worker", "sentinel worker start")


@pytest.mark.parametrize("end", ["left", "silent", "draining", "sealed"])
def test_a_worker_that_takes_nothing_is_no_live_worker(stage: Stage, client: Client, end: str) -> None:
    submit(client, "a")
    stage.join("w1")
    if end == "left":
        stage.leave("w1")
    elif end == "silent":
        stage.clock.advance(10.0)
    elif end == "draining":
        stage.beat("w1", status="draining")
    else:
        stage.beat("w1", sealed_by="w2")
    says(client.why("a"), "no_live_worker")


def test_a_type_that_no_live_worker_runs_names_the_nearest(stage: Stage, client: Client) -> None:
    submit(client, "a", type="word-cuont")
    stage.join("w1", types=("shell", "word-count"))
    says(client.why("a"), "no_capable_worker", "word-cuont", "nearest", "word-count")


def test_a_free_slot_means_assigned_and_not_claimed_yet(stage: Stage, client: Client) -> None:
    submit(client, "a")
    stage.join("w1")
    says(client.why("a"), "assigned", "w1", "not claimed yet")


def test_full_workers_are_named_with_their_slots(stage: Stage, client: Client) -> None:
    for name in ("a", "b", "c"):
        submit(client, name)
    stage.join("w1", max_tasks=2)
    stage.claim("a", "w1")
    stage.claim("b", "w1")
    says(client.why("c"), "no_free_slot", "all 2 slots", "w1")


def test_fewer_slots_than_tasks_before_it_means_queued(stage: Stage, client: Client) -> None:
    for name in ("a", "b"):
        submit(client, name)
        stage.clock.advance(1.0)
    stage.join("w1")
    says(client.why("b"), "queued", "w1")


def test_a_task_that_lost_many_workers_waits_to_run_alone(stage: Stage, client: Client) -> None:
    submit(client, "a")
    submit(client, "b")
    stage.join("w1", max_tasks=2)
    stage.claim("b", "w1")
    stage.rewrite(dataclasses.replace(stage.task("a"), losses=ALONE_AFTER))
    says(client.why("a"), "alone", "w1", "3 workers were lost")


def test_a_running_task_says_where(stage: Stage, client: Client) -> None:
    submit(client, "a")
    stage.join("w1")
    stage.claim("a", "w1")
    says(client.why("a"), "running", "w1", "attempt 1", "epoch 1")


def test_a_running_task_that_is_to_be_cancelled_says_so(stage: Stage, client: Client) -> None:
    submit(client, "a")
    stage.join("w1")
    stage.claim("a", "w1")
    client.cancel("a", "wrong branch")
    says(client.why("a"), "cancelling", "w1", "wrong branch")


def test_a_task_of_a_worker_that_is_gone_says_so(stage: Stage, client: Client) -> None:
    submit(client, "a")
    stage.join("w1")
    stage.claim("a", "w1")
    stage.leave("w1")
    says(client.why("a"), "owner_gone", "w1")


def test_a_done_task_says_by_whom(stage: Stage, client: Client) -> None:
    submit(client, "a")
    stage.join("w1")
    stage.claim("a", "w1")
    stage.end("a")
    says(client.why("a"), "ended", "done by w1")


def test_a_failed_task_says_why(stage: Stage, client: Client) -> None:
    submit(client, "a")
    stage.join("w1")
    stage.claim("a", "w1")
    stage.end("a", Ending(cause="timeout", message="it took 300 s"))
    says(client.why("a"), "ended", "failed by w1", "it took 300 s")
