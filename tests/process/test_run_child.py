"""One registered function, in a process of its own or a warm one, run by a real supervisor as by a worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sentinel.model.task import Task
from sentinel.peer.run.plan import Limits, Planner, Workshop
from sentinel.peer.run.progress import latest
from sentinel.peer.run.registered import Registered
from sentinel.peer.run.spec import RunEnd, RunSpec

if TYPE_CHECKING:
    from tests.process.conftest import Trial

ROOT = Path(__file__).resolve().parents[2]

JOBS = """
import asyncio, os, sys, time
import sentinel

@sentinel.task("job")
def job({parameters}):
    {body}
"""


class Job:
    """A function written by a test, and how running it went."""

    def __init__(self, trial: Trial, *, warm: bool) -> None:
        self._trial = trial
        self._warm = warm
        self._end: RunEnd | None = None
        self.spec: RunSpec | None = None

    def start(self, body: str, parameters: str = "", *positional: object, **args: object) -> RunSpec:
        """Start a task whose function has this ``body``."""
        code = JOBS.format(parameters=parameters, body=body.replace("\n", "\n    "))
        (self._trial.folder / "jobs.py").write_text(code)
        task = Task(
            id="t", type="job", args=args, positional=positional, created_at="", run=1, attempt=2, epoch=3
        )
        anything: Callable[..., Any] = lambda *_, **__: None  # noqa: E731 - the real one is in the child
        workshop = Workshop(
            python=sys.executable,
            cwd=str(self._trial.folder),
            types={"job": Registered(name="job", function=anything, module="jobs")},
            import_path=(str(ROOT),),
            pass_env=("MARK",),
            limits=Limits(result=1000, grace=30, warm_runs=100 if self._warm else 0),
        )
        environ = {**os.environ, "MARK": self._trial.mark}
        self.spec = Planner(workshop, folder=self._trial.folder / "logs", environ=environ)(task)
        self._overseer = self._trial.overseer()
        self._overseer.start(self.spec)
        return self.spec

    def run(self, body: str, parameters: str = "", *positional: object, **args: object) -> RunEnd:
        """Start it, and wait for its end."""
        self._end = self._trial.ended(self.start(body, parameters, *positional, **args).run)
        return self._end

    def stop(self) -> RunEnd:
        """Ask it to end, and wait for its end."""
        assert self.spec is not None
        self._overseer.stop(self.spec.run, "cancelled", 30)
        self._end = self._trial.ended(self.spec.run)
        return self._end

    @property
    def left(self) -> dict[str, Any]:
        """What it left as its result; empty when it left nothing."""
        assert self.spec is not None
        if self._end is not None and self._end.left is not None:
            return dict(json.loads(self._end.left))
        path = Path(self.spec.result_path or "")
        found: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
        return found

    @property
    def log(self) -> str:
        """What it printed so far."""
        assert self.spec is not None
        path = Path(self.spec.log_path)
        return path.read_text() if path.exists() else ""


@pytest.fixture(params=["cold", "warm"])
def job(trial: Trial, request: pytest.FixtureRequest) -> Job:
    return Job(trial, warm=request.param == "warm")


# --- results


def test_what_a_function_returns_is_the_result(job: Job) -> None:
    assert job.run("return {'b': [a, None], 'a': b}", "a, b=2", a="é").exit_code == 0
    assert job.left == {"result": {"b": ["é", None], "a": 2}}


def test_arguments_by_place_are_passed_by_place(job: Job) -> None:
    job.run("return a - b", "a, b", 5, 3)
    assert job.left == {"result": 2}


def test_an_async_function_is_awaited(job: Job) -> None:
    job.run("async def main():\n    await asyncio.sleep(0)\n    return 5\nreturn main()")
    assert job.left == {"result": 5}


def test_what_is_printed_goes_to_the_log_and_not_into_the_result(job: Job) -> None:
    job.run("print('hello'); print('oh', file=sys.stderr)")
    assert job.log.split() == ["hello", "oh"]
    assert job.left == {"result": None}


def test_output_can_be_read_while_the_function_runs(trial: Trial, job: Job) -> None:
    job.start("print('early')\ntime.sleep(3600)")
    trial.wait_for(lambda: "early" in job.log, "the first line")


def test_a_clean_sys_exit_is_an_empty_result(job: Job) -> None:
    assert job.run("sys.exit(0)").exit_code == 0
    assert job.left == {"result": None}


def test_a_forked_child_that_returns_leaves_no_result_of_its_own(job: Job) -> None:
    assert job.run("if os.fork() == 0:\n    return 'child'\nos.wait()\nreturn 'parent'").exit_code == 0
    assert job.left == {"result": "parent"}


# --- errors


def test_an_exception_is_told_with_its_traceback(job: Job) -> None:
    assert job.run("raise ValueError('no good')").exit_code == 1
    error = job.left["error"]
    assert (error["kind"], error["message"]) == ("ValueError", "no good")
    assert "jobs.py" in error["traceback"]
    assert "child.py" not in error["traceback"]
    assert "ValueError: no good" in job.log


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ("return float('nan')", "BadResult", "not a JSON value"),
        ("return object()", "BadResult", "not a JSON value"),
        ("return {1: 2}", "BadResult", "the key 1"),
        ("return '\\ud800'", "BadResult", "surrogate"),
        ("x = []; x.append(x); return x", "BadResult", "nests deeper"),
        ("return 'x' * 2000", "BadResult", "2002 bytes, more than the limit of 1000"),
        ("sys.exit(3)", "SystemExit", "sys.exit(3)"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", ""),
        ("def f(): f()\nf()", "RecursionError", "maximum recursion"),
    ],
)
def test_what_is_no_result_is_an_error_that_says_why(job: Job, body: str, kind: str, words: str) -> None:
    assert job.run(body).exit_code == 1
    assert job.left["error"]["kind"] == kind
    assert words in job.left["error"]["message"]


def test_arguments_that_the_newest_code_does_not_take_are_refused(job: Job) -> None:
    assert job.run("pass", "path: str", pth="x").exit_code == 1
    assert job.left["error"]["kind"] == "BadInput"
    assert "did you mean 'path'?" in job.left["error"]["message"]


def test_a_function_that_ends_its_process_leaves_no_result(job: Job) -> None:
    assert job.run("os._exit(0)").exit_code == 0
    assert job.left == {}


# --- surroundings


def test_a_function_has_no_standard_input(job: Job) -> None:
    job.run("return [os.readlink('/proc/self/fd/0'), sys.stdin.read()]")
    assert job.left == {"result": ["/dev/null", ""]}


def test_a_function_knows_its_task(job: Job) -> None:
    job.run(
        "t = sentinel.current_task()\nreturn [t.id, t.run, t.attempt, t.fencing_token, t.idempotency_key]"
    )
    assert job.left == {"result": ["t", 1, 2, 3, "t:1"]}


def test_a_function_can_tell_how_far_it_is(job: Job) -> None:
    job.run("sentinel.current_task().progress(0.25)")
    assert job.spec is not None
    progress = latest(Path(job.spec.progress_path or ""))
    assert progress is not None
    assert progress.done == 0.25


def test_a_file_in_the_working_folder_hides_no_standard_module(trial: Trial, job: Job) -> None:
    (trial.folder / "asyncio.py").write_text("raise SystemExit('hidden')")
    job.run("return asyncio.__file__.endswith('__init__.py')")
    assert job.left == {"result": True}


# --- the end on request


def test_a_function_that_looks_for_it_learns_that_it_is_cancelled(trial: Trial, job: Job) -> None:
    look = "while not t.cancelled(): time.sleep(0.01)"
    job.start(f"t = sentinel.current_task()\nt.cancelled()\nprint('up')\n{look}\nreturn 'tidy'")
    trial.wait_for(lambda: "up\n" in job.log, "the function")
    end = job.stop()
    assert (end.cause, end.exit_code) == ("cancelled", 0)
    assert job.left == {"result": "tidy"}


def test_a_function_that_does_not_look_is_ended_through_its_finally_blocks(trial: Trial, job: Job) -> None:
    job.start("try:\n    print('up')\n    time.sleep(3600)\nfinally:\n    print('tidied')")
    trial.wait_for(lambda: "up\n" in job.log, "the function")
    end = job.stop()
    assert (end.cause, end.exit_code) == ("cancelled", 143)
    assert job.log.split() == ["up", "tidied"]
    assert job.left == {}


def test_a_process_that_a_function_starts_knows_the_task_too(job: Job) -> None:
    code = "import sentinel; print(sentinel.current_task().id)"
    job.run(f"import subprocess\nreturn subprocess.check_output([sys.executable, '-c', {code!r}], text=True)")
    assert job.left == {"result": "t\n"}


def test_processes_of_a_function_end_with_it(trial: Trial, job: Job) -> None:
    job.run("import subprocess\nsubprocess.Popen(['sleep', '3600'], start_new_session=True)\nreturn 1")
    assert trial.alive() == []


def test_importing_the_package_loads_nothing_that_is_heavy() -> None:
    code = "import sys, sentinel; print(*{m.partition('.')[0] for m in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {"asyncio", "json", "dataclasses", "typing_extensions", "pygit2", "pydantic"} & set(loaded)
