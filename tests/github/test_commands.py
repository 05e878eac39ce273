"""Closing, opening again, and commands in comments: each does what it says, once, for who may."""

from __future__ import annotations

import random

import pytest

from sentinel.github.records import MAX_COMMANDS, IssueRecord
from sentinel.model.origin import spec_hash
from tests.github.stage import FAILED, GOOD, OTHER, Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_closing_cancels_what_waits(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.hub.close(number)
    stage.look()
    assert stage.task(number).state == "cancelled"


def test_closing_asks_the_worker_of_what_runs_to_end_it(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number, None)
    stage.hub.close(number)
    stage.look()
    assert stage.task(number).cancel_requested == "its issue was closed"


def test_closing_cancels_even_when_the_label_was_taken_away(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.hub.unlabel(number, "sentinel")
    stage.look()
    stage.hub.close(number)
    stage.look()
    assert stage.task(number).state == "cancelled"


def test_opening_again_retries(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number, FAILED)
    stage.look()
    stage.hub.close(number)
    stage.look()
    stage.hub.reopen(number)
    stage.look()
    assert (stage.task(number).state, stage.task(number).run) == ("pending", 2)


def test_opening_again_by_someone_who_may_not_starts_nothing(stage: Stage) -> None:
    number = stage.hub.open(GOOD, by="mallory")
    stage.look()
    stage.hub.say(number, "/approve")
    stage.look()
    stage.run(number, FAILED)
    stage.hub.close(number, by="mallory")
    stage.look()
    stage.hub.reopen(number, by="mallory")
    stage.look()
    assert (stage.task(number).state, stage.task(number).run) == ("failed", 1)
    assert "opened again, which starts nothing" in stage.audit()


def failed_closed_and_opened_again(stage: Stage, *, by: str) -> int:
    """It failed, alice opened it again, it failed once more, and now it was opened again ``by`` somebody."""
    number = stage.hub.open(GOOD)
    stage.look()
    for again in (False, True):
        stage.run(number, FAILED)
        stage.look()
        stage.hub.close(number)
        stage.look()
        stage.hub.reopen(number, by=by if again else "alice")
        if not again:
            stage.look()
    return number


def test_opening_again_starts_nothing_while_github_does_not_tell_who_did_it(stage: Stage) -> None:
    number = failed_closed_and_opened_again(stage, by="reader")
    closed, reopened = (event["id"] for event in stage.hub.events[number][-2:])
    stage.hub.late |= {closed, reopened}
    stage.look(steps=1)
    assert stage.task(number).run == 2
    stage.hub.late.clear()
    stage.look()
    assert (stage.task(number).run, "reader (5) has the permission read" in stage.audit()) == (2, True)


def test_opening_again_counts_when_github_tells_late_who_did_it(stage: Stage) -> None:
    number = failed_closed_and_opened_again(stage, by="alice")
    stage.hub.late.add(stage.hub.events[number][-1]["id"])
    stage.look(steps=1)
    assert stage.task(number).run == 2
    stage.hub.late.clear()
    stage.look()
    assert (stage.task(number).state, stage.task(number).run) == ("pending", 3)


def test_opening_again_by_whom_github_never_tells_gets_one_clear_answer(stage: Stage) -> None:
    number = failed_closed_and_opened_again(stage, by="alice")
    stage.hub.late.add(stage.hub.events[number][-1]["id"])
    stage.look(steps=10)
    assert stage.task(number).run == 2
    assert "GitHub does not tell by whom" in stage.hub.answers(number)[0]


def test_a_copy_of_github_that_still_shows_it_open_opens_nothing_again(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    before = dict(stage.hub.issues[number])
    stage.hub.close(number)
    stage.look()
    after, stage.hub.issues[number] = stage.hub.issues[number], before
    stage.look(steps=1)
    stage.hub.issues[number] = after
    stage.look()
    assert (stage.task(number).state, "opened again" in stage.audit()) == ("cancelled", False)


def test_a_copy_of_github_that_still_shows_the_text_before_voids_no_approval(stage: Stage) -> None:
    number = stage.hub.open(OTHER)
    stage.look()
    before = dict(stage.hub.issues[number])
    stage.hub.edit(number, GOOD)
    stage.look()
    spec = spec_hash(stage.task(number))
    stage.hub.say(number, f"/approve {spec}")
    stage.look()
    after, stage.hub.issues[number] = stage.hub.issues[number], before
    stage.look(steps=1)
    stage.hub.issues[number] = after
    stage.look()
    assert (stage.task(number).state, spec_hash(stage.task(number))) == ("pending", spec)


def test_opening_again_what_is_done_starts_nothing_and_is_answered(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number)
    stage.look()
    stage.hub.reopen(number)
    stage.look()
    assert (stage.task(number).state, stage.hub.state(number)) == ("done", "open")
    assert "done is final" in stage.hub.answers(number)[0]


def test_retry_in_a_comment_opens_a_run_of_the_same_bytes(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number, FAILED)
    stage.hub.say(number, "/retry")
    stage.look()
    assert (stage.task(number).state, stage.task(number).run) == ("pending", 2)


def test_retry_after_a_task_that_has_failed_starts_nothing_and_names_it(stage: Stage) -> None:
    first = stage.hub.open(GOOD)
    second = stage.hub.open(GOOD.replace("}\n", f', "after": ["issue-{first}"]}}\n'))
    stage.look()
    stage.hub.say(second, "/cancel")
    stage.look()
    stage.run(first, FAILED)
    stage.hub.say(second, "/retry")
    stage.look()
    assert (stage.task(second).state, stage.task(second).run) == ("cancelled", 1)
    assert f"issue-{first}, which is failed" in stage.hub.answers(second)[0]


def test_retry_of_an_edited_issue_needs_an_approval_of_the_new_text(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number, FAILED)
    stage.look()
    stage.hub.edit(number, OTHER)
    stage.hub.say(number, "/retry")
    stage.look()
    task = stage.task(number)
    assert (task.state, task.run, task.args) == ("awaiting_approval", 2, {"path": "/etc"})


def test_retry_by_someone_who_may_not_starts_nothing(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number, FAILED)
    stage.hub.say(number, "/retry", by="reader")
    stage.look()
    assert stage.task(number).run == 1
    assert "/retry is refused: reader (5)" in stage.audit()


def test_cancel_in_a_comment_cancels(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.hub.say(number, "/cancel")
    stage.look()
    assert (stage.task(number).state, stage.hub.state(number)) == ("cancelled", "open")


def test_an_author_may_cancel_what_he_asked_for(stage: Stage) -> None:
    number = stage.hub.open(GOOD, by="mallory")
    stage.look()
    stage.hub.say(number, "/cancel", by="mallory")
    stage.look()
    assert stage.task(number).state == "cancelled"


def test_why_in_a_comment_is_answered_in_the_comment(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.hub.say(number, "/why")
    stage.look()
    (answer,) = stage.hub.answers(number)
    assert "why by alice" in answer
    assert "no live worker takes tasks" in answer


def test_each_command_counts_once(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number, FAILED)
    stage.hub.say(number, "/retry")
    stage.look()
    stage.run(number, FAILED)
    stage.hub.say(number, "thank you")
    stage.look()
    assert stage.task(number).run == 2


def test_several_commands_are_heeded_in_their_order(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    for words in ("/cancel", "/retry", "/cancel"):
        stage.hub.say(number, words)
    stage.look()
    assert (stage.task(number).state, stage.task(number).run) == ("cancelled", 2)


def test_a_command_that_is_listed_after_a_later_one_is_heeded(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    first = stage.hub.say(number, "/cancel")
    stage.hub.late.add(first)
    stage.hub.say(number, "/why")
    stage.look()
    assert "why by alice" in stage.hub.answers(number)[0]
    stage.hub.late.clear()
    stage.look()
    assert stage.task(number).state == "cancelled"


def test_a_command_that_was_listed_late_counts_once(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number, FAILED)
    first = stage.hub.say(number, "/retry")
    stage.hub.late.add(first)
    stage.hub.say(number, "/why")
    stage.look()
    stage.hub.late.clear()
    stage.look()
    stage.run(number, FAILED)
    stage.look()
    assert stage.task(number).run == 2


def test_what_is_remembered_of_commands_is_bounded(stage: Stage) -> None:
    record = IssueRecord(number=1)
    for comment in range(1, 3 * MAX_COMMANDS):
        record = record.heed(comment)
    assert len(record.commands) == MAX_COMMANDS


def test_no_order_of_listing_makes_a_command_count_twice_or_never() -> None:
    ids = random.Random(3).sample(range(1, 10**6), MAX_COMMANDS)
    record = IssueRecord(number=1)
    fresh = []
    for comment in [*ids, *reversed(ids)]:
        if not record.has_heeded(comment):
            fresh.append(comment)
            record = record.heed(comment)
    assert fresh == ids


def test_what_is_forgotten_of_commands_counts_as_heeded() -> None:
    record = IssueRecord(number=1)
    for comment in range(1, MAX_COMMANDS + 2):
        record = record.heed(comment)
    assert (record.has_heeded(1), record.has_heeded(MAX_COMMANDS + 2)) == (True, False)


@pytest.mark.parametrize(
    "words",
    [
        "please /retry",
        "> /retry",
        "/retry now",
        "`/retry`",
        "/retry\u202e",
        "/RETRY",
        "//retry",
        "/retry/",
        " /retry",
    ],
)
def test_a_comment_for_people_is_no_command(stage: Stage, words: str) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number, FAILED)
    stage.hub.say(number, words)
    stage.look()
    assert stage.task(number).run == 1
