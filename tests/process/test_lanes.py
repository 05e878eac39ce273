"""Warm processes: what runs in one lane share, what they do not, and who pays when one of them goes wrong."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sentinel.peer.overseer import Ended, Recalled, SupervisorProcess
from sentinel.peer.run.spec import RunEnd, RunSpec
from tests.process.conftest import Trial

TASKS = """
import os, subprocess, sys, threading, time
import sentinel
from pathlib import Path

seen = []

@sentinel.task("me")
def me():
    return os.getpid()

@sentinel.task("remember")
def remember():
    seen.append(1)
    return len(seen)

@sentinel.task("say")
def say(text):
    print(text)
    subprocess.run(["sh", "-c", "echo from below"])

@sentinel.task("fail")
def fail():
    raise ValueError("no")

@sentinel.task("crash")
def crash():
    os.kill(os.getpid(), 9)

@sentinel.task("wait")
def wait(path):
    Path(path).touch()
    time.sleep(3600)

@sentinel.task("wander")
def wander(path):
    os.environ["LEFT"] = "behind"
    os.environ.pop("MARK")
    os.chdir(path)

@sentinel.task("where")
def where():
    return [os.getcwd(), os.environ.get("LEFT"), os.environ.get("OWN"), sentinel.current_task().id]

@sentinel.task("thread")
def thread():
    threading.Thread(target=time.sleep, args=(0.2,)).start()
    return os.getpid()

@sentinel.task("fork")
def fork():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(3600)
        os._exit(0)
    os.wait()
    return os.getpid()

@sentinel.task("large")
def large():
    return "x" * 200_000

@sentinel.task("zeros")
def zeros():
    print("\\0 a \\0 b \\0", end="")

@sentinel.task("deaf")
def deaf():
    os.set_blocking(1, False)
    return "x" * 60_000

@sentinel.task("mute")
def mute():
    os.close(1)

@sentinel.task("chatty")
def chatty():
    subprocess.Popen(["sh", "-c", "while :; do echo and on; done"])
    time.sleep(0.1)
    return "x" * 20_000

@sentinel.task("eat")
def eat():
    data = bytearray(300_000_000)
    time.sleep(3600)
"""


class Lane:
    """One supervisor and one lane in it."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        (trial.folder / "warmtasks.py").write_text(TASKS)
        self.overseer: SupervisorProcess = trial.overseer()

    def start(self, run: str, type: str, *, env: dict[str, str] | None = None, **changes: Any) -> RunSpec:
        args = changes.pop("args", {})
        result = str(self.trial.folder / f"{run}.result")
        identity = {
            "SENTINEL_TASK_ID": f"task-{run}",
            "SENTINEL_RUN": "1",
            "SENTINEL_ATTEMPT": "1",
            "SENTINEL_FENCING_TOKEN": "1",
            "SENTINEL_IDEMPOTENCY_KEY": "k",
        }
        order = {
            "modules": ["warmtasks"],
            "type": type,
            "args": args,
            "positional": [],
            "result_path": result,
            "result_limit": 1 << 20,
        }
        values: dict[str, Any] = {
            "stdin": json.dumps(order),
            "lane": "0",
            "lane_runs": 100,
            "lane_idle": 60.0,
            "result_path": result,
            "env": {"PATH": os.environ["PATH"], "MARK": self.trial.mark, **identity, **(env or {})},
        }
        argv = (sys.executable, "-u", "-P", "-m", "sentinel.peer.run.warm")
        spec = self.trial.spec(run, *argv, **values | changes)
        self.overseer.start(spec)
        return spec

    def end(self, run: str) -> RunEnd:
        return self.trial.ended(run)

    def result(self, run: str) -> Any:
        left = self.end(run).left
        assert left is not None
        return json.loads(left)["result"]

    def run(self, run: str, type: str, **changes: Any) -> Any:
        self.start(run, type, **changes)
        return self.result(run)


@pytest.fixture
def lane(trial: Trial) -> Lane:
    return Lane(trial)


def test_runs_of_a_lane_follow_each_other_in_one_process(lane: Lane) -> None:
    for name in ("a", "b", "c"):
        lane.start(name, "me")

    assert len({lane.result(name) for name in ("a", "b", "c")}) == 1


def test_two_lanes_are_two_processes(lane: Lane) -> None:
    assert lane.run("a", "me") != lane.run("b", "me", lane="1")


def test_what_a_module_remembers_is_there_for_the_next_run(lane: Lane) -> None:
    lane.run("a", "remember")

    assert lane.run("b", "remember") == 2


def test_each_run_has_its_own_output_that_of_its_children_included(lane: Lane) -> None:
    for name in ("a", "b", "c"):
        lane.start(name, "say", args={"text": f"I am {name}"})

    lane.end("c")
    assert [lane.trial.log(name) for name in ("a", "b", "c")] == [
        f"I am {name}\nfrom below\n" for name in ("a", "b", "c")
    ]


def test_a_run_that_prints_nothing_leaves_no_file(lane: Lane) -> None:
    spec = lane.start("a", "me")

    assert not lane.end("a").files
    assert not Path(spec.log_path).exists()


def test_environment_and_folder_are_those_of_the_run_and_not_what_the_last_one_left(lane: Lane) -> None:
    lane.start("a", "wander", args={"path": "/"})

    found = lane.run("b", "where", env={"OWN": "mine"})

    assert found == [str(lane.trial.folder), None, "mine", "task-b"]


