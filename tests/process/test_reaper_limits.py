"""Output, memory and process limits: only the task dies, and the reaper stays small."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel.peer.overseer import Started

if TYPE_CHECKING:
    from tests.process.conftest import Trial

MEGABYTE = 1024 * 1024
HOLD = """
import os, sys, time
def hold():
    held = bytearray(int(sys.argv[1]))
    print('holding', flush=True)
    time.sleep(3600)
if os.fork() == 0:
    hold()
hold()
"""


def test_output_and_errors_are_merged_into_the_log(trial: Trial) -> None:
    trial.overseer().start(trial.spec("both", "sh", "-c", "echo one; echo two >&2; echo three"))
    end = trial.ended("both")
    assert trial.log("both") == "one\ntwo\nthree\n"
    assert (end.log_bytes, end.truncated) == (14, False)


def test_the_log_can_be_read_while_the_program_runs(trial: Trial) -> None:
    trial.overseer().start(trial.spec("live", "sh", "-c", "echo early; sleep 3600"))
    log = trial.folder / "logs" / "live"
    trial.wait_for(lambda: log.exists() and log.read_text() == "early\n", "the first line")


def test_a_flood_of_output_is_cut_at_the_limit_and_flagged(trial: Trial) -> None:
    flood = "import os\nfor _ in range(3000): os.write(1, b'y' * 100_000)"
    trial.overseer().start(trial.python("flood", flood, output_limit=12_345))
    end = trial.ended("flood")
    assert (end.exit_code, end.log_bytes, end.truncated) == (0, 12_345, True)
    assert len(trial.log("flood")) == 12_345


def test_an_endless_flood_does_not_keep_a_run_from_being_ended(trial: Trial) -> None:
    trial.overseer().start(trial.spec("yes", "yes", timeout=0.5, output_limit=1000))
    end = trial.ended("yes")
    assert (end.cause, end.log_bytes, end.truncated) == ("timeout", 1000, True)


def test_a_flood_does_not_swell_the_reaper(trial: Trial) -> None:
    overseer = trial.overseer()
    overseer.start(trial.spec("yes", "yes"))
    log = trial.folder / "logs" / "yes"
    trial.wait_for(lambda: log.exists() and log.stat().st_size >= 10 * MEGABYTE, "the flood")
    (reaper,) = trial.children(overseer.pid)
    assert _resident(reaper) < _resident(overseer.pid) + 4 * MEGABYTE


def test_output_of_exactly_the_limit_is_not_flagged(trial: Trial) -> None:
    trial.overseer().start(trial.spec("exact", "printf", "12345", output_limit=5))
    assert not trial.ended("exact").truncated


def test_a_full_disk_costs_the_log_and_not_the_run(trial: Trial) -> None:
    trial.overseer().start(trial.spec("full", "sh", "-c", "echo x; exit 4", log_path="/dev/full"))
    end = trial.ended("full")
    assert (end.cause, end.exit_code, end.log_bytes, end.truncated) == ("exit", 4, 0, True)
    assert "No space left" in (end.message or "")


def test_a_log_that_cannot_be_opened_costs_the_log_and_not_the_run(trial: Trial) -> None:
    (trial.folder / "file").touch()
    path = str(trial.folder / "file" / "log")
    trial.overseer().start(trial.spec("one", "sh", "-c", "echo x; exit 4", log_path=path))
    end = trial.ended("one")
    assert (end.exit_code, end.truncated) == (4, True)


def test_the_memory_limit_holds_for_the_sum_over_the_tree(trial: Trial) -> None:
    size = 60 * MEGABYTE
    spec = trial.python("greedy", HOLD, str(size), memory_limit=100 * MEGABYTE)
    trial.overseer().start(spec)
    end = trial.ended("greedy")
    assert trial.alive() == []
    assert end.cause == "memory"
    assert "limit of 100 MiB" in (end.message or "")


def test_a_tree_within_its_memory_limit_is_left_alone(trial: Trial) -> None:
    spec = trial.python("modest", HOLD, str(5 * MEGABYTE), memory_limit=300 * MEGABYTE, timeout=1.5)
    trial.overseer().start(spec)
    assert trial.ended("modest").cause == "timeout"


def test_the_kernel_is_told_to_sacrifice_tasks_first(trial: Trial) -> None:
    overseer = trial.overseer()
    overseer.start(trial.spec("one", "sleep", "3600"))
    task = trial.until(Started).pid
    assert _oom_score(task) >= 500
    assert _oom_score(overseer.pid) == _oom_score(os.getpid())


def test_more_processes_than_the_limit_end_the_run(trial: Trial) -> None:
    forks = "import os, time\nfor _ in range(150):\n if os.fork() == 0: time.sleep(3600)\ntime.sleep(3600)"
    trial.overseer().start(trial.python("many", forks, process_limit=50))
    end = trial.ended("many")
    assert trial.alive() == []
    assert end.cause == "error"
    assert "more than its limit of 50" in (end.message or "")


def test_a_fork_bomb_is_ended_while_it_still_forks(trial: Trial) -> None:
    # Every process keeps forking children that die at once, up to 128 at a time, so that no two looks at
    # /proc show the same ones.
    bomb = """
import os, time
for _ in range(6): os.fork()
open(f'up.{os.getpid()}', 'w')
while True:
    if os.fork() == 0: os._exit(0)
    os.wait()
"""
    overseer = trial.overseer()
    overseer.start(trial.python("bomb", bomb))
    trial.wait_for(lambda: len(list(trial.folder.glob("up.*"))) == 64, "64 processes")
    overseer.stop("bomb", "cancelled", 0)
    assert trial.ended("bomb").signal == signal.SIGKILL
    assert trial.alive() == []


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _oom_score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())
