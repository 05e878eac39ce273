"""One scaler at a time, its decision recorded before it is done, and what is done by providers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sentinel.client import ClientOptions
from sentinel.client.providers import Commands, LocalProcesses, ProviderFailed
from sentinel.client.scaler import LOCK, Scaler
from sentinel.errors import LockHeld, LockLost
from sentinel.fleet.scaling import Rules
from sentinel.fleet.view import load
from sentinel.model import layout
from sentinel.model.scaling import Scaling
from tests.unit.stage import Stage

RULES = Rules(min_workers=2, max_workers=6, looks=1, cooldown=0.0)


class Cloud:
    """A provider that remembers what it was asked for."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.stopped: list[str] = []
        self.failing = False

    def start(self, worker: str) -> None:
        if self.failing:
            raise ProviderFailed(f"{worker}: no machine is left")
        self.started.append(worker)

    def stop(self, worker: str) -> None:
        self.stopped.append(worker)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def scaler(stage: Stage, cloud: Cloud, rules: Rules = RULES, actor: str = "one") -> Scaler:
    made = Scaler(stage.store(), clock=stage.clock, rng=stage.rng, actor=actor, options=ClientOptions())
    made.rules, made.provider = rules, cloud
    return made


def memory(stage: Stage) -> Scaling:
    found = load(stage.transactor.store.read(), layout.SCALING, Scaling.load)
    return found if isinstance(found, Scaling) else Scaling()


def notes(stage: Stage) -> list[str]:
    return [note for entry in stage.transactor.store.audit(100) for note in entry.notes]


def test_what_is_decided_is_recorded_and_done(stage: Stage) -> None:
    cloud = Cloud()
    one = scaler(stage, cloud)
    one.elect(0.0)
    assert one.look().start == ("worker-001", "worker-002")
    assert cloud.started == ["worker-001", "worker-002"]
    assert memory(stage).starting.keys() == {"worker-001", "worker-002"}
    assert notes(stage)[0] == "scale up from 0 to 2: start worker-001, worker-002, by one"


def test_a_plan_writes_and_does_nothing(stage: Stage) -> None:
    cloud = Cloud()
    before = len(stage.fleet.history)
    assert scaler(stage, cloud).plan().start == ("worker-001", "worker-002")
    assert (len(stage.fleet.history), cloud.started) == (before, [])


def test_only_one_is_the_scaler(stage: Stage) -> None:
    one, two = scaler(stage, Cloud()), scaler(stage, Cloud(), actor="two")
    one.elect(0.0)
    with pytest.raises(LockHeld):
        two.elect(0.0)
    one.resign()
    two.elect(0.0)


def test_a_scaler_that_lost_its_lock_records_and_does_nothing(stage: Stage) -> None:
    cloud = Cloud()
    one = scaler(stage, cloud)
    one.elect(0.0)
    stage.client().release_lock(LOCK, force=True)
    scaler(stage, Cloud(), actor="two").elect(0.0)
    with pytest.raises(LockLost):
        one.look()
    assert (cloud.started, memory(stage)) == ([], Scaling())


def test_a_scaler_that_dies_is_followed_after_the_life_of_its_lock(stage: Stage) -> None:
    scaler(stage, Cloud()).elect(0.0)
    two = scaler(stage, Cloud(), actor="two")
    began = stage.clock.now()
    two.elect(1000.0)
    assert 120.0 <= stage.clock.now() - began <= 122.0


def test_a_scaler_that_goes_on_keeps_its_lock(stage: Stage) -> None:
    one = scaler(stage, Cloud())
    one.elect(0.0)
    two = scaler(stage, Cloud(), actor="two")
    for _ in range(10):
        one.look()
        with pytest.raises(LockHeld):
            two.elect(0.0)
        stage.clock.advance(30.0)
    assert "renew lock autoscaler epoch 1 by one" in notes(stage)


