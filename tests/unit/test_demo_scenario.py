"""The demo's story over a fleet that is made up here: whom it kills, what it waits for, when it gives up."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from sentinel.client import Client
from sentinel.demo.corpus import measure_package
from sentinel.demo.display import Frame
from sentinel.demo.fleet import Fleet
from sentinel.demo.report import Report
from sentinel.demo.scenario import GivenUp, Interrupted, Scenario, plan_work
from sentinel.errors import SentinelError
from sentinel.fleet.board import WorkerRow
from sentinel.fleet.submission import Submission
from sentinel.model import task as transitions
from sentinel.model.task import Ending, Task
from sentinel.testing.clock import ManualClock

PACKAGES = 24


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A standard library of its own: ``p00`` is the smallest package."""
    for number in range(PACKAGES):
        (tmp_path / f"p{number:02}.py").write_text("def f(x):\n    return x and 1\n" * (number + 1))
    return tmp_path


class MadeUpPeer:
    """A peer that is nothing but a name; what it does is played by `MadeUpFleet`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.pid = 4711
        self.alive = True
        self.killed = False
        self.held = False
        self.can_be_held = True
        #: Called when it is about to stand still.
        self.before_hold: Callable[[], None] = lambda: None

    def hold(self, _: ManualClock) -> bool:
        self.before_hold()
        self.held = self.can_be_held
        return self.held

    def go_on(self) -> None:
        self.held = False

    def kill(self) -> None:
        self.alive, self.killed = False, True


class MadeUpFleet:
    """Peers, their store and a client in one: at each wait, everybody who is alive does one step."""

    def __init__(self, library: Path, clock: ManualClock) -> None:
        self.store = self
        self.place = "made up"
        self.peers = {name: MadeUpPeer(name) for name in ("demo-1", "demo-2", "demo-3")}
        self.records: dict[str, Task] = {}
        self.slots = 2
        #: Seconds that one step takes.
        self.step = 0.25
        #: Whether claims and finishes go on at all.
        self.works = True
        #: Whether anybody takes over what a dead peer ran.
        self.recovers = True
        self.result: Callable[[str], Any] = lambda name: measure_package(name, library)
        self.check: Callable[[], None] = lambda: None
        self._clock = clock

    # What a client offers.

    def tasks(self) -> list[Task]:
        return list(self.records.values())

    def workers(self) -> list[WorkerRow]:
        return [WorkerRow(id=name, status="online", max_tasks=self.slots) for name in self.peers]

    def submit_many(self, wanted: Sequence[Submission]) -> None:
        for item in wanted:
            assert item.id is not None
            task = Task(id=item.id, type=item.type, args=item.args, created_at="2026-11-22T08:00:00Z")
            self.records[item.id] = transitions.submit(task, wall=0.0)

    def result_of(self, task: Task) -> Any:
        return task.result

    def wait(self, _: float) -> None:
        self._clock.advance(self.step)
        if not self.works:
            return
        for name, peer in self.peers.items():
            for task in self.running(name):
                if peer.alive and not peer.held:
                    self.finish(task)
                elif not peer.alive and self.recovers:
                    self.records[task.id] = transitions.lose(task, wall=0.0, evidence="proof of death")
            while peer.alive and len(self.running(name)) < self.slots and self.waiting():
                task = self.waiting()[0]
                self.records[task.id] = transitions.claim(task, worker=name, incarnation=name, wall=0.0)

    # What its peers do.

    def running(self, name: str) -> list[Task]:
        return [task for task in self.records.values() if task.owner == name and task.state == "running"]

    def waiting(self) -> list[Task]:
        return [task for task in self.records.values() if task.state == "pending"]

    def finish(self, task: Task) -> None:
        ending = Ending(cause=None, result=self.result(task.args["package"]))
        self.records[task.id] = transitions.end_attempt(task, ending, wall=0.0)

    @property
    def killed(self) -> list[str]:
        return [name for name, peer in self.peers.items() if peer.killed]


class Told:
    """A display that remembers."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.said: list[str] = []

    def show(self, frame: Frame) -> None:
        self.frames.append(frame)

    def say(self, text: str) -> None:
        self.said.append(text)


@dataclasses.dataclass
class Stage:
    """A scenario with everything that it touches."""

    fleet: MadeUpFleet
    told: Told
    scenario: Scenario
    signals: list[str]

    def run(self) -> Report:
        return self.scenario.run()


@pytest.fixture
def stage(library: Path) -> Stage:
    clock, told = ManualClock(), Told()
    fleet = MadeUpFleet(library, clock)
    signals: list[str] = []
    scenario = Scenario(
        plan_work(library, with_tests=False, timeout=900.0),
        fleet=cast("Fleet", fleet),
        client=cast("Client", fleet),
        display=told,
        clock=clock,
        interrupted=lambda: signals[0] if signals else None,
    )
    return Stage(fleet, told, scenario, signals)


def test_a_fleet_that_survives_the_kill_is_as_it_should_be(stage: Stage) -> None:
    report = stage.run()
    assert report.problems == ()
    assert (report.done, report.losses, report.reclaimed) == (PACKAGES, 2, 2)


def test_exactly_one_peer_is_killed_and_it_ran_two_tasks(stage: Stage) -> None:
    report = stage.run()
    assert len(stage.fleet.killed) == 1
    assert report.takeover is not None
    assert [report.takeover.killed] == stage.fleet.killed
    assert len(report.takeover.tasks) == 2


def test_nobody_is_killed_before_the_fleet_was_seen_at_work(stage: Stage) -> None:
    stage.run()
    before = next(frame for frame in stage.told.frames[::-1] if not _any_killed(frame) and frame.peers)
    assert before.states["done"] >= PACKAGES // 10


