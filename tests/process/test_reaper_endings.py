"""How runs end, and that a run has ended only when all of its processes have."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel.peer.overseer import Started
from sentinel.peer.run.line import fields, words

if TYPE_CHECKING:
    from tests.process.conftest import Trial

DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('deaf', flush=True)
time.sleep(3600)
"""
POLITE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print('polite', flush=True)
time.sleep(3600)
"""
#: A child in a session of its own and its parent, which both say goodbye on SIGTERM.
FAMILY = """
import os, signal, time
def leave(number, frame):
    raise SystemExit
signal.signal(signal.SIGTERM, leave)
child = os.fork()
try:
    if child == 0:
        os.setsid()
        print('up', flush=True)
    time.sleep(3600)
finally:
    if child:
        os.waitpid(child, 0)
    print('parent' if child else 'child', flush=True)
"""
#: A reaper whose orders are at their end before it begins.
LATE_REAPER = """
import json, os, sys
from sentinel.clock import SystemClock
from sentinel.peer.reaper import run_as_reaper
from sentinel.peer.run.spec import RunSpec
orders, supervisor = os.pipe()
os.close(supervisor)
heard, reports = os.pipe()
if os.fork() == 0:
    run_as_reaper(RunSpec.from_json(json.loads(sys.argv[1])), orders, reports, SystemClock())
    os._exit(0)
os.wait()
print(os.read(heard, 65536).decode())
"""
#: Leaves fifty double-forked orphans that are dead at once.
ORPHANS = """
import os, time
for _ in range(50):
    if os.fork() == 0:
        os.fork()
        os._exit(0)
    os.wait()
