"""Transitions of a task: which exist, what each changes, and what none may change."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sentinel.clock import rfc3339
from sentinel.model import task as transitions
from sentinel.model.task import (
    CAUSES,
    HISTORY_ENDS,
    MAX_BACKOFF,
    MAX_MESSAGE,
    MAX_NOTE,
    PRIORITIES,
    Cause,
    Ending,
    Fence,
    Task,
)
from tests.unit.builders import AT, FAILED, OK, WALL, claimed, ended, evolve, running, task

LATER = WALL + 60

TRANSITIONS: dict[str, Callable[[Task], Task]] = {
    "claim": lambda now: claimed(now, worker="w2", incarnation="inc2"),
    "end": lambda now: transitions.end_attempt(now, OK, wall=LATER),
    "lose": lambda now: transitions.lose(now, wall=LATER, evidence="silent"),
    "cancel": lambda now: transitions.cancel(now, wall=LATER, reason="not needed"),
    "retry": lambda now: transitions.retry(now, wall=LATER),
}
STATES: dict[str, Task] = {
    "pending": task(),
    "running": running(),
    "done": ended(),
    "failed": ended(ending=FAILED),
    "cancelled": transitions.cancel(task(), wall=WALL, reason="no"),
    "dead": evolve(running(), state="dead"),
}
LEADS_TO = {
    ("pending", "claim"): "running",
    ("pending", "cancel"): "cancelled",
    ("running", "end"): "done",
    ("running", "lose"): "pending",
    ("running", "cancel"): "running",
    ("failed", "retry"): "pending",
    ("cancelled", "retry"): "pending",
    ("dead", "retry"): "pending",
}
EVERY = [(state, name) for state in STATES for name in TRANSITIONS]


@pytest.mark.parametrize(("state", "name"), EVERY)
def test_each_transition_exists_from_its_states_alone(state: str, name: str) -> None:
    leads_to = LEADS_TO.get((state, name))
    if leads_to is None:
        with pytest.raises(ValueError, match=f"task build is {state} and cannot be"):
            TRANSITIONS[name](STATES[state])
    else:
        assert TRANSITIONS[name](STATES[state]).state == leads_to


@pytest.mark.parametrize(("state", "name"), LEADS_TO)
def test_only_a_claim_raises_the_epoch_and_by_one(state: str, name: str) -> None:
    before = evolve(STATES[state], epoch=7)
    assert TRANSITIONS[name](before).epoch == (8 if name == "claim" else 7)


@pytest.mark.parametrize(("state", "name"), LEADS_TO)
def test_no_transition_touches_the_revision_which_the_store_counts(state: str, name: str) -> None:
    before = STATES[state].stamped(5, "t5")
    after = TRANSITIONS[name](before)
    assert (after.rev, after.tx) == (5, "t5")


@pytest.mark.parametrize(("state", "name"), LEADS_TO)
def test_no_transition_touches_what_was_asked_for(state: str, name: str) -> None:
    before = evolve(STATES[state], args={"a": 1}, positional=(1,), priority="high", after=("x",), timeout=5.0)
    after = TRANSITIONS[name](before)
    spec = ("id", "type", "args", "positional", "priority", "after", "timeout", "retries", "created_at")
    assert [getattr(after, field) for field in spec] == [getattr(before, field) for field in spec]


@pytest.mark.parametrize(("state", "name"), LEADS_TO)
def test_a_history_only_grows(state: str, name: str) -> None:
    before = STATES[state]
    assert TRANSITIONS[name](before).history[: len(before.history)] == before.history


def test_a_submitted_task_waits_in_its_first_run() -> None:
    new = task(retries=3, submitted_by="alice")
    assert (new.state, new.run, new.attempt, new.epoch, new.retries_left) == ("pending", 1, 0, 0, 3)


def test_a_submission_is_the_first_line_of_the_history() -> None:
    (line,) = task(submitted_by="alice").history
    assert (line.event, line.at, line.epoch, line.note) == ("submitted", AT, 0, "alice")


def test_a_claim_names_its_owner_and_is_a_started_attempt() -> None:
    taken = running(worker="w1", incarnation="inc1")
    assert (taken.owner, taken.incarnation, taken.started_at, taken.attempt) == ("w1", "inc1", AT, 1)


def test_a_claim_ends_the_backoff_and_the_reason_to_wait() -> None:
    taken = claimed(evolve(task(), backoff=4.0, reason="waiting for approval"))
    assert (taken.backoff, taken.reason) == (0.0, None)


def test_a_task_is_held_under_the_fence_of_its_claim() -> None:
    assert running().held_under(Fence(task="build", incarnation="inc1", run=1, epoch=1))


@pytest.mark.parametrize(
    "fence",
    [
        Fence(task="other", incarnation="inc1", run=1, epoch=1),
        Fence(task="build", incarnation="inc2", run=1, epoch=1),
        Fence(task="build", incarnation="inc1", run=2, epoch=1),
        Fence(task="build", incarnation="inc1", run=1, epoch=2),
        Fence(task="build", incarnation="inc1", run=1, epoch=0),
    ],
)
def test_a_task_is_not_held_under_another_fence(fence: Fence) -> None:
    assert not running().held_under(fence)


@pytest.mark.parametrize("state", sorted(STATES.keys() - {"running"}))
def test_what_does_not_run_is_held_by_nobody(state: str) -> None:
    stopped = evolve(STATES[state], incarnation="inc1", epoch=1)
    assert not stopped.held_under(stopped.fence())


def test_success_keeps_result_exit_code_log_and_owner() -> None:
    ending = Ending(cause=None, result={"n": 1}, exit_code=0, log={"blob": "ab", "bytes": 2})
    done = transitions.end_attempt(running(worker="w1"), ending, wall=LATER)
    assert (done.result, done.exit_code, done.log, done.owner) == ({"n": 1}, 0, ending.log, "w1")


def test_success_is_one_finished_event_and_the_end_of_the_run() -> None:
    done = transitions.end_attempt(running(), OK, wall=LATER)
    assert ([line.event for line in done.history], done.finished_at) == (
        ["submitted", "claimed", "finished"],
        rfc3339(LATER),
    )


def test_success_after_a_failed_attempt_shows_no_error() -> None:
    again = claimed(transitions.end_attempt(running(retries=1), FAILED, wall=WALL))
    assert transitions.end_attempt(again, OK, wall=WALL).error is None


def test_a_failure_without_retries_ends_the_run_as_failed() -> None:
    failed = ended(ending=FAILED)
    assert (failed.state, failed.reason, failed.error) == (
        "failed",
        "error: it broke",
        {"kind": "error", "message": "it broke"},
    )


@pytest.mark.parametrize("cause", ["error", "timeout", "memory"])
def test_an_attempt_that_failed_is_tried_again_while_retries_are_left(cause: Cause) -> None:
    again = ended(ending=Ending(cause=cause), retries=2)
    assert (again.state, again.retries_left, again.owner, again.incarnation) == ("pending", 1, None, None)


@pytest.mark.parametrize("cause", ["error", "timeout", "memory"])
def test_an_ending_that_forbids_it_is_not_tried_again(cause: Cause) -> None:
    assert ended(ending=Ending(cause=cause, retry=False), retries=2).state == "failed"


def test_the_pause_doubles_with_each_retry_up_to_its_limit() -> None:
    now, pauses = task(retries=12), []
    for _ in range(12):
        now = transitions.end_attempt(claimed(now), FAILED, wall=WALL)
        pauses.append(now.backoff)
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, MAX_BACKOFF, MAX_BACKOFF, MAX_BACKOFF]


def test_as_many_attempts_are_made_as_retries_and_one() -> None:
    now, attempts = task(retries=3), 0
    while not now.ended:
        now = transitions.end_attempt(claimed(now), FAILED, wall=WALL)
        attempts += 1
    assert (attempts, now.attempt, now.epoch) == (4, 4, 4)


def test_a_retry_says_when_and_after_what() -> None:
    assert ended(ending=FAILED, retries=1).history[-1].note == "again in 1 s, after error: it broke"


def test_a_drained_attempt_uses_up_no_retry_and_waits_for_nothing() -> None:
    back = ended(ending=Ending(cause="drained"), retries=1)
    assert (back.state, back.retries_left, back.losses, back.backoff, back.error) == (
        "pending",
        1,
        0,
        0,
        None,
    )


@pytest.mark.parametrize("cause", CAUSES)
def test_each_cause_is_counted_on_its_own(cause: Cause) -> None:
    first = ended(ending=Ending(cause=cause), retries=1)
    assert first.causes == {cause: 1}


def test_causes_are_counted_through_all_runs() -> None:
    again = claimed(transitions.retry(ended(ending=FAILED), wall=WALL))
    assert transitions.end_attempt(again, FAILED, wall=WALL).causes == {"error": 2}


def test_cancelling_what_waits_ends_it_at_once_with_the_reason() -> None:
    gone = transitions.cancel(task(), wall=LATER, reason="not needed")
    assert (gone.state, gone.reason, gone.error) == (
        "cancelled",
        "not needed",
        {"kind": "cancelled", "message": "not needed"},
    )


def test_cancelling_what_runs_only_asks_its_owner() -> None:
    asked = transitions.cancel(running(), wall=LATER, reason="not needed")
    assert evolve(asked, cancel_requested=None) == running()


def test_the_first_reason_to_cancel_stays() -> None:
    asked = transitions.cancel(running(), wall=WALL, reason="first")
    assert transitions.cancel(asked, wall=WALL, reason="second").cancel_requested == "first"


@pytest.mark.parametrize("cause", sorted(set(CAUSES) - {"lost"}))
def test_a_request_to_cancel_wins_over_another_attempt(cause: Cause) -> None:
    asked = transitions.cancel(running(retries=5), wall=WALL, reason="not needed")
    over = transitions.end_attempt(asked, Ending(cause=cause), wall=WALL)
    assert (over.state, over.reason, over.cancel_requested) == ("cancelled", "not needed", None)


def test_a_request_to_cancel_wins_when_the_worker_is_lost() -> None:
    asked = transitions.cancel(running(retries=5), wall=WALL, reason="not needed")
    assert transitions.lose(asked, wall=WALL, evidence="silent").state == "cancelled"


def test_a_result_that_came_before_the_cancellation_is_kept() -> None:
    asked = transitions.cancel(running(), wall=WALL, reason="not needed")
    assert transitions.end_attempt(asked, OK, wall=WALL).state == "done"


@pytest.mark.parametrize("state", ["failed", "cancelled", "dead"])
def test_a_retry_opens_the_next_run_with_everything_given_back(state: str) -> None:
    spent = evolve(STATES[state], retries=3, losses=5, attempt=9, exit_code=1, backoff=8.0)
    again = transitions.retry(spent, wall=LATER)
    assert (again.run, again.attempt, again.retries_left, again.losses) == (2, 0, 3, 0)


@pytest.mark.parametrize("state", ["failed", "cancelled", "dead"])
def test_a_retry_shows_nothing_of_the_run_before(state: str) -> None:
    spent = evolve(STATES[state], exit_code=1, backoff=8.0, log={"blob": "ab"})
    again = transitions.retry(spent, wall=LATER)
    fields = ("owner", "incarnation", "started_at", "finished_at", "error", "reason", "exit_code", "log")
    assert [getattr(again, field) for field in fields] == [None] * 8


def test_a_retry_can_start_at_once() -> None:
    assert transitions.retry(evolve(STATES["failed"], backoff=8.0), wall=WALL).backoff == 0.0


def test_a_history_is_capped_to_its_first_and_last_lines() -> None:
    now = task(retries=100)
    for _ in range(80):
        now = transitions.end_attempt(claimed(now), Ending(cause="drained"), wall=WALL)
    epochs = [line.epoch for line in now.history]
    assert (len(epochs), epochs[0], epochs[-1], epochs[HISTORY_ENDS] - epochs[HISTORY_ENDS - 1]) == (
        2 * HISTORY_ENDS,
        0,
        80,
        31,
    )


def test_a_history_of_exactly_both_ends_is_whole() -> None:
    now = task()
    for _ in range(HISTORY_ENDS - 1):
        now = transitions.end_attempt(claimed(now), Ending(cause="drained"), wall=WALL)
    assert [line.event for line in claimed(now).history].count("claimed") == HISTORY_ENDS


@pytest.mark.parametrize("message", ["x" * 10_000, "two\nlines\x1b[31m", "half \ud800"], ids=ascii)
def test_a_note_is_one_printable_line_whatever_a_program_said(message: str) -> None:
    note = ended(ending=Ending(cause="error", message=message)).history[-1].note
    assert note is not None
    assert note.isprintable()
    assert len(note) <= MAX_NOTE


def test_an_error_keeps_its_lines_and_is_cut_at_its_limit() -> None:
    error = ended(ending=Ending(cause="error", message="two\nlines" + "x" * 10_000)).error
    assert error is not None
    assert error["message"].startswith("two\nlines")
    assert len(error["message"]) == MAX_MESSAGE


def test_the_queue_is_by_priority_and_then_first_in_first_out() -> None:
    late, early = "2026-11-22T09:00:00.000000Z", "2026-11-22T08:00:00.000000Z"
    waiting = [
        task(f"{priority}-{name}", priority=priority, created_at=at)
        for priority in reversed(PRIORITIES)
        for name, at in (("late", late), ("b", early), ("a", early))
    ]
    assert [each.id for each in sorted(waiting, key=lambda each: each.rank)] == [
        f"{priority}-{name}"
        for priority in ("critical", "high", "normal", "low")
        for name in ("a", "b", "late")
    ]
