"""``sentinel tasks approve`` on a real store."""

from __future__ import annotations

import pytest

from sentinel.fleet.tasks import write_task
from sentinel.model.approval import take_in
from sentinel.model.origin import Source
from sentinel.model.task import Task
from sentinel.store.base import Snapshot, Transaction
from tests.cli.conftest import Place

AT = "2026-11-22T00:00:00Z"
ISSUE = Source(kind="issue", name="12", author=7, login="mallory")


@pytest.fixture
def waiting(place: Place) -> Place:
    """A store with a task that waits for an approval."""
    task = take_in(Task(id="issue-12", type="work", created_at=AT), ISSUE, wall=1e9, why="mallory may not")
    with place.client() as client:
        transactor = client._transactor

        def decide(snapshot: Snapshot) -> tuple[Transaction, None]:
            change = transactor.change(snapshot)
            write_task(change, task)
            return change.transaction("take in issue-12"), None

        transactor.transact(decide)
    return place


def test_show_tells_what_is_to_be_approved_and_whose_it_is(waiting: Place) -> None:
    row = waiting.run("tasks", "show", "issue-12", "-o", "json").json
    assert (row["state"], row["source"]["author"], len(row["spec"])) == ("awaiting_approval", 7, 64)


def test_an_approved_task_waits_for_a_worker(waiting: Place) -> None:
    spec = waiting.run("tasks", "show", "issue-12", "-o", "json").json["spec"]
    ran = waiting.run("tasks", "approve", "issue-12", "--spec", spec[:32])
    assert (ran.status, ran.stdout) == (0, "issue-12 is approved and waits for a worker\n")
    assert waiting.run("tasks", "list", "--state", "pending", "-o", "json").json[0]["id"] == "issue-12"


def test_another_hash_is_a_conflict(waiting: Place) -> None:
    ran = waiting.run("tasks", "approve", "issue-12", "--spec", "0" * 32)
    assert (ran.status, "is not what was to be approved" in ran.said) == (4, True)


def test_what_is_no_hash_is_bad_input(waiting: Place) -> None:
    assert waiting.run("tasks", "approve", "issue-12", "--spec", "yes").status == 2


def test_a_rehearsal_approves_nothing(waiting: Place) -> None:
    assert waiting.run("tasks", "approve", "issue-12", "--dry-run").stdout == "would approve issue-12\n"
    row = waiting.run("tasks", "show", "issue-12", "-o", "json").json
    assert (row["state"], row["approval"]) == ("awaiting_approval", None)


def test_why_names_the_remedy(waiting: Place) -> None:
    said = waiting.run("tasks", "why", "issue-12").stdout
    assert "mallory may not" in said
    assert "sentinel tasks approve" in said
