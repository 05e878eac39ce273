"""Approving through the store: what was looked at, and nothing else."""

from __future__ import annotations

import pytest

from sentinel.client import Client
from sentinel.errors import BadInput, Conflict, NotFound
from sentinel.fleet.board import task_row
from sentinel.model.approval import take_in
from sentinel.model.origin import Source, spec_hash
from sentinel.model.task import Task
from tests.unit.builders import AT, WALL, Bench

ISSUE = Source(kind="issue", name="12", author=7, login="mallory")


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    task = Task(id="issue-12", type="work", created_at=AT)
    bench.put(take_in(task, ISSUE, wall=WALL, why="mallory may not run tasks"))
    return bench


@pytest.fixture
def client(bench: Bench) -> Client:
    return Client(bench.store, clock=bench.clock, actor="alice@host")


def test_an_approval_lets_the_task_wait_for_a_worker(client: Client) -> None:
    assert client.approve("issue-12").state == "pending"


def test_an_approval_says_in_the_history_who_gave_it(client: Client) -> None:
    last = client.approve("issue-12").history[-1]
    assert last.note is not None
    assert (last.event, last.note.partition(" ")[0]) == ("approved", "alice@host")


def test_the_hash_that_was_looked_at_must_be_the_one_that_stands_there(bench: Bench, client: Client) -> None:
    assert client.approve("issue-12", spec_hash(bench.stored_task("issue-12"))[:32]).state == "pending"


def test_another_hash_approves_nothing(bench: Bench, client: Client) -> None:
    with pytest.raises(Conflict, match="is not what was to be approved"):
        client.approve("issue-12", "0" * 32)
    assert bench.stored_task("issue-12").state == "awaiting_approval"


@pytest.mark.parametrize("text", ["", "abc", "xyz" * 11, "0" * 12, "0" * 65])
def test_what_is_no_hash_is_refused(client: Client, text: str) -> None:
    with pytest.raises(BadInput, match="is no hash of a specification"):
        client.approve("issue-12", text)


def test_approving_twice_is_one_approval(bench: Bench, client: Client) -> None:
    client.approve("issue-12")
    before = client.get("issue-12")
    assert client.approve("issue-12").rev == before.rev


def test_a_rehearsed_approval_changes_nothing(bench: Bench, client: Client) -> None:
    client.approve("issue-12", dry_run=True)
    assert bench.stored_task("issue-12").state == "awaiting_approval"


def test_an_ended_task_cannot_be_approved(client: Client) -> None:
    client.cancel("issue-12")
    with pytest.raises(Conflict, match="waits for no approval"):
        client.approve("issue-12")


def test_what_is_not_there_cannot_be_approved(client: Client) -> None:
    with pytest.raises(NotFound):
        client.approve("issue-13")


def test_why_says_who_has_to_do_what(client: Client) -> None:
    reason = client.why("issue-12")
    assert reason.code == "awaiting_approval"
    assert "mallory may not run tasks" in reason.text


def test_a_row_shows_where_the_task_came_from(bench: Bench) -> None:
    row = task_row(bench.stored_task("issue-12"), bench.view())
    assert (row["source"]["author"], len(row["spec"]), row["approval"]) == (7, 64, None)


def test_peers_do_not_take_a_task_that_waits_for_an_approval(bench: Bench) -> None:
    from sentinel.fleet.candidates import ready

    assert ready(bench.view(), lambda task: float("inf")) == []