def test_an_error_is_told_and_the_process_goes_on(lane: Lane) -> None:
    before = lane.run("a", "me")
    lane.start("b", "fail")

    end = lane.end("b")

    assert (end.cause, end.exit_code) == ("exit", 1)
    assert json.loads(end.left or "")["error"]["message"] == "no"
    assert lane.run("c", "me") == before


def test_a_crash_fails_its_own_run_and_what_waited_behind_it_runs(lane: Lane) -> None:
    before = lane.run("a", "me")
    lane.start("b", "crash")
    lane.start("c", "me")

    assert (lane.end("b").cause, lane.end("b").signal) == ("signal", signal.SIGKILL)
    assert lane.result("c") != before


def test_a_run_that_passes_its_time_is_ended_and_what_waited_behind_it_runs(lane: Lane) -> None:
    lane.start("a", "wait", args={"path": "there"}, timeout=0.3, grace=0.0)
    lane.start("b", "me")

    assert lane.end("a").cause == "timeout"
    assert lane.result("b")


def test_cancelling_ends_the_process_and_what_waited_behind_it_runs(lane: Lane) -> None:
    started = lane.trial.folder / "there"
    lane.start("a", "wait", args={"path": str(started)})
    lane.start("b", "me")
    lane.trial.wait_for(started.exists, "the first run")

    lane.overseer.stop("a", "cancelled", 5.0)

    assert lane.end("a").cause == "cancelled"
    assert lane.result("b")


def test_what_waits_behind_a_long_run_can_be_taken_back(lane: Lane) -> None:
    started = lane.trial.folder / "there"
    lane.start("a", "wait", args={"path": str(started)})
    lane.start("b", "me")
    lane.start("c", "me")
    lane.trial.wait_for(started.exists, "the first run")

    lane.overseer.recall("0")

    recalled: Callable[[], Recalled] = lambda: lane.trial.until(Recalled)  # noqa: E731 - typed
    assert recalled().runs == ("b", "c")
    assert lane.run("b", "me", lane="1")


def test_a_run_that_leaves_a_thread_is_the_last_of_its_process(lane: Lane) -> None:
    pid = lane.run("a", "thread")

    assert lane.run("b", "me") != pid


def test_a_double_forked_child_is_ended_before_its_run_counts_as_over(lane: Lane) -> None:
    lane.start("a", "fork")

    pid = lane.result("a")

    assert lane.trial.alive() == []
    assert lane.run("b", "me") != pid


def test_a_process_makes_room_after_so_many_runs(lane: Lane) -> None:
    for name in ("a", "b", "c"):
        lane.start(name, "me", lane_runs=2)

    assert lane.result("a") == lane.result("b") != lane.result("c")


def test_a_process_without_runs_ends(lane: Lane) -> None:
    lane.run("a", "me", lane_idle=0.1)

    lane.trial.wait_for(lambda: not lane.trial.alive(), "the end of the warm process")


def test_a_large_result_goes_by_a_file(lane: Lane) -> None:
    spec = lane.start("a", "large")

    assert lane.end("a").left is None
    assert len(Path(spec.result_path or "").read_bytes()) > 200_000


def test_output_with_zeros_in_it_is_kept_as_it_is(lane: Lane) -> None:
    lane.start("a", "zeros")
    lane.start("b", "me")

    lane.end("b")
    assert lane.trial.log("a") == "\0 a \0 b \0"


def test_a_result_arrives_whole_though_the_function_has_changed_how_its_output_is_written(lane: Lane) -> None:
    assert lane.run("a", "deaf") == "x" * 60_000


def test_a_function_that_closes_its_output_is_heard_all_the_same(lane: Lane) -> None:
    assert lane.run("a", "mute") is None


def test_the_result_of_a_run_is_not_lost_in_what_its_children_go_on_to_print(lane: Lane) -> None:
    spec = lane.start("a", "chatty")

    assert lane.end("a").cause == "exit"
    assert json.loads(Path(spec.result_path or "").read_bytes())["result"] == "x" * 20_000


def test_a_run_over_its_memory_is_ended(lane: Lane) -> None:
    lane.start("a", "eat", memory_limit=150_000_000)
    lane.start("b", "me")

    assert lane.end("a").cause == "memory"
    assert lane.result("b")


def test_a_passed_deadline_ends_the_process_and_nothing_that_waited_begins(lane: Lane) -> None:
    started = lane.trial.folder / "there"
    lane.start("a", "wait", args={"path": str(started)})
    lane.start("b", "wait", args={"path": str(lane.trial.folder / "never")})
    lane.trial.wait_for(started.exists, "the first run")

    lane.overseer.extend(lane.trial.clock.now())

    assert {lane.end("a").cause, lane.end("b").cause} == {"fenced"}
    assert not (lane.trial.folder / "never").exists()
    assert lane.trial.alive() == []


def test_a_killed_lane_reaper_costs_the_run_that_went_on_and_no_other(lane: Lane) -> None:
    started = lane.trial.folder / "there"
    lane.start("a", "wait", args={"path": str(started)})
    lane.start("b", "me")
    lane.trial.wait_for(started.exists, "the first run")

    (reaper,) = lane.trial.children(lane.overseer.pid)
    os.kill(reaper, signal.SIGKILL)

    assert lane.trial.until(Ended, "a").end.cause == "error"
    assert not [event for event in lane.trial.seen if isinstance(event, Ended) and event.end.run == "b"]
