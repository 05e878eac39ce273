"""Records of issues and files go with their tasks; nothing is said once more, and nothing starts anew."""

from __future__ import annotations

import json

import pytest

from sentinel.errors import BadRecord
from sentinel.fleet import tasks
from sentinel.github import retention
from sentinel.github.past import Past
from sentinel.model import layout
from sentinel.store.base import Snapshot, Transaction
from tests.github.stage import DONE, FAILED, GOOD, OTHER, Stage

PATH = ".sentinel/tasks/count.json"


@pytest.fixture
def stage() -> Stage:
    return Stage()


def tidy(stage: Stage) -> None:
    """The step that a duty takes once an hour."""
    stage.clock.advance(3_601)
    stage.look(steps=2)


def prune(stage: Stage, task_id: str) -> bool:
    """What the retention does with an ended task; whether it may."""
    snapshot = stage.transactor.store.read()
    with_it = retention.companions(snapshot, tasks.existing(snapshot, task_id))
    if with_it is None:
        return False

    def decide(snapshot: Snapshot) -> tuple[Transaction, None]:
        change = stage.transactor.change(snapshot)
        for key in (layout.done_key(task_id), *with_it):
            change.delete(key)
        return change.transaction(f"prune {task_id}"), None

    stage.transactor.transact(decide)
    return True


def pruned(stage: Stage, ending: object = FAILED) -> int:
    """An issue whose task was run and pruned."""
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number, ending)  # type: ignore[arg-type]  # one of the two
    tidy(stage)
    assert prune(stage, f"issue-{number}")
    return number


def records(stage: Stage) -> list[str]:
    """The keys of what is kept of issues and files."""
    snapshot = stage.transactor.store.read()
    folders = (layout.ISSUES, layout.OUTBOX, layout.FILES)
    return sorted(key for folder in folders for key in snapshot.list(folder))


def test_record_and_outbox_entry_of_an_issue_go_with_its_task(stage: Stage) -> None:
    pruned(stage)
    assert records(stage) == []


def test_before_it_is_noted_that_an_issue_was_dealt_with_its_task_stays(stage: Stage) -> None:
    stage.look()
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number, DONE)
    stage.look()
    assert not prune(stage, f"issue-{number}")
    tidy(stage)
    assert prune(stage, f"issue-{number}")


@pytest.mark.parametrize("ending", [DONE, FAILED])
def test_nothing_is_said_on_an_issue_whose_task_is_pruned(stage: Stage, ending: object) -> None:
    number = pruned(stage, ending)
    before, stage.hub.sent[:] = stage.hub.on(number), []
    stage.hub.pass_time(600)
    tidy(stage)
    assert (stage.hub.sent, stage.hub.on(number)) == ([], before)


def test_an_issue_whose_task_is_pruned_becomes_no_task_again_when_somebody_comments(stage: Stage) -> None:
    number = pruned(stage)
    for words in ("thank you", "/retry", "/approve"):
        stage.hub.say(number, words)
    stage.look()
    assert (stage.has_task(number), records(stage)) == (False, [])


def test_an_issue_whose_task_is_pruned_becomes_no_task_again_when_it_is_edited(stage: Stage) -> None:
    number = pruned(stage)
    stage.hub.edit(number, OTHER)
    stage.look()
    assert not stage.has_task(number)


def test_an_issue_whose_task_is_pruned_becomes_no_task_again_when_it_is_opened_again(stage: Stage) -> None:
    number = pruned(stage, DONE)
    stage.hub.reopen(number)
    stage.look()
    assert not stage.has_task(number)


def test_whoever_goes_on_does_not_take_old_issues_for_new_ones(stage: Stage) -> None:
    number = pruned(stage)
    stage.bury("w1")
    stage.peer("w2")
    stage.hub.say(number, "thank you")
    stage.look("w2")
    assert not stage.has_task(number)


def test_an_issue_with_an_old_number_that_was_never_dealt_with_is_taken_in(stage: Stage) -> None:
    plain = stage.hub.open(GOOD, labels=())
    pruned(stage)
    stage.hub.label(plain, "sentinel", by="alice")
    stage.look()
    assert stage.task(plain).state == "pending"


