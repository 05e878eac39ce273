"""What a task cannot see or touch of the processes that watch over it, and what signals cannot do to them."""

from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sentinel.peer.overseer import Ended, Refused, Started

if TYPE_CHECKING:
    from tests.process.conftest import Trial


def test_a_task_has_standard_streams_and_no_other_descriptor(trial: Trial) -> None:
    proof = os.open(trial.folder / "proof", os.O_RDWR | os.O_CREAT)
    fcntl.flock(proof, fcntl.LOCK_EX)
    overseer = trial.overseer(proof_fd=proof)
    os.close(proof)
    overseer.start(trial.spec("other", "sleep", "3600"))
    overseer.start(trial.spec("look", "sh", "-c", "exec ls /proc/self/fd"))
    trial.ended("look")
    assert trial.log("look").split() == ["0", "1", "2", "3"]  # 3 is the listing's own


def test_a_task_shares_no_pipe_with_its_reaper_but_its_output(trial: Trial) -> None:
    overseer = trial.overseer()
    overseer.start(trial.spec("look", "sleep", "3600"))
    task = trial.until(Started, "look").pid
    streams = {n: str(Path(f"/proc/{task}/fd/{n}").readlink()) for n in (0, 1, 2)}
    assert streams[0] == "/dev/null"
    assert streams[1] == streams[2]
    assert streams[1].startswith("pipe:")


def test_a_reaper_does_not_hold_the_proof_file(trial: Trial) -> None:
    path = trial.folder / "proof"
    proof = os.open(path, os.O_RDWR | os.O_CREAT)
    overseer = trial.overseer(proof_fd=proof)
    os.close(proof)
    overseer.start(trial.spec("one", "sleep", "3600"))
    trial.until(Started)
    (reaper,) = trial.children(overseer.pid)
    assert str(path) in _open_files(overseer.pid)
    assert str(path) not in _open_files(reaper)


def test_a_second_reaper_does_not_hold_the_pipes_of_the_first(trial: Trial) -> None:
    overseer = trial.overseer()
    for name in ("one", "two"):
        overseer.start(trial.spec(name, "sleep", "3600"))
        trial.until(Started, name)
    first, second = (_pipes(reaper) for reaper in trial.children(overseer.pid))
    # Standard error is the daemon's own, and where it is a pipe it is everybody's.
    daemons = {str(Path(f"/proc/{overseer.pid}/fd/2").readlink())}
    assert not first & second - daemons


def test_a_task_has_the_environment_of_its_spec_and_nothing_else(trial: Trial) -> None:
    trial.overseer().start(trial.spec("look", "env", env={"PATH": "/usr/bin:/bin", "ODD": "a b\nc=é"}))
    trial.ended("look")
    assert sorted(trial.log("look").split("\n")) == ["", "ODD=a b", "PATH=/usr/bin:/bin", "c=é"]


def test_a_supervisor_does_not_carry_the_daemons_environment(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "not-for-you")
    overseer = trial.overseer()
    overseer.start(trial.spec("one", "true"))
    trial.ended("one")
    assert b"not-for-you" not in Path(f"/proc/{overseer.pid}/environ").read_bytes()


def test_a_task_leads_a_session_of_its_own(trial: Trial) -> None:
    trial.overseer().start(trial.spec("one", "sleep", "3600"))
    task = trial.until(Started).pid
    assert os.getsid(task) == task


def test_a_task_starts_with_default_signal_handling(trial: Trial) -> None:
    trial.overseer().start(trial.spec("look", "grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"))
    trial.ended("look")
    assert {line.split()[1] for line in trial.log("look").splitlines()} == {"0" * 16}


def test_a_task_that_signals_its_whole_process_group_hits_only_itself(trial: Trial) -> None:
    overseer = trial.overseer()
    overseer.start(trial.spec("other", "sleep", "3600"))
    overseer.start(trial.spec("angry", "sh", "-c", "kill -KILL 0"))
    assert trial.ended("angry").signal == signal.SIGKILL
    assert not [e for e in trial.seen if isinstance(e, Ended) and e.end.run == "other"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_supervisor_ignores_signals_that_are_meant_for_the_daemon(
    trial: Trial, number: signal.Signals
) -> None:
    overseer = trial.overseer()
    overseer.start(trial.spec("before", "true"))
    trial.ended("before")
    os.kill(overseer.pid, number)
    overseer.start(trial.spec("after", "true"))
    assert trial.ended("after").exit_code == 0


def test_a_supervisor_leads_a_session_of_its_own(trial: Trial) -> None:
    overseer = trial.overseer()
    assert os.getsid(overseer.pid) == overseer.pid


def test_a_stopped_supervisor_does_not_block_who_talks_to_it(trial: Trial) -> None:
    overseer = trial.overseer(lease=None)
    os.kill(overseer.pid, signal.SIGSTOP)
    for number in range(300):
        overseer.start(trial.spec(f"big{number}", "true", stdin="x" * 10_000))
    os.kill(overseer.pid, signal.SIGCONT)
    trial.until(Refused, count=300)


def _open_files(pid: int) -> set[str]:
    return {str(descriptor.readlink()) for descriptor in Path(f"/proc/{pid}/fd").iterdir()}


def _pipes(pid: int) -> set[str]:
    return {name for name in _open_files(pid) if name.startswith("pipe:")}
