"""Files as tasks: merged is approved, changed is a new run, removed is withdrawn."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sentinel.model.origin import spec_hash
from tests.github.stage import DONE, FAILED, Stage

PATH = ".sentinel/tasks/count.json"


@pytest.fixture
def stage() -> Stage:
    return Stage()


def merge(stage: Stage, path: str = PATH, **fields: Any) -> None:
    """Merge a file to the default branch, and let the fleet see it."""
    content = {"id": "count", "type": "word-count", "args": {"path": "docs"}, **fields}
    stage.hub.files[path] = json.dumps(content).encode()
    look(stage)


def look(stage: Stage) -> None:
    stage.clock.advance(301)
    stage.look(steps=2)


def test_a_merged_file_is_an_approved_task(stage: Stage) -> None:
    merge(stage)
    task = stage.task_named("count")
    assert task.source is not None
    assert task.approval is not None
    assert (task.state, task.source.kind, task.source.name) == ("pending", "file", PATH)
    assert task.approval.spec == spec_hash(task)


def test_the_same_file_is_taken_in_once(stage: Stage) -> None:
    merge(stage)
    stage.run_task("count")
    revision = stage.view().snapshot.revision
    look(stage)
    assert stage.view().snapshot.revision == revision


def test_a_changed_file_is_a_new_run_even_of_what_is_done(stage: Stage) -> None:
    merge(stage)
    stage.run_task("count", DONE)
    merge(stage, args={"path": "src"})
    task = stage.task_named("count")
    assert (task.state, task.run, task.args) == ("pending", 2, {"path": "src"})


def test_a_file_that_says_the_same_in_other_words_starts_nothing(stage: Stage) -> None:
    merge(stage)
    stage.run_task("count", FAILED)
    stage.hub.files[PATH] += b"\n"
    look(stage)
    assert (stage.task_named("count").state, stage.task_named("count").run) == ("failed", 1)


def test_a_file_that_changes_while_its_task_runs_is_taken_in_when_that_has_ended(stage: Stage) -> None:
    merge(stage)
    stage.run_task("count", None)
    merge(stage, args={"path": "src"})
    assert stage.task_named("count").args == {"path": "docs"}
    stage.end("count", DONE)
    look(stage)
    assert (stage.task_named("count").run, stage.task_named("count").args) == (2, {"path": "src"})


def test_a_file_that_changes_before_anybody_took_its_task_changes_the_task(stage: Stage) -> None:
    merge(stage)
    merge(stage, args={"path": "src"})
    task = stage.task_named("count")
    assert (task.state, task.run, task.args) == ("pending", 1, {"path": "src"})


def test_a_file_may_run_after_another_of_the_same_merge(stage: Stage) -> None:
    for name, after in (("a", ["b"]), ("b", [])):
        content = {"id": name, "type": "word-count", "args": {"path": "docs"}, "after": after}
        stage.hub.files[f".sentinel/tasks/{name}.json"] = json.dumps(content).encode()
    look(stage)
    look(stage)
    assert (stage.task_named("a").after, stage.task_named("b").state) == (("b",), "pending")


def test_a_file_that_stays_wrong_is_refused_once(stage: Stage) -> None:
    merge(stage, after=["nobody"])
    revision = stage.view().snapshot.revision
    look(stage)
    assert stage.view().snapshot.revision == revision


def test_a_removed_file_withdraws_what_waits(stage: Stage) -> None:
    merge(stage)
    del stage.hub.files[PATH]
    look(stage)
    assert stage.task_named("count").state == "cancelled"


def test_a_file_that_github_has_no_room_to_list_is_not_withdrawn(stage: Stage) -> None:
    merge(stage, ".sentinel/tasks/zebra.json")
    for number in range(1_000):
        stage.hub.files[f".sentinel/tasks/{number:04}.txt"] = b""
    look(stage)
    assert stage.task_named("count").state == "pending"


def test_a_file_that_is_back_is_run(stage: Stage) -> None:
    merge(stage)
    del stage.hub.files[PATH]
    look(stage)
    merge(stage)
    assert (stage.task_named("count").state, stage.task_named("count").run) == ("pending", 2)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"id": "../x"}, "is not valid"),
        ({"id": "issue-7"}, "is for the task of an issue"),
        ({"type": "shell"}, "never runs from here"),
        ({"type": "word-cuont"}, "the nearest is word-count"),
        ({"args": {}}, "needs the argument 'path'"),
        ({"owner": "me"}, "which there is not"),
        ({"after": ["gone"]}, "no such task"),
    ],
)
def test_a_file_that_asks_for_no_task_is_refused_in_the_audit(
    stage: Stage, fields: dict[str, Any], problem: str
) -> None:
    merge(stage, **fields)
    assert stage.view().tasks == {}
    assert f"refuse the file {PATH}" in stage.audit()
    assert problem in stage.audit()


def test_a_file_that_is_no_json_is_refused_once(stage: Stage) -> None:
    stage.hub.files[PATH] = b"\xff{"
    look(stage)
    look(stage)
    assert stage.audit().count("refuse the file") == 1


def test_a_file_may_not_take_the_task_of_another(stage: Stage) -> None:
    merge(stage)
    merge(stage, ".sentinel/tasks/other.json", args={"path": "src"})
    assert stage.task_named("count").args == {"path": "docs"}
    assert "was given to another task already" in stage.audit()


def test_other_files_are_left_alone(stage: Stage) -> None:
    stage.hub.files[".sentinel/tasks/README.md"] = b"hello"
    look(stage)
    assert stage.view().tasks == {}
