"""Closing, opening again, and commands in comments: each does what it says, once, for who may."""

from __future__ import annotations

import pytest

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
