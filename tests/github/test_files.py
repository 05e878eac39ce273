"""Files as tasks: merged is approved, changed is a new run, removed is withdrawn."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sentinel.model import layout
from sentinel.model.origin import spec_hash
from sentinel.store.base import ABSENT, Transaction
from tests.github.stage import DONE, FAILED, GOOD, Stage

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
    merge(stage)
    del stage.hub.files[PATH]
    stage.hub.files[".sentinel/tasks/other.json"] = b""
    stage.hub.truncated = True
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


def test_a_copy_that_lags_behind_starts_no_older_text_again(stage: Stage) -> None:
    merge(stage)
    older = stage.hub.head
    stage.run_task("count")
    merge(stage, args={"path": "src"})
    stage.run_task("count")
    stage.hub.lagging = older
    look(stage)
    assert (stage.task_named("count").args, stage.task_named("count").run) == ({"path": "src"}, 2)


def test_a_copy_that_lags_behind_withdraws_no_task(stage: Stage) -> None:
    stage.hub.files["README.md"] = b"hello"
    look(stage)
    older = stage.hub.head
    merge(stage)
    stage.hub.lagging = older
    look(stage)
    assert stage.task_named("count").state == "pending"


def test_a_copy_that_lags_behind_brings_no_removed_file_back(stage: Stage) -> None:
    merge(stage)
    older = stage.hub.head
    del stage.hub.files[PATH]
    look(stage)
    stage.hub.lagging = older
    look(stage)
    assert stage.task_named("count").state == "cancelled"


def test_what_a_copy_that_lags_behind_shows_is_passed_over_by_who_goes_on_too(stage: Stage) -> None:
    merge(stage)
    older = stage.hub.head
    merge(stage, args={"path": "src"})
    stage.hub.lagging = older
    stage.bury("w1")
    stage.peer("w2")
    stage.clock.advance(301)
    stage.look("w2", steps=2)
    assert stage.task_named("count").args == {"path": "src"}


def test_while_a_copy_lags_behind_what_was_read_before_still_counts(stage: Stage) -> None:
    stage.hub.files["README.md"] = b"hello"
    look(stage)
    older = stage.hub.head
    merge(stage, after=["first"])
    stage.hub.lagging = older
    stage.client().submit("word-count", {"path": "x"}, id="first", allow_unknown_type=True)
    look(stage)
    assert stage.task_named("count").after == ("first",)


def test_a_branch_that_was_set_back_is_read_when_a_commit_is_put_on_it(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    merge(stage)
    older = stage.hub.head
    merge(stage, args={"path": "src"})
    stage.hub.files, stage.hub.head = dict(stage.hub.commits[older][1]), older
    for _ in range(4):
        look(stage)
    assert stage.task_named("count").args == {"path": "src"}
    assert "put a commit on it" in caplog.text
    stage.hub.files["README.md"] = b"hello"
    for _ in range(4):
        look(stage)
    assert stage.task_named("count").args == {"path": "docs"}


def rewrite(stage: Stage, **fields: Any) -> None:
    """Force the branch to a commit that does not follow those that were read."""
    content = {"id": "count", "type": "word-count", "args": {"path": "docs"}, **fields}
    stage.hub.files[PATH] = json.dumps(content).encode()
    stage.hub.reset_branch("")


def test_a_branch_that_was_rewritten_is_read_when_it_stays_so(stage: Stage) -> None:
    merge(stage)
    rewrite(stage, args={"path": "src"})
    look(stage)
    assert stage.task_named("count").args == {"path": "docs"}
    for _ in range(3):
        look(stage)
    assert stage.task_named("count").args == {"path": "src"}


def test_what_a_rewritten_branch_left_behind_is_not_read_from_a_copy_that_lags(stage: Stage) -> None:
    merge(stage)
    older = stage.hub.head
    rewrite(stage, args={"path": "src"})
    for _ in range(4):
        look(stage)
    stage.hub.lagging = older
    look(stage)
    stage.hub.lagging = ""
    for _ in range(4):
        look(stage)
    assert (stage.task_named("count").args, stage.audit().count("read the default branch")) == (
        {"path": "src"},
        2,
    )


def test_the_mark_is_raised_in_the_commit_that_takes_the_files_in(stage: Stage) -> None:
    merge(stage)
    (commit,) = [
        [transaction.note for transaction in commit.transactions]
        for commit in stage.fleet.history
        if any("from the file" in transaction.note for transaction in commit.transactions)
    ]
    assert any(note.startswith("read the default branch at") for note in commit)


def test_a_file_whose_content_is_not_shown_yet_is_taken_in_later(stage: Stage) -> None:
    stage.hub.unshown = True
    merge(stage)
    assert (stage.view().tasks, "refuse" in stage.audit()) == ({}, False)
    stage.hub.unshown = False
    look(stage)
    assert stage.task_named("count").state == "pending"


def test_a_link_is_no_file(stage: Stage) -> None:
    merge(stage)
    stage.hub.mode = "120000"
    look(stage)
    stage.hub.files[".sentinel/tasks/other.json"] = stage.hub.files.pop(PATH)
    look(stage)
    assert stage.task_named("count").state == "cancelled"


def test_while_the_mark_cannot_be_read_no_file_is_taken_in_and_issues_are(stage: Stage) -> None:
    damaged = Transaction("t1", {layout.MARK: ABSENT}, {layout.MARK: {"rev": 1, "tx": "t1"}}, "damage it")
    stage.transactor.store.commit([damaged])
    number = stage.hub.open(GOOD)
    merge(stage)
    assert (list(stage.view().tasks), len(stage.hub.answers(number))) == (["issue-1"], 1)
