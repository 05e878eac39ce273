"""A task from outside runs only as it was approved."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sentinel.errors import BadRecord
from sentinel.model import task as transitions
from sentinel.model.approval import approve, respecify, take_in
from sentinel.model.origin import Source, spec_hash
from sentinel.model.task import Task
from tests.unit.builders import AT, FAILED, OK, WALL, as_stored, claimed

ISSUE = Source(kind="issue", name="12", author=7, login="mallory")
FILE = Source(kind="file", name=".sentinel/tasks/a.json")


def draft(**fields: Any) -> Task:
    return Task(id="issue-12", type=fields.pop("type", "work"), created_at=AT, **fields)


def waiting(source: Source = ISSUE, **fields: Any) -> Task:
    return take_in(draft(**fields), source, wall=WALL, why="mallory may not run tasks")


def approved(source: Source = ISSUE, **fields: Any) -> Task:
    return approve(waiting(source, **fields), by="alice", by_id=1, wall=WALL)


def events(task: Task) -> list[str]:
    return [event.event for event in task.history]


def test_a_task_from_outside_waits_for_an_approval() -> None:
    task = waiting()
    assert (task.state, events(task)) == ("awaiting_approval", ["submitted", "approval_needed"])


def test_a_task_that_waits_for_an_approval_cannot_be_claimed() -> None:
    with pytest.raises(ValueError, match="cannot be claimed"):
        claimed(waiting())


def test_an_approved_task_can_be_claimed() -> None:
    assert claimed(approved()).state == "running"


def test_an_approval_names_the_hash_of_the_specification() -> None:
    task = approved(args={"path": "docs"})
    assert task.approval is not None
    assert task.approval.spec == spec_hash(task)


@pytest.mark.parametrize(
    "change",
    [
        {"type": "other"},
        {"args": {"path": "/"}},
        {"positional": ("x",)},
        {"priority": "high"},
        {"timeout": 1.0},
        {"retries": 3},
        {"after": ("a",)},
        {"affinity": {"a": "b"}},
    ],
    ids=str,
)
def test_whatever_of_the_specification_changes_leaves_the_approval_behind(change: dict[str, Any]) -> None:
    assert not dataclasses.replace(approved(), **change).approved


def test_an_approval_of_something_else_does_not_let_a_task_be_claimed() -> None:
    with pytest.raises(ValueError, match="cannot be claimed"):
        claimed(dataclasses.replace(approved(), args={"path": "/"}))


def test_a_stored_task_whose_approval_is_for_something_else_is_a_bad_record() -> None:
    document = {**as_stored(approved()), "args": {"path": "/"}}
    with pytest.raises(BadRecord, match="nobody approved it"):
        Task.load("tasks/issue-12", document)


def test_a_stored_task_without_its_approval_is_a_bad_record() -> None:
    document = {**as_stored(approved()), "approval": None}
    with pytest.raises(BadRecord, match="nobody approved it"):
        Task.load("tasks/issue-12", document)


@pytest.mark.parametrize("task", [waiting(), approved(), claimed(approved()), approved(FILE)])
def test_source_and_approval_come_back_as_they_were_stored(task: Task) -> None:
    assert Task.load("tasks/issue-12", as_stored(task)) == task


def test_an_edit_before_the_claim_makes_the_approval_void() -> None:
    task = respecify(approved(), draft(args={"path": "/"}), wall=WALL, why="edited")
    assert (task.state, events(task)[-1], task.args, task.run) == (
        "awaiting_approval",
        "approval_void",
        {"path": "/"},
        1,
    )


def test_going_back_to_what_was_approved_needs_an_approval_all_the_same() -> None:
    edited = respecify(approved(), draft(args={"path": "/"}), wall=WALL, why="edited")
    assert respecify(edited, draft(), wall=WALL, why="edited back").state == "awaiting_approval"


def test_a_running_task_cannot_be_changed_from_outside() -> None:
    with pytest.raises(ValueError, match="cannot be changed"):
        respecify(claimed(approved()), draft(args={"path": "/"}), wall=WALL, why="edited")


def test_a_task_that_came_by_the_store_cannot_be_changed_from_outside() -> None:
    with pytest.raises(ValueError, match="cannot be changed"):
        respecify(transitions.submit(draft(), wall=WALL), draft(type="other"), wall=WALL, why="edited")


def test_what_was_tried_already_and_is_changed_gets_a_run_of_its_own() -> None:
    tried = transitions.end_attempt(claimed(approved(retries=2)), FAILED, wall=WALL)
    task = respecify(tried, draft(args={"path": "/"}, retries=1), wall=WALL, why="edited")
    assert (task.run, task.attempt, task.state, task.retries_left) == (2, 0, "awaiting_approval", 1)


def test_a_changed_file_opens_another_run_of_what_was_done() -> None:
    done = transitions.end_attempt(claimed(approved(FILE)), OK, wall=WALL)
    task = respecify(done, draft(args={"path": "/"}), wall=WALL, why="changed")
    assert (task.run, task.result, task.state) == (2, None, "awaiting_approval")


def test_a_retry_of_an_approved_task_needs_no_other_approval() -> None:
    failed = transitions.end_attempt(claimed(approved()), FAILED, wall=WALL)
    assert transitions.retry(failed, wall=WALL).state == "pending"


def test_a_retry_of_what_was_never_approved_waits_for_an_approval() -> None:
    cancelled = transitions.cancel(waiting(), wall=WALL, reason="closed")
    assert transitions.retry(cancelled, wall=WALL).state == "awaiting_approval"


def test_a_task_that_waits_for_no_approval_cannot_be_approved() -> None:
    with pytest.raises(ValueError, match="waits for no approval"):
        approve(approved(), by="alice", by_id=1, wall=WALL)