def test_who_waits_to_be_the_scaler_counts_no_conflicts(stage: Stage) -> None:
    scaler(stage, Cloud()).elect(0.0)
    with pytest.raises(LockHeld):
        scaler(stage, Cloud(), actor="two").elect(5.0)
    assert stage.client().lock_metrics()[0].conflicts == 0


def test_a_deed_that_comes_too_late_is_given_up(stage: Stage) -> None:
    class Slow(Cloud):
        def start(self, worker: str) -> None:
            stage.clock.advance(100.0)
            super().start(worker)

    cloud = Slow()
    one = scaler(stage, cloud)
    one.elect(0.0)
    with pytest.raises(LockLost, match="not renewed"):
        one.look()
    assert cloud.started == ["worker-001"]


def test_one_that_could_not_be_started_is_asked_for_again(stage: Stage) -> None:
    cloud = Cloud()
    cloud.failing = True
    one = scaler(stage, cloud)
    one.elect(0.0)
    one.look()
    cloud.failing = False
    one.look()
    assert cloud.started == ["worker-001", "worker-002"]


def test_who_is_to_go_drains_leaves_and_is_forgotten(stage: Stage) -> None:
    for number in range(1, 5):
        stage.join(f"worker-{number:03d}", max_tasks=2)
    stage.client().submit("shell", positional=["true"], id="t")
    stage.claim("t", "worker-001")
    cloud = Cloud()
    one = scaler(stage, cloud)
    one.elect(0.0)
    assert one.look().drain == ("worker-002", "worker-003")
    view = stage.view()
    assert [name for name, worker in view.workers.items() if worker.drain == worker.incarnation] == [
        "worker-002",
        "worker-003",
    ]
    assert one.look().action == "hold"
    for name in ("worker-002", "worker-003"):
        stage.leave(name)
    one.look()
    assert (sorted(stage.view().workers), cloud.stopped) == (
        ["worker-001", "worker-004"],
        ["worker-002", "worker-003"],
    )


def test_a_scaling_record_that_cannot_be_read_is_begun_anew(stage: Stage) -> None:
    stage.plant(layout.SCALING, b"{")
    one = scaler(stage, Cloud())
    one.elect(0.0)
    assert one.look().action == "up"


def test_commands_name_the_worker_and_no_shell_is_involved(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(' '.join(sys.argv[2:]))"
    commands = Commands([sys.executable, "-c", write, str(out), "up-{id}", "$(id); {id}"], environ={})
    commands.start("worker-007")
    assert out.read_text() == "up-worker-007 $(id); worker-007"
    commands.stop("worker-007")
    assert out.read_text() == "up-worker-007 $(id); worker-007"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([sys.executable, "-c", "import sys; sys.exit('no quota left')"], "ended with 1: no quota left"),
        (["/nowhere/program", "{id}"], "No such file"),
        ([sys.executable, "-c", "import time; time.sleep(60)"], "timed out"),
    ],
    ids=["fails", "missing", "hangs"],
)
def test_a_command_that_does_not_work_says_why(argv: list[str], said: str) -> None:
    with pytest.raises(ProviderFailed, match=said):
        Commands(argv, environ={}, patience=2.0).start("w")


def test_local_processes_get_a_log_and_outlive_who_started_them(tmp_path: Path) -> None:
    program = "import os, sys; print(os.getsid(0) == os.getpid(), sys.argv[1], flush=True)"
    local = LocalProcesses(
        lambda worker: [sys.executable, "-c", program, worker], environ={}, folder=tmp_path / "logs"
    )
    local.start("w1")
    local._started[0].wait(30)
    assert (tmp_path / "logs" / "w1.log").read_text() == "True w1\n"


def test_a_local_process_that_cannot_be_started_says_why(tmp_path: Path) -> None:
    local = LocalProcesses(lambda _: ["/nowhere/program"], environ={}, folder=tmp_path)
    with pytest.raises(ProviderFailed, match="w1 could not be started"):
        local.start("w1")