def test_issues_that_never_became_a_task_are_bounded(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "MOST_WITHOUT_TASK", 2)
    closed, *others = (stage.hub.open("no block") for _ in range(4))
    good = stage.hub.open(GOOD)
    stage.look()
    stage.hub.close(closed)
    for _ in range(2):
        tidy(stage)
    kept = [
        f"{folder}{number}" for folder in (layout.ISSUES, layout.OUTBOX) for number in (*others[1:], good)
    ]
    assert records(stage) == sorted(kept)


def test_an_issue_that_was_forgotten_is_answered_no_more(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "MOST_WITHOUT_TASK", 0)
    number = stage.hub.open("no block")
    stage.look()
    tidy(stage)
    assert records(stage) == []
    before = stage.hub.on(number)
    stage.hub.say(number, "hello?")
    stage.look()
    assert (len(stage.hub.on(number)), records(stage)) == (len(before) + 1, [])


def test_an_issue_whose_task_is_active_is_never_forgotten(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "MOST_WITHOUT_TASK", 0)
    stage.hub.open(GOOD, by="mallory")
    stage.look()
    for _ in range(2):
        tidy(stage)
    assert records(stage) == [layout.issue_key(1), layout.outbox_key(1)]


def merge(stage: Stage, path: str = "docs") -> None:
    content = {"id": "count", "type": "word-count", "args": {"path": path}}
    stage.hub.files[PATH] = json.dumps(content).encode()
    tidy(stage)


def test_a_file_that_is_still_there_is_not_taken_in_anew_when_its_task_is_pruned(stage: Stage) -> None:
    merge(stage)
    stage.run_task("count", DONE)
    assert prune(stage, "count")
    tidy(stage)
    assert stage.view().tasks == {}
    assert records(stage) == [layout.file_key(PATH)]


def test_a_file_that_changes_after_its_task_was_pruned_is_a_task(stage: Stage) -> None:
    merge(stage)
    stage.run_task("count", DONE)
    assert prune(stage, "count")
    merge(stage, "src")
    assert stage.task_named("count").args == {"path": "src"}


def test_the_record_of_a_file_that_was_removed_goes_with_its_task(stage: Stage) -> None:
    merge(stage)
    stage.run_task("count", DONE)
    del stage.hub.files[PATH]
    tidy(stage)
    assert prune(stage, "count")
    assert records(stage) == []


def test_the_record_of_a_file_that_is_removed_after_its_task_was_pruned_goes(stage: Stage) -> None:
    merge(stage)
    stage.run_task("count", DONE)
    assert prune(stage, "count")
    del stage.hub.files[PATH]
    tidy(stage)
    assert records(stage) == []


def test_the_record_of_a_file_that_never_was_a_task_goes_with_the_file(stage: Stage) -> None:
    stage.hub.files[PATH] = b"{"
    tidy(stage)
    del stage.hub.files[PATH]
    tidy(stage)
    assert records(stage) == []


def test_nothing_goes_with_a_task_that_came_by_the_store(stage: Stage) -> None:
    task = stage.client().submit("word-count", {"path": "x"}, id="issue-7", allow_unknown_type=True)
    assert retention.companions(stage.transactor.store.read(), task) == ()


def test_what_cannot_be_read_lets_nothing_go(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number, DONE)
    stage.look()
    key = layout.past_key(0)
    stage.change(
        lambda snapshot: (
            Transaction("t1", {key: snapshot.version(key)}, {key: {"rev": 9, "tx": "t1"}}, "damage it"),
            None,
        )
    )
    assert not prune(stage, f"issue-{number}")


def test_each_issue_is_a_bit_of_its_part() -> None:
    numbers = [8_192, 8_200, 12_287]
    past = Past(part=2).added(numbers)
    assert [number for number in range(8_192, 12_288) if past.holds(number)] == numbers


@pytest.mark.parametrize("issues", ["", "xyz", "-1", "f" * 1_025])
def test_what_is_no_set_of_issues_is_no_record(issues: str) -> None:
    document = {"part": 0, "issues": issues, "rev": 1, "tx": "t"}
    with pytest.raises(BadRecord):
        Past.load(layout.past_key(0), document)


def test_a_full_part_is_a_small_record() -> None:
    past = Past(part=0).added(range(4_096))
    assert len(past.issues) == 1_024
    assert Past.load(layout.past_key(0), past.document()) == past


def test_the_store_of_a_fleet_on_github_names_what_goes_with_a_task() -> None:
    from sentinel.store.opener import extras_of, resolve

    assert resolve(extras_of("github://acme/fleet").companions) is retention.companions