print('up', flush=True)
time.sleep(3600)
"""


# --- by itself


def test_an_exit_status_is_passed_on(trial: Trial) -> None:
    trial.overseer().start(trial.spec("three", "sh", "-c", "exit 3"))
    end = trial.ended("three")
    assert (end.cause, end.exit_code, end.signal) == ("exit", 3, None)


def test_a_signal_that_ended_the_program_is_named(trial: Trial) -> None:
    trial.overseer().start(trial.spec("crash", "sh", "-c", "kill -SEGV $$"))
    end = trial.ended("crash")
    assert (end.cause, end.exit_code, end.signal) == ("signal", None, signal.SIGSEGV)
    assert "SIGSEGV" in (end.message or "")


def test_a_missing_command_is_named(trial: Trial) -> None:
    trial.overseer().start(trial.spec("typo", "no-such-program", "x"))
    end = trial.ended("typo")
    assert (end.cause, end.exit_code) == ("error", None)
    assert end.message == "command not found: no-such-program"


def test_a_file_that_may_not_be_executed_is_named(trial: Trial) -> None:
    (trial.folder / "notes").write_text("no program")
    trial.overseer().start(trial.spec("notes", "./notes"))
    assert trial.ended("notes").message == "./notes cannot be started: Permission denied"


def test_a_missing_working_directory_is_named(trial: Trial) -> None:
    trial.overseer().start(trial.spec("lost", "true", cwd="/no/such/folder"))
    assert "/no/such/folder cannot be entered" in (trial.ended("lost").message or "")


def test_an_argument_with_a_nul_is_an_error_of_that_run_alone(trial: Trial) -> None:
    overseer = trial.overseer()
    overseer.start(trial.spec("nul", "echo", "a\0b"))
    assert trial.ended("nul").cause == "error"
    overseer.start(trial.spec("next", "true"))
    assert trial.ended("next").exit_code == 0


def test_standard_input_is_what_the_spec_gives(trial: Trial) -> None:
    text = "grüße\n" * 20_000
    trial.overseer().start(trial.spec("echo", "cat", stdin=text))
    trial.ended("echo")
    assert trial.log("echo") == text


def test_standard_input_is_empty_without_one(trial: Trial) -> None:
    trial.overseer().start(trial.spec("echo", "cat"))
    assert trial.ended("echo").exit_code == 0


def test_arguments_reach_the_program_literally(trial: Trial) -> None:
    trial.overseer().start(trial.spec("say", "printf", "%s|", "$(id)", "`id`", "a;b", "-n", "*"))
    trial.ended("say")
    assert trial.log("say") == "$(id)|`id`|a;b|-n|*|"


# --- with everything it left behind


def test_a_run_ends_only_when_its_double_forked_child_is_dead(trial: Trial) -> None:
    trial.overseer().start(trial.escaping("leaver", "leave"))
    end = trial.ended("leaver")
    assert trial.alive() == []
    assert (end.cause, end.exit_code) == ("exit", 0)


def test_a_background_child_that_holds_the_output_open_does_not_delay_the_end(trial: Trial) -> None:
    trial.overseer().start(trial.spec("back", "sh", "-c", "sleep 3600 & echo done"))
    assert trial.ended("back").exit_code == 0
    assert trial.log("back") == "done\n"


def test_a_daemon_in_a_session_of_its_own_dies_with_its_run(trial: Trial) -> None:
    trial.overseer().start(trial.spec("back", "sh", "-c", "setsid setsid sleep 3600 & exit 0"))
    trial.ended("back")
    assert trial.alive() == []


def test_children_of_one_run_survive_the_end_of_another(trial: Trial) -> None:
    overseer = trial.overseer()
    overseer.start(trial.escaping("stays"))
    child = trial.escaped("stays")
    overseer.start(trial.escaping("leaves", "leave"))
    trial.ended("leaves")
    assert child in trial.alive()


# --- by time-out


def test_a_timed_out_run_ends_with_its_double_forked_child(trial: Trial) -> None:
    trial.overseer().start(trial.escaping("slow", timeout=1.0, grace=0.1))
    end = trial.ended("slow")
    assert trial.alive() == []
    assert (end.cause, end.message) == ("timeout", "it ran longer than 1 s")


def test_a_program_that_ignores_sigterm_is_killed_after_the_grace(trial: Trial) -> None:
    trial.overseer().start(trial.python("deaf", DEAF, timeout=1.0, grace=0.2))
    end = trial.ended("deaf")
    assert (end.cause, end.signal) == ("timeout", signal.SIGKILL)
    assert end.ended_at - end.started_at >= 1.2


def test_a_program_may_use_the_grace_to_clean_up(trial: Trial) -> None:
    trial.overseer().start(trial.python("polite", POLITE, timeout=2.0, grace=3600))
    end = trial.ended("polite")
    assert (end.cause, end.exit_code) == ("timeout", 7)


def test_sigterm_reaches_the_whole_tree(trial: Trial) -> None:
    overseer = trial.overseer()
    overseer.start(trial.python("tree", FAMILY))
    trial.wait_for(lambda: "up" in _log(trial, "tree"), "the tree")
    overseer.stop("tree", "cancelled", 3600)
    trial.ended("tree")
    assert trial.log("tree").split() == ["up", "child", "parent"]


def test_a_stopped_program_still_gets_its_sigterm(trial: Trial) -> None:
    overseer = trial.overseer()
    overseer.start(trial.python("polite", POLITE))
    trial.wait_for(lambda: "polite" in _log(trial, "polite"), "the program")
    os.kill(trial.until(Started).pid, signal.SIGSTOP)
    overseer.stop("polite", "cancelled", 3600)
    assert trial.ended("polite").exit_code == 7


# --- on request


def test_a_cancelled_run_ends_with_its_double_forked_child(trial: Trial) -> None:
    overseer = trial.overseer()
    overseer.start(trial.escaping("runaway"))
    trial.escaped("runaway")
    overseer.stop("runaway", "cancelled", 0.1)
    assert trial.ended("runaway").cause == "cancelled"
    assert trial.alive() == []


def test_a_stop_without_grace_kills_at_once(trial: Trial) -> None:
    overseer = trial.overseer()
    overseer.start(trial.python("polite", POLITE))
    trial.until(Started)
    overseer.stop("polite", "drained", 0)
    end = trial.ended("polite")
    assert (end.cause, end.signal) == ("drained", signal.SIGKILL)


def test_a_second_stop_may_shorten_the_grace(trial: Trial) -> None:
    overseer = trial.overseer()
    overseer.start(trial.python("deaf", DEAF))
    trial.wait_for(lambda: "deaf" in _log(trial, "deaf"), "the program")
    overseer.stop("deaf", "drained", 3600)
    overseer.stop("deaf", "cancelled", 0)
    assert trial.ended("deaf").cause == "drained"


def test_a_stop_of_an_unknown_run_is_ignored(trial: Trial) -> None:
    overseer = trial.overseer()
    overseer.stop("nobody", "cancelled", 0)
    overseer.start(trial.spec("one", "true"))
    assert trial.ended("one").exit_code == 0


# --- with its reaper


def test_a_task_that_kills_its_reaper_ends_as_an_error_that_says_so(trial: Trial) -> None:
    trial.overseer().start(trial.spec("rebel", "sh", "-c", "sleep 3600 & kill -9 $PPID; sleep 3600"))
    end = trial.ended("rebel")
    assert trial.alive() == []
    assert end.cause == "error"
    assert "watched over the task" in (end.message or "")


def test_the_double_forked_child_of_a_killed_reaper_dies_too(trial: Trial) -> None:
    overseer = trial.overseer()
    overseer.start(trial.escaping("runaway"))
    trial.escaped("runaway")
    (reaper,) = trial.children(overseer.pid)
    os.kill(reaper, signal.SIGKILL)
    assert trial.ended("runaway").cause == "error"
    assert trial.alive() == []


def test_a_killed_reaper_harms_no_other_run(trial: Trial) -> None:
    overseer = trial.overseer()
    overseer.start(trial.escaping("stays"))
    child = trial.escaped("stays")
    overseer.start(trial.spec("rebel", "sh", "-c", "kill -9 $PPID; sleep 3600"))
    trial.ended("rebel")
    assert child in trial.alive()


def test_a_reaper_whose_supervisor_is_gone_already_starts_nothing(trial: Trial) -> None:
    spec = trial.spec("late", "touch", "started")
    done = subprocess.run(
        [sys.executable, "-c", LATE_REAPER, json.dumps(spec.to_json())],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        check=True,
    )
    (word, run), told = words(done.stdout)
    assert (word, run, fields(told)["cause"]) == ("ended", "late", "fenced")
    assert not (trial.folder / "started").exists()


def test_no_zombies_pile_up(trial: Trial) -> None:
    overseer = trial.overseer()
    overseer.start(trial.python("forks", ORPHANS))
    main = trial.until(Started).pid
    (reaper,) = trial.children(overseer.pid)
    trial.wait_for(lambda: "up" in _log(trial, "forks"), "the forks")
    trial.wait_for(lambda: trial.children(reaper) == [main], "the reaping")


def _log(trial: Trial, run: str) -> str:
    file = trial.folder / "logs" / run
    return file.read_text() if file.exists() else ""