def test_the_takeover_is_timed_from_the_kill_to_the_next_claim_of_a_lost_task(stage: Stage) -> None:
    takeover = stage.run().takeover
    assert takeover is not None
    assert takeover.seconds == pytest.approx(stage.fleet.step + 0.02)
    assert takeover.task in takeover.tasks
    assert takeover.by not in (None, takeover.killed)


def test_a_takeover_that_is_over_by_the_next_look_is_seen_in_the_history(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet, wait = stage.fleet, stage.fleet.wait

    def many_steps_at_once(seconds: float) -> None:
        for _ in range(3 if fleet.killed else 1):
            wait(seconds)

    monkeypatch.setattr(fleet, "wait", many_steps_at_once)
    assert stage.run().ok


def test_a_peer_that_finished_while_it_was_chosen_is_let_go_on(stage: Stage) -> None:
    spared: list[str] = []

    def finish_first(peer: MadeUpPeer) -> Callable[[], None]:
        def finish() -> None:
            if not spared:
                spared.append(peer.name)
                stage.fleet.finish(stage.fleet.running(peer.name)[0])

        return finish

    for peer in stage.fleet.peers.values():
        peer.before_hold = finish_first(peer)
    report = stage.run()
    assert report.ok
    assert not any(peer.held for peer in stage.fleet.peers.values() if peer.alive)
    assert len(report.takeover.tasks if report.takeover else ()) == 2


def test_a_peer_that_does_not_stand_still_is_not_killed(stage: Stage) -> None:
    for peer in stage.fleet.peers.values():
        peer.can_be_held = False
    assert stage.run().problems == (
        "no peer was killed, as none was seen running two tasks at once",
        "no task was finished at epoch 2 or later, so no takeover is proven",
    )


def test_peers_that_run_one_task_at_a_time_are_not_killed(stage: Stage) -> None:
    stage.fleet.slots = 1
    assert not stage.run().ok
    assert stage.fleet.killed == []


def test_a_wrong_result_is_found(stage: Stage) -> None:
    right = stage.fleet.result
    stage.fleet.result = lambda name: {**right(name), "lines": 1} if name == "p07" else right(name)
    assert stage.run().problems == ("the fleet's result differs from a single process's for p07",)


def test_a_fleet_in_which_nothing_changes_any_more_is_given_up(stage: Stage) -> None:
    stage.fleet.works = False
    with pytest.raises(GivenUp, match=r"nothing changed for 180 s: 24 tasks pending"):
        stage.run()


def test_a_fleet_in_which_nobody_takes_over_is_given_up(stage: Stage) -> None:
    stage.fleet.recovers = False
    with pytest.raises(GivenUp, match=r"nothing changed for 180 s: 2 tasks running"):
        stage.run()


def test_a_fleet_that_is_too_slow_is_given_up_at_the_time_limit(stage: Stage) -> None:
    stage.fleet.step = 170.0
    with pytest.raises(GivenUp, match=r"gave up after 900 s \(--timeout\)"):
        stage.run()


def test_peers_that_do_not_join_are_not_waited_for_for_ever(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage.fleet, "workers", list)
    with pytest.raises(GivenUp, match="0 of 3 peers have joined"):
        stage.run()


def test_a_signal_ends_the_story_at_the_next_look(stage: Stage) -> None:
    stage.fleet.check = lambda: stage.signals.append("SIGTERM")
    with pytest.raises(Interrupted, match="ended by SIGTERM"):
        stage.run()


def test_a_signal_ends_the_comparison_too(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(name: str, library: Path) -> dict[str, Any]:
        stage.signals.append("SIGINT")
        return {}

    monkeypatch.setattr("sentinel.demo.scenario.measure_package", measured)
    with pytest.raises(Interrupted, match="one process measured 1 of 24 packages"):
        stage.run()


def test_a_peer_that_ends_by_itself_ends_the_story(stage: Stage) -> None:
    def check() -> None:
        raise SentinelError("peer demo-2 ended by itself with status 78")

    stage.fleet.check = check
    with pytest.raises(SentinelError, match="status 78"):
        stage.run()


def test_a_killed_peer_is_shown_as_killed_whatever_the_store_says(stage: Stage) -> None:
    stage.run()
    last = next(frame for frame in stage.told.frames[::-1] if frame.peers)
    assert [peer.id for peer in last.peers if peer.status == "killed"] == stage.fleet.killed


def test_afterwards_the_fleet_is_shown_until_somebody_wants_the_end(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.run()
    wait, later = stage.fleet.wait, Told()

    def wait_once(seconds: float) -> None:
        wait(seconds)
        stage.signals.append("SIGINT")

    monkeypatch.setattr(stage.fleet, "wait", wait_once)
    stage.scenario.stay(later)
    assert [frame.activity for frame in later.frames] == ["press Ctrl-C to end the fleet"]


def test_the_largest_packages_are_handed_in_first(library: Path) -> None:
    names = [package.name for package in plan_work(library, with_tests=False, timeout=900.0).packages]
    assert names == sorted(names, reverse=True)


def test_the_regression_tests_are_left_out_unless_they_are_wanted(library: Path) -> None:
    (library / "test").mkdir()
    (library / "test" / "test_x.py").write_text("")
    without = plan_work(library, with_tests=False, timeout=900.0)
    assert "test" not in without.ids
    assert without.left_out == {"test": 1}
    complete = plan_work(library, with_tests=True, timeout=900.0)
    assert "test" in complete.ids
    assert complete.left_out == {}


def _any_killed(frame: Frame) -> bool:
    return any(peer.status == "killed" for peer in frame.peers)
