"""Rows of workers, tasks and locks: the JSON fields that scripts rely on, and what bad records come to."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sentinel.client import Client
from sentinel.clock import rfc3339
from sentinel.errors import BadInput, Conflict, NotFound
from sentinel.fleet.board import WorkerStatus, lock_row, task_document, task_row
from sentinel.model import layout
from sentinel.model.task import Ending
from tests.unit.stage import Stage

#: As the documentation lists them.
WORKER_FIELDS = """
id, incarnation, hostname, region, status, types, capabilities, active_tasks, max_tasks, load, last_heartbeat,
version, endpoint
""".replace(",", "").split()
TASK_FIELDS = """
id, type, args, positional, state, run, reason, priority, attempt, epoch, owner, incarnation, created_at,
started_at, finished_at, result, error, exit_code, retries_left, losses, history
""".replace(",", "").split()


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def client(stage: Stage) -> Client:
    return stage.client()


def status(client: Client, worker: str = "w1") -> WorkerStatus:
    return client.worker(worker).status


def test_a_worker_row_has_every_documented_field(client: Client, stage: Stage) -> None:
    stage.join("w1")
    row = client.worker("w1").document()
    assert [name for name in WORKER_FIELDS if name not in row] == []
    assert row["types"] == ["shell"]


@pytest.mark.parametrize("ran", [False, True])
def test_a_task_row_has_every_documented_field(client: Client, stage: Stage, ran: bool) -> None:
    client.submit("shell", positional=["true"], id="a")
    if ran:
        stage.join("w1")
        stage.claim("a", "w1")
        stage.end("a", Ending(cause="error", message="it broke", exit_code=3))
    document = task_document(client.get("a"), client.view())
    assert [name for name in TASK_FIELDS if name not in document] == []
    row = task_row(client.get("a"), client.view())
    assert {**row, "history": document["history"]} == document
    assert "history" not in row


def test_a_failed_task_names_its_error_and_who_ended_it(client: Client, stage: Stage) -> None:
    client.submit("shell", positional=["true"], id="a")
    stage.join("w1")
    stage.claim("a", "w1")
    stage.end("a", Ending(cause="error", message="it broke", exit_code=3))
    row = task_row(client.get("a"), client.view())
    assert row["error"] == {"kind": "error", "message": "it broke"}
    assert (row["owner"], row["exit_code"]) == ("w1", 3)


def test_events_of_a_history_have_their_documented_fields(client: Client) -> None:
    client.submit("shell", positional=["true"], id="a")
    (event,) = task_document(client.get("a"), client.view())["history"]
    assert set(event) == {"at", "event", "worker", "epoch", "note"}


def test_there_is_one_row_for_an_id_and_it_is_the_current_incarnation(client: Client, stage: Stage) -> None:
    stage.join("w1")
    stage.leave("w1")
    second = stage.join("w1")
    assert [row.incarnation for row in client.workers()] == [second]


def test_active_tasks_are_counted_in_the_task_records(client: Client, stage: Stage) -> None:
    client.submit("shell", positional=["true"], id="a")
    stage.join("w1", max_tasks=4)
    stage.claim("a", "w1")
    stage.beat("w1", active_tasks=3)
    row = client.worker("w1")
    assert (row.active_tasks, row.load) == (1, 0.25)


def test_a_worker_that_beats_is_online(client: Client, stage: Stage) -> None:
    stage.join("w1")
    assert status(client) == "online"


def test_a_worker_with_all_slots_in_use_is_busy(client: Client, stage: Stage) -> None:
    client.submit("shell", positional=["true"], id="a")
    stage.join("w1")
    stage.claim("a", "w1")
    assert status(client) == "busy"


def test_a_draining_worker_says_so(client: Client, stage: Stage) -> None:
    stage.join("w1")
    stage.beat("w1", status="draining")
    assert status(client) == "draining"


def test_a_worker_that_left_is_offline(client: Client, stage: Stage) -> None:
    stage.join("w1")
    stage.leave("w1")
    assert status(client) == "offline"


def test_a_worker_that_has_just_joined_is_online_before_its_first_beat(client: Client, stage: Stage) -> None:
    stage.join("w1", beats=False)
    row = client.worker("w1")
    assert (row.status, row.last_heartbeat) == ("online", None)


@pytest.mark.parametrize("beats", [True, False])
def test_a_worker_that_has_been_silent_for_its_ttl_is_stale(
    client: Client, stage: Stage, beats: bool
) -> None:
    stage.join("w1", beats=beats)
    stage.clock.advance(10.0)
    assert status(client) == "stale"


def test_a_sealed_worker_is_stale(client: Client, stage: Stage) -> None:
    stage.join("w1")
    stage.beat("w1", sealed_by="w2")
    assert status(client) == "stale"


def test_a_clock_that_is_two_hours_ahead_changes_nothing(client: Client, stage: Stage) -> None:
    stage.join("w1", beats=False)
    stage.beat("w1", sent_at=rfc3339(stage.clock.wall() + 7200))
    assert status(client) == "online"


def session_of(stage: Stage, **changes: Any) -> dict[str, Any]:
    incarnation = stage.view().workers["w1"].incarnation
    register = stage.transactor.store.published()[layout.session_register(incarnation)]
    assert register.document is not None
    return {**register.document, **changes}


@pytest.mark.parametrize(
    "bad",
    [
        b"{",
        b'{"format": 2}',
        b'{"format": 1, "x": "' + b"x" * 1_000_000 + b'"}',
        {"sent_at": "2099-01-01T00:00:00Z"},
        {"sent_at": "soon"},
        {"incarnation": "another"},
        {"ttl": "long"},
    ],
    ids=["torn", "future format", "1 MB", "dated 2099", "undated", "of another", "wrong type"],
)
def test_a_bad_session_is_an_error_and_the_rest_of_the_fleet_is_shown(
    client: Client, stage: Stage, bad: bytes | dict[str, Any]
) -> None:
    incarnation = stage.join("w1")
    stage.join("w2")
    stage.plant_register(incarnation, bad if isinstance(bad, bytes) else session_of(stage, **bad))
    assert status(client) == "error"
    assert client.worker("w1").problem
    assert status(client, "w2") == "online"


def test_unreadable_sessions_are_reported(client: Client, stage: Stage) -> None:
    incarnation = stage.join("w1")
    stage.plant_register(incarnation, b"{")
    assert [problem.key for problem in client.problems()] == [f"session of {incarnation}"]


@pytest.mark.parametrize(
    "data", [b"{", b'{"format": 2}', b'{"format": 1, "id": "w2", "incarnation": "x", "hostname": "h"}']
)
def test_an_unreadable_worker_record_is_a_row_with_the_status_error(
    client: Client, stage: Stage, data: bytes
) -> None:
    stage.join("w2")
    stage.plant("workers/w1", data)
    assert [(row.id, row.status) for row in client.workers()] == [("w1", "error"), ("w2", "online")]


def test_a_worker_whose_incarnation_record_is_unreadable_is_an_error(client: Client, stage: Stage) -> None:
    incarnation = stage.join("w1")
    stage.plant(layout.incarnation_key(incarnation), b"{")
    assert status(client) == "error"


def test_an_unknown_worker_is_not_found_and_a_bad_id_refused(client: Client) -> None:
    with pytest.raises(NotFound):
        client.worker("w9")
    with pytest.raises(BadInput):
        client.worker("../w9")


def test_a_live_worker_is_not_removed(client: Client, stage: Stage) -> None:
    stage.join("w1")
    with pytest.raises(Conflict, match="host-of-w1"):
        client.remove_worker("w1")


def test_a_worker_that_left_is_removed(client: Client, stage: Stage) -> None:
    stage.join("w1")
    stage.leave("w1")
    client.remove_worker("w1", dry_run=True)
    assert status(client) == "offline"
    client.remove_worker("w1")
    assert client.workers() == []


def test_a_worker_whose_record_is_torn_can_be_removed(client: Client, stage: Stage) -> None:
    stage.plant("workers/w1", b"{")
    client.remove_worker("w1")
    assert client.workers() == []


def test_the_row_of_a_ticket_and_of_a_free_lock(client: Client) -> None:
    client.acquire_lock("x", ttl=60)
    (lock,) = client.locks()
    row = lock_row(lock, client.view())
    assert (row["state"], row["kind"], row["holder"], row["epoch"], row["ttl"]) == (
        "held",
        "ticket",
        "tester",
        1,
        60,
    )
    client.release_lock("x", 1)
    row = lock_row(client.lock("x"), client.view())
    assert (row["state"], row["kind"], row["holder"], row["epoch"], row["ttl"]) == (
        "free",
        None,
        None,
        1,
        None,
    )


def test_the_row_of_a_lock_that_an_incarnation_holds_names_its_worker(client: Client, stage: Stage) -> None:
    incarnation = stage.join("w1")
    client.acquire_lock("x")
    held = dataclasses.replace(client.lock("x"), incarnation=incarnation)
    row = lock_row(held, client.view())
    assert (row["kind"], row["worker"], row["incarnation"]) == ("incarnation", "w1", incarnation)
