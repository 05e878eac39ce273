"""How far a running task is stands in its comment, and costs neither pushes nor comments of its own."""

from __future__ import annotations

import dataclasses

from sentinel.github.governor import Governor, allowance
from sentinel.model.layout import session_register
from sentinel.model.lease import LeaseTimes
from sentinel.model.progress import Report
from sentinel.model.redaction import MASK
from sentinel.model.worker import Session
from sentinel.store.base import ABSENT, Committed, Expected
from sentinel.testing.clock import ManualClock
from tests.github.stage import DONE, GOOD, Stage

OWN = "correct-horse-battery"


class Running:
    """An issue whose task runs, and its worker's beats."""

    def __init__(self, stage: Stage | None = None) -> None:
        self.stage = stage or Stage(secrets=(OWN,))
        self.number = self.stage.hub.open(GOOD)
        self.stage.look()
        self.task = self.stage.run(self.number, None)
        self._seq = 0
        self._version: Expected = ABSENT

    def beat(self, done: float | str, *, epoch: int | None = None) -> None:
        """The worker beats, and tells how far the task is."""
        incarnation = self.stage.incarnations["w1"]
        self._seq += 1
        report = Report(
            task=self.task.id,
            epoch=self.task.epoch if epoch is None else epoch,
            done=done,
            at="2026-11-26T01:02:03Z",
        )
        session = Session(
            incarnation=incarnation,
            worker="w1",
            seq=self._seq,
            interval=2.0,
            ttl=10.0,
            sent_at="2026-11-26T01:02:04Z",
            progress=(report,),
        )
        store = self.stage.transactor.store
        outcome = store.publish(session_register(incarnation), session.document(), self._version)
        assert isinstance(outcome, Committed)
        self._version = outcome.revision

    @property
    def said(self) -> str:
        """The comment."""
        (comment,) = self.stage.hub.answers(self.number)
        return comment

    @property
    def edits(self) -> int:
        """How often a comment was changed."""
        return sum("PATCH" in sent and "/comments/" in sent for sent in self.stage.hub.sent)


def test_the_comment_shows_what_a_running_task_said_last() -> None:
    running = Running()
    running.beat("counting docs")
    running.stage.look()
    assert "Progress: counting docs (at 2026-11-26 01:02:03)" in running.said


def test_a_fraction_is_shown_in_percent() -> None:
    running = Running()
    running.beat(0.4)
    running.stage.look()
    assert "Progress: 40 %" in running.said


def test_what_was_said_between_two_looks_is_one_edit() -> None:
    running = Running()
    running.stage.look()
    before = running.edits
    for done in (0.1, 0.2, 0.3):
        running.beat(done)
    running.stage.look()
    assert running.edits - before == 1
    assert "30 %" in running.said


def test_progress_that_stands_still_is_no_edit() -> None:
    running = Running()
    running.beat(0.4)
    running.stage.look()
    before = running.edits
    running.beat(0.4)
    running.stage.look()
    assert running.edits == before


def test_progress_makes_no_comment_and_no_commit() -> None:
    running = Running()
    running.stage.look()
    commits, sent = len(running.stage.fleet.history), len(running.stage.hub.sent)
    running.beat(0.4)
    running.stage.look()
    assert len(running.stage.fleet.history) == commits
    assert [line.split()[0] for line in running.stage.hub.sent[sent:]] == ["PATCH"]


def test_what_an_attempt_before_said_is_not_shown() -> None:
    running = Running()
    running.beat(0.9, epoch=running.task.epoch - 1)
    running.stage.look()
    assert "Progress" not in running.said


def test_an_ended_task_shows_no_progress() -> None:
    running = Running()
    running.beat(0.4)
    running.stage.look()
    running.stage.end(running.task.id, DONE)
    running.stage.look()
    assert "Progress" not in running.said


def test_progress_mentions_nobody_and_tells_no_secret() -> None:
    running = Running()
    running.beat(f"@acme {OWN}")
    running.stage.look()
    assert "@acme" not in running.said
    assert OWN not in running.said
    assert MASK.strip("[]") in running.said


def test_another_peer_goes_on_with_the_comment_as_it_stands() -> None:
    running = Running()
    running.beat(0.4)
    running.stage.look()
    duty = running.stage.peer("w2")
    running.stage.bury("w1")
    running.stage.free_orphans()
    running.stage.clock.advance(duty.tick())
    running.stage.look("w2")
    assert "Progress" not in running.said
    assert "waits for a worker" in running.said


def test_progress_uses_a_small_part_of_the_hour() -> None:
    clock = ManualClock()
    governor = Governor("github", LeaseTimes(30.0, 120.0), allowance({}), clock=clock)
    running = Running(Stage(clock=clock, budget=governor))
    others = [Running(running.stage) for _ in range(11)]
    running.stage.look()
    before, began, done = running.edits, clock.now(), 0
    reports = [
        Report(task=other.task.id, epoch=other.task.epoch, done="", at="2026-11-26T01:02:03Z")
        for other in [running, *others]
    ]
    store, incarnation = running.stage.transactor.store, running.stage.incarnations["w1"]
    version: Expected = ABSENT
    while clock.now() < began + 3600.0:
        done += 1
        session = Session(
            incarnation=incarnation,
            worker="w1",
            seq=done,
            interval=2.0,
            ttl=10.0,
            sent_at="2026-11-26T01:02:04Z",
            progress=tuple(dataclasses.replace(report, done=f"step {done}") for report in reports),
        )
        outcome = store.publish(session_register(incarnation), session.document(), version)
        assert isinstance(outcome, Committed)
        version = outcome.revision
        clock.advance(min(running.stage.duties["w1"].tick(), 30.0))
    # A tenth of what is planned with, and what was saved up.
    assert 200 <= running.edits - before <= 400 + 60
