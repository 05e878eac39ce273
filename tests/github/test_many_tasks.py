"""More tasks than GitHub lets anybody comment on: fewer words, none refused, and at rest all are said."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence

import pytest

from sentinel.fleet import tasks
from sentinel.fleet.view import Reader
from sentinel.github.governor import Governor, allowance
from sentinel.model.lease import LeaseTimes
from sentinel.model.task import Fence
from sentinel.store.base import Transaction
from sentinel.testing.clock import ManualClock
from tests.github.memory_hub import MemoryHub
from tests.github.stage import DONE, GOOD, Stage
from tests.github.strict_hub import StrictHub

HOUR = 3600.0


class Crowd:
    """A fleet that people hand tasks to, evenly."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        inner = MemoryHub()
        self.hub = StrictHub(inner, self.clock)
        governor = Governor(
            "github",
            LeaseTimes(30.0, 120.0),
            allowance({}),
            usage=lambda: self.hub.usage,
            clock=self.clock,
        )
        self.stage = Stage(clock=self.clock, hub=self.hub, budget=governor)
        self.stage.hub = inner
        self.opened = 0
        self._reader = Reader()
        self._running: list[tuple[float, Fence]] = []

    def work(self, tasks_an_hour: float, seconds: float) -> None:
        """So many tasks come for so long, and each is done half a minute after it was claimed."""
        began, before = self.clock.now(), self.opened
        while self.clock.now() < began + seconds:
            due = before + int((self.clock.now() - began) * tasks_an_hour / HOUR)
            for _ in range(due - self.opened):
                self.stage.hub.open(GOOD)
                self.opened += 1
            self._tick()
            self._workers(math.inf)
        self._workers(-math.inf)

    def _workers(self, at_most: float) -> None:
        """What workers do: end what has run for long enough, and take whatever waits."""
        transactor, me = self.stage.transactor, self.stage.incarnations["w1"]
        view = self._reader.view(transactor.store.read())
        now, wall = self.clock.now(), self.clock.wall()
        batch: list[Transaction] = []
        for due, fence in list(self._running):
            if min(due, at_most) <= now:
                self._running.remove((due, fence))
                ended = tasks.end(transactor.change(view.snapshot), view, fence, DONE, wall=wall)
                assert ended is not None
                batch.append(ended)
        for task in view.tasks.values():
            if task.state == "pending":
                change = transactor.change(view.snapshot)
                claim, claimed = tasks.claim(change, task, worker="w1", incarnation=me, wall=wall)
                self._running.append((now + 30.0, claimed.fence()))
                batch.append(claim)
        transactor.store.commit(batch)

    def rest(self, most: float) -> float:
        """Nothing comes any more; seconds until all is said."""
        began = self.clock.now()
        while not self.all_said:
            assert self.clock.now() - began < most
            self._tick()
            self._workers(math.inf)
        return self.clock.now() - began

    def _tick(self) -> None:
        self.clock.advance(min(self.stage.duties["w1"].tick(), 20.0))

    @property
    def all_said(self) -> bool:
        """Whether every issue is closed and labelled, and nothing waits for it."""
        return all(
            issue["state"] == "closed" and self.stage.hub.labels(number) >= {"sentinel:done"}
            for number, issue in self.stage.hub.issues.items()
        )


def most_in(moments: Sequence[float], seconds: float) -> int:
    """Most of these in any so many seconds."""
    return max(bisect.bisect_left(moments, at + seconds) - place for place, at in enumerate(moments))


@pytest.fixture(scope="module")
def crowd() -> Crowd:
    """A thousand tasks an hour, until more came than an hour has comments, and then none."""
    crowd = Crowd()
    crowd.work(1000.0, 0.65 * HOUR)
    assert crowd.opened > 600
    crowd.rest(2 * HOUR)
    return crowd


def test_a_thousand_tasks_an_hour_are_refused_nothing(crowd: Crowd) -> None:
    assert (crowd.hub.refused, crowd.hub.held_back) == (0, 0)


def test_at_rest_each_of_a_thousand_issues_has_one_comment_that_tells_the_end(crowd: Crowd) -> None:
    for number in crowd.stage.hub.issues:
        (said,) = crowd.stage.hub.answers(number)
        assert "is done" in said


def test_a_thousand_tasks_an_hour_stay_within_what_is_planned(crowd: Crowd) -> None:
    assert most_in(crowd.hub.created, HOUR) <= 470
    assert most_in(crowd.hub.created, 60.0) <= 80
    assert most_in(crowd.hub.charged, HOUR) <= 4500
