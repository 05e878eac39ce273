"""Any sequence of transitions keeps the invariants of a task (I2, I8), and ends each run in one way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sentinel.model import task as transitions
from sentinel.model.task import (
    ALONE_AFTER,
    CAUSES,
    DEAD_AFTER_ALONE,
    ENDED,
    Ending,
    Event,
    Task,
)
from tests.unit.builders import WALL, as_stored, evolve, key_of, task

#: The event that ends a run in each of its ends.
END_EVENT = {"done": "finished", "failed": "failed", "cancelled": "cancelled", "dead": "dead"}

is_pending = precondition(lambda self: self.now.state == "pending")
is_running = precondition(lambda self: self.now.state == "running")


class TaskMachine(RuleBasedStateMachine):
    """One task in the hands of a fleet that does with it whatever is allowed."""

    def __init__(self) -> None:
        super().__init__()
        self.now: Task = task(retries=2)
        self.before: Task = self.now
        self.claims = 0
        #: Every event ever; the steps of one example are too few for the history to be capped.
        self.events: list[Event] = list(self.now.history)
        #: Run → its end, once it has one.
        self.ends: dict[int, Task] = {}

    def step(self, after: Task) -> None:
        """Take a transition, through the store and back."""
        self.before, self.now = self.now, Task.load(key_of(after), as_stored(after))
        self.events += after.history[len(self.before.history) :]
        if after.ended:
            self.ends[after.run] = self.now

    @rule(worker=st.sampled_from(["w1", "w2"]))
    @is_pending
    def claim(self, worker: str) -> None:
        self.claims += 1
        self.step(transitions.claim(self.now, worker=worker, incarnation=f"inc-{worker}", wall=WALL))

    @rule(cause=st.sampled_from([None, *CAUSES]), again=st.booleans())
    @is_running
    def end(self, cause: transitions.Cause | None, again: bool) -> None:
        self.step(transitions.end_attempt(self.now, Ending(cause=cause, retry=again), wall=WALL))

    @rule(started=st.booleans())
    @is_running
    def lose(self, started: bool) -> None:
        if not started:
            self.now = evolve(self.now, started_at=None)
        self.step(transitions.lose(self.now, wall=WALL, evidence="silent"))

    @rule()
    @precondition(lambda self: not self.now.ended)
    def cancel(self) -> None:
        self.step(transitions.cancel(self.now, wall=WALL, reason="not needed"))

    @rule()
    @precondition(lambda self: self.now.ended and self.now.state != "done")
    def retry(self) -> None:
        self.step(transitions.retry(self.now, wall=WALL))

    @rule()
    @precondition(lambda self: self.now.state == "done")
    def nothing_follows_done(self) -> None:
        forbidden: list[Callable[[], Task]] = [
            lambda: transitions.claim(self.now, worker="w1", incarnation="inc", wall=WALL),
            lambda: transitions.end_attempt(self.now, Ending(cause="error"), wall=WALL),
            lambda: transitions.lose(self.now, wall=WALL, evidence="silent"),
            lambda: transitions.cancel(self.now, wall=WALL, reason="no"),
            lambda: transitions.retry(self.now, wall=WALL),
        ]
        for transition in forbidden:
            with pytest.raises(ValueError, match="is done and cannot be"):
                transition()

    @invariant()
    def the_epoch_counts_the_claims(self) -> None:
        assert self.now.epoch == self.claims

    @invariant()
    def the_end_of_a_run_stays_what_it_was(self) -> None:
        for run, end in self.ends.items():
            assert self.now.run > run or self.now == end

    @invariant()
    def a_run_opens_only_after_the_end_of_the_one_before(self) -> None:
        assert self.ends.keys() >= set(range(1, self.now.run))

    @invariant()
    def each_ended_run_has_one_event_that_ends_it(self) -> None:
        found = [line.event for line in self.events if line.event in END_EVENT.values()]
        assert found == [END_EVENT[self.ends[run].state] for run in sorted(self.ends)]

    @invariant()
    def a_done_task_was_finished_once(self) -> None:
        finished = [line for line in self.events if line.event == "finished"]
        assert len(finished) == (self.now.state == "done")

    @invariant()
    def who_runs_has_an_owner_and_who_waits_has_none(self) -> None:
        if self.now.state == "running":
            assert self.now.owner
            assert self.now.incarnation
        if self.now.state == "pending":
            assert (self.now.owner, self.now.incarnation, self.now.started_at) == (None, None, None)

    @invariant()
    def only_what_runs_can_be_asked_to_end(self) -> None:
        assert self.now.cancel_requested is None or self.now.state == "running"

    @invariant()
    def what_was_asked_to_end_is_not_tried_again(self) -> None:
        asked = self.before.cancel_requested is not None
        assert not (asked and self.before.state == "running" and self.now.state == "pending")

    @invariant()
    def retries_and_losses_stay_within_their_limits(self) -> None:
        assert 0 <= self.now.retries_left <= self.now.retries
        assert self.now.losses <= ALONE_AFTER + DEAD_AFTER_ALONE

    @invariant()
    def an_end_says_why_unless_it_is_done(self) -> None:
        if self.now.state in ENDED:
            assert (self.now.reason is None) == (self.now.state == "done")
            assert (self.now.error is None) == (self.now.state == "done")
            assert self.now.finished_at is not None

    @invariant()
    def the_history_tells_everything(self) -> None:
        assert list(self.now.history) == self.events


TestTaskMachine = TaskMachine.TestCase
TestTaskMachine.settings = settings(max_examples=25, stateful_step_count=30)
