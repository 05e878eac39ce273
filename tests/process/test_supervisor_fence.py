"""What ends tasks when the daemon cannot: the deadline, the daemon's death, the supervisor's own death."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sentinel.peer.overseer import Empty, Ended, Fenced, Gone, Refused, Started

if TYPE_CHECKING:
    from tests.process.conftest import Trial

#: A daemon reduced to what matters here: it starts what it is told, extends once, and then hangs.
DAEMON = """
import fcntl, json, os, sys
from sentinel.clock import SystemClock
from sentinel.peer.overseer import SupervisorProcess
from sentinel.peer.run.spec import RunSpec
clock = SystemClock()
proof = open(sys.argv[1], "w+")
fcntl.flock(proof, fcntl.LOCK_EX)
overseer = SupervisorProcess(clock.event(), proof.fileno())
overseer.extend(clock.now() + float(sys.argv[2]))
for raw in json.load(sys.stdin):
    overseer.start(RunSpec.from_json(raw))
print(overseer.pid, flush=True)
clock.sleep(3600)
"""


class Daemon:
    """A stand-in daemon process with one task that escaped into a double fork."""

    def __init__(self, trial: Trial, lease: float) -> None:
        self.proof = trial.folder / "proof"
        self.process = subprocess.Popen(
            [sys.executable, "-c", DAEMON, str(self.proof), str(lease)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        specs = [trial.escaping("runaway").to_json()]
        self.process.stdin.write(json.dumps(specs).encode())
        self.process.stdin.close()
        self.supervisor = int(self.process.stdout.readline())
        self.escaped = trial.escaped("runaway")

    def proven_dead(self) -> bool:
        """Whether the lock can be had and the mark be read, as another peer would look for them."""
        with self.proof.open("r") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return file.read() == "empty"

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def daemon(trial: Trial) -> Iterator[Daemon]:
    daemon = Daemon(trial, lease=3600)
    yield daemon
    daemon.end()


@pytest.fixture
def short_lived(trial: Trial) -> Iterator[Daemon]:
    daemon = Daemon(trial, lease=3)
    yield daemon
    daemon.end()


# --- starting


def test_nothing_starts_before_the_first_extend(trial: Trial) -> None:
    trial.overseer(lease=None).start(trial.spec("early", "true"))
    assert "no heartbeat" in trial.until(Refused, "early").why


def test_a_start_before_the_deadline_is_honoured(trial: Trial) -> None:
    trial.overseer().start(trial.spec("fine", "true"))
    assert trial.ended("fine").exit_code == 0


def test_a_start_after_the_deadline_is_refused(trial: Trial) -> None:
    overseer = trial.overseer(lease=-1)
    overseer.start(trial.spec("late", "true"))
    assert "fenced" in trial.until(Refused, "late").why


def test_no_later_extend_lifts_a_fence(trial: Trial) -> None:
    overseer = trial.overseer(lease=-1)
    overseer.extend(trial.clock.now() + 3600)
    overseer.start(trial.spec("late", "true"))
    trial.until(Refused, "late")
    trial.until(Empty)


def test_a_run_name_that_is_taken_is_refused(trial: Trial) -> None:
    overseer = trial.overseer()
    overseer.start(trial.spec("one", "sleep", "3600"))
    overseer.start(trial.spec("one", "sleep", "3600"))
    assert "of this name" in trial.until(Refused, "one").why


# --- the deadline


def test_the_deadline_ends_everything_that_runs(trial: Trial) -> None:
    overseer = trial.overseer()
    overseer.start(trial.escaping("runaway"))
    trial.escaped("runaway")
    overseer.extend(trial.clock.now() + 0.2)
    trial.until(Empty)
    assert trial.alive() == []


def test_the_deadline_is_reported_before_the_ends_and_the_emptiness(trial: Trial) -> None:
    overseer = trial.overseer()
    overseer.start(trial.escaping("runaway"))
    trial.escaped("runaway")
    overseer.extend(trial.clock.now())
    trial.until(Empty)
    assert [type(event) for event in trial.seen] == [Started, Fenced, Ended, Empty]


def test_a_run_ended_by_the_fence_says_so(trial: Trial) -> None:
    overseer = trial.overseer()
    overseer.start(trial.escaping("runaway"))
    trial.escaped("runaway")
    overseer.extend(trial.clock.now())
    assert trial.ended("runaway").cause == "fenced"


def test_an_extended_deadline_lets_tasks_live_on(trial: Trial) -> None:
    overseer = trial.overseer()
    overseer.start(trial.spec("slow", "sleep", "2.5"))
    trial.until(Started)
    overseer.extend(trial.clock.now() + 2)
    overseer.extend(trial.clock.now() + 3600)
    assert trial.ended("slow").cause == "exit"


def test_an_extend_may_also_bring_the_deadline_forward(trial: Trial) -> None:
    overseer = trial.overseer(lease=3600)
    overseer.extend(trial.clock.now() + 0.1)
    trial.until(Empty)


def test_a_supervisor_that_slept_past_its_deadline_does_not_read_a_later_one(trial: Trial) -> None:
    overseer = trial.overseer()
    overseer.start(trial.escaping("runaway"))
    trial.escaped("runaway")
    overseer.extend(trial.clock.now() + 1)
    os.kill(overseer.pid, signal.SIGSTOP)
    overseer.extend(trial.clock.now() + 3600)
    trial.clock.sleep(1.1)
    os.kill(overseer.pid, signal.SIGCONT)
    trial.until(Fenced)
    trial.until(Empty)
    assert trial.alive() == []


def test_the_end_of_all_work_on_request_counts_as_drained(trial: Trial) -> None:
    overseer = trial.overseer()
    overseer.start(trial.escaping("runaway"))
    trial.escaped("runaway")
    overseer.end()
    trial.until(Empty)
    assert trial.ended("runaway").cause == "drained"
    assert trial.alive() == []


def test_a_run_asked_for_right_before_the_end_of_all_work_does_not_outlive_it(trial: Trial) -> None:
    overseer = trial.overseer()
    for number in range(5):
        overseer.start(trial.escaping(f"run{number}"))
    overseer.end()
    trial.until(Empty)
    assert trial.alive() == []
    assert sum(isinstance(event, Ended) for event in trial.seen) == 5


def test_a_fork_bomb_does_not_outlive_the_fence(trial: Trial) -> None:
    overseer = trial.overseer()
    bomb = "import os, time\nfor _ in range(6): os.fork()\nopen(f'up.{os.getpid()}', 'w')\ntime.sleep(3600)"
    overseer.start(trial.python("bomb", bomb))
    trial.wait_for(lambda: len(list(trial.folder.glob("up.*"))) == 64, "64 processes")
    overseer.extend(trial.clock.now())
    trial.until(Empty)
    assert trial.alive() == []


def test_a_reaper_that_does_not_react_delays_the_fence_but_not_for_good(trial: Trial) -> None:
    overseer = trial.overseer()
    overseer.start(trial.escaping("runaway"))
    trial.escaped("runaway")
    (reaper,) = trial.children(overseer.pid)
    os.kill(reaper, signal.SIGSTOP)
    overseer.extend(trial.clock.now())
    trial.until(Fenced)
    overseer.stop("runaway", "cancelled", 0)
    trial.until(Empty)
    assert trial.ended("runaway").cause == "fenced"
    assert trial.alive() == []


# --- the daemon's death


def test_a_daemon_killed_by_kill_9_takes_its_double_forked_tasks_along(trial: Trial, daemon: Daemon) -> None:
    daemon.process.kill()
    daemon.process.wait()
    trial.all_dead()


def test_a_daemon_stopped_past_its_deadline_loses_its_double_forked_tasks(
    trial: Trial, short_lived: Daemon
) -> None:
    short_lived.process.send_signal(signal.SIGSTOP)
    trial.all_dead()


def test_a_live_daemon_is_not_proven_dead(daemon: Daemon) -> None:
    assert not daemon.proven_dead()


def test_a_stopped_daemon_is_not_proven_dead_even_when_its_tasks_are(
    trial: Trial, short_lived: Daemon
) -> None:
    short_lived.process.send_signal(signal.SIGSTOP)
    trial.wait_for(lambda: short_lived.proof.read_text() == "empty", "the mark")
    assert not short_lived.proven_dead()


def test_a_killed_daemon_is_proven_dead_only_when_its_tasks_are(trial: Trial, daemon: Daemon) -> None:
    daemon.process.kill()
    trial.wait_for(daemon.proven_dead, "the proof")
    assert trial.alive() == []


def test_a_killed_daemon_is_not_proven_dead_while_its_supervisor_is_stopped(
    trial: Trial, daemon: Daemon
) -> None:
    os.kill(daemon.supervisor, signal.SIGSTOP)
    daemon.process.kill()
    daemon.process.wait()
    assert not daemon.proven_dead()
    assert daemon.escaped in trial.alive()
    os.kill(daemon.supervisor, signal.SIGCONT)
    trial.wait_for(daemon.proven_dead, "the proof")
    assert trial.alive() == []


# --- the supervisor's death


def test_reapers_end_their_tasks_when_the_supervisor_is_killed(trial: Trial) -> None:
    overseer = trial.overseer()
    for name in ("one", "two"):
        overseer.start(trial.escaping(name))
        trial.escaped(name)
    os.kill(overseer.pid, signal.SIGKILL)
    trial.all_dead()


def test_a_killed_supervisor_is_reported_as_gone(trial: Trial) -> None:
    overseer = trial.overseer()
    os.kill(overseer.pid, signal.SIGKILL)
    assert trial.until(Gone).status == -signal.SIGKILL


def test_a_killed_supervisor_leaves_no_mark(trial: Trial, daemon: Daemon) -> None:
    os.kill(daemon.supervisor, signal.SIGKILL)
    trial.all_dead()
    daemon.end()
    assert daemon.proof.read_text() == ""
    assert not daemon.proven_dead()


def test_no_living_task_or_reaper_holds_the_lock_of_a_dead_daemon(trial: Trial, daemon: Daemon) -> None:
    (reaper,) = trial.children(daemon.supervisor)
    os.kill(reaper, signal.SIGSTOP)  # or it would end the task before we could look
    os.kill(daemon.supervisor, signal.SIGKILL)
    daemon.process.kill()
    daemon.process.wait()
    try:
        with daemon.proof.open("r") as file:
            trial.wait_for(lambda: _can_lock(file.fileno()), "the lock")
        assert daemon.escaped in trial.alive()
    finally:
        os.kill(reaper, signal.SIGCONT)
    trial.all_dead()


def _can_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
