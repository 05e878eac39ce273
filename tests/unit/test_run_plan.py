"""From a claimed task to its complete execution: what runs, where, with which environment and limits."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from sentinel.errors import BadInput
from sentinel.model.task import Task
from sentinel.peer.run.command import CommandTemplate
from sentinel.peer.run.environment import never_passed
from sentinel.peer.run.plan import Limits, Planner, Workshop, import_path
from sentinel.peer.run.registered import Registered
from sentinel.peer.run.spec import RunSpec


def count(path: str, deep: bool = False) -> int:
    return len(path) + deep


WORKSHOP = Workshop(
    python="/venv/bin/python",
    cwd="/srv/work",
    types={"count": Registered(name="count", function=count, module="jobs", memory=100 << 20)},
    commands={"list": CommandTemplate.parse("list", {"argv": ["ls", "{path}"], "args": {"path": {}}})},
    import_path=("/src",),
)
ENVIRON = {"PATH": "/bin", "HOME": "/me", "LC_ALL": "C", "EDITOR": "vi"}


def planned(
    type: str,
    args: dict[str, Any] | None = None,
    *positional: object,
    workshop: Workshop = WORKSHOP,
    environ: dict[str, str] | None = None,
) -> RunSpec:
    task = Task(
        id="build-42",
        type=type,
        args=args or {},
        positional=positional,
        created_at="2026-11-22T00:00:00Z",
        run=2,
        attempt=3,
        epoch=7,
        timeout=60.0,
    )
    environ = ENVIRON if environ is None else environ
    return Planner(workshop, folder=Path("/runs"), environ=environ)(task)


def changed(**changes: Any) -> Workshop:
    values = {name: getattr(WORKSHOP, name) for name in ("python", "cwd", "types", "commands", "import_path")}
    return Workshop(**values | changes)


# --- what runs


def test_a_shell_task_runs_its_argv() -> None:
    assert planned("shell", {}, "echo", "$(id)").argv == ("echo", "$(id)")


def test_a_command_task_runs_its_template() -> None:
    assert planned("list", {"path": "docs"}).argv == ("ls", "docs")


def test_a_function_runs_in_a_process_that_stays_for_the_next() -> None:
    spec = planned("count", {"path": "docs"})
    assert (spec.argv[0], spec.argv[-1]) == ("/venv/bin/python", "sentinel.peer.run.warm")
    assert spec.lane is not None


def test_a_function_that_is_not_to_be_warm_runs_in_an_interpreter_of_its_own() -> None:
    cold = {"count": dataclasses.replace(WORKSHOP.types["count"], warm=False)}
    spec = planned("count", {"path": "docs"}, workshop=changed(types=cold))
    assert spec.argv[-1] == "sentinel.peer.run.child"
    assert spec.lane is None


def test_without_warm_runs_every_function_gets_an_interpreter_of_its_own() -> None:
    workshop = changed(limits=Limits(warm_runs=0))
    assert planned("count", {"path": "docs"}, workshop=workshop).lane is None


def test_a_function_gets_its_order_on_standard_input() -> None:
    spec = planned("count", {"path": "docs"})
    assert json.loads(spec.stdin or "") == {
        "modules": ["jobs"],
        "type": "count",
        "args": {"path": "docs"},
        "positional": [],
        "result_path": spec.result_path,
        "result_limit": Limits().result,
    }


def test_only_functions_leave_a_result_file() -> None:
    assert planned("count", {"path": "x"}).result_path is not None
    assert planned("list", {"path": "x"}).result_path is None


def test_arguments_never_appear_in_the_process_list_of_a_function() -> None:
    assert "docs" not in planned("count", {"path": "docs"}).argv


def test_two_epochs_of_a_task_share_no_file() -> None:
    spec = planned("list", {"path": "x"})
    assert spec.run.endswith("-7")
    assert all(spec.run in str(path) for path in (spec.log_path, spec.progress_path))


@pytest.mark.parametrize(
    ("type", "args", "sentence"),
    [
        ("lst", {}, "does not know the type 'lst'; did you mean 'list'?"),
        ("count", {"pth": "x"}, "did you mean 'path'?"),
        ("count", {"path": 1}, "must be a text"),
        ("list", {}, "needs the argument 'path'"),
        ("shell", {}, "needs an argv"),
    ],
)
def test_what_cannot_be_run_here_is_refused(type: str, args: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput) as caught:
        planned(type, args)
    assert sentence in str(caught.value)


def test_a_shell_task_is_refused_where_the_type_is_turned_off() -> None:
    with pytest.raises(BadInput, match="turned off"):
        planned("shell", {}, "ls", workshop=changed(shell=False))


def test_the_types_of_a_workshop_are_all_that_it_can_run() -> None:
    assert WORKSHOP.known == {"count", "list", "shell"}
    assert changed(shell=False).known == {"count", "list"}


# --- limits


def test_limits_are_those_of_task_and_worker() -> None:
    limits = Limits(grace=1, output=2, memory=3, processes=4)
    spec = planned("list", {"path": "x"}, workshop=changed(limits=limits))
    assert spec.timeout == 60
    assert (spec.grace, spec.output_limit, spec.memory_limit, spec.process_limit) == (1, 2, 3, 4)


@pytest.mark.parametrize(
    ("worker", "expected"), [(None, 100 << 20), (50 << 20, 50 << 20), (1 << 40, 100 << 20)]
)
def test_the_lower_memory_limit_counts(worker: int | None, expected: int) -> None:
    spec = planned("count", {"path": "x"}, workshop=changed(limits=Limits(memory=worker)))
    assert spec.memory_limit == expected


# --- environment


def test_a_task_knows_who_it_is() -> None:
    env = planned("list", {"path": "x"}).environ
    assert {name: value for name, value in env.items() if name.startswith("SENTINEL_")} == {
        "SENTINEL_TASK_ID": "build-42",
        "SENTINEL_RUN": "2",
        "SENTINEL_ATTEMPT": "3",
        "SENTINEL_FENCING_TOKEN": "7",
        "SENTINEL_IDEMPOTENCY_KEY": "build-42:2",
        "SENTINEL_PROGRESS_FILE": planned("list", {"path": "x"}).progress_path,
    }


def test_a_task_gets_the_basics_and_nothing_else() -> None:
    env = planned("list", {"path": "x"}).environ
    assert {name: value for name, value in env.items() if not name.startswith("SENTINEL_")} == {
        "PATH": "/bin",
        "HOME": "/me",
        "LC_ALL": "C",
    }


def test_a_task_gets_what_the_configuration_passes_on() -> None:
    env = planned("list", {"path": "x"}, workshop=changed(pass_env=("EDITOR", "MISSING"))).environ
    assert env["EDITOR"] == "vi"
    assert "MISSING" not in env


@pytest.mark.parametrize(
    "name",
    [
        "GITHUB_TOKEN",
        "GH_TOKEN",
        "GITHUB_APP_TOKEN",
        "SENTINEL_GITHUB_TOKEN",
        "SENTINEL_STORE",
        "github_token",
    ],
)
def test_a_secret_is_not_passed_even_on_request(name: str) -> None:
    environ = {**ENVIRON, name: "secret"}
    env = planned("list", {"path": "x"}, workshop=changed(pass_env=(name,)), environ=environ).environ
    assert "secret" not in env.values()
    assert never_passed(name)


def test_the_environment_cannot_forge_a_tasks_identity() -> None:
    environ = {**ENVIRON, "SENTINEL_FENCING_TOKEN": "999"}
    workshop = changed(pass_env=("SENTINEL_FENCING_TOKEN",))
    assert (
        planned("list", {"path": "x"}, workshop=workshop, environ=environ).environ["SENTINEL_FENCING_TOKEN"]
        == "7"
    )


def test_a_function_finds_this_package_after_the_workers_own_path() -> None:
    env = planned("count", {"path": "x"}, environ={**ENVIRON, "PYTHONPATH": "/own"}).environ
    assert env["PYTHONPATH"] == "/own:/src"


def test_a_command_gets_the_workers_own_python_path_alone() -> None:
    assert "PYTHONPATH" not in planned("list", {"path": "x"}).environ


def test_a_task_has_a_path_even_where_the_worker_has_none() -> None:
    assert planned("list", {"path": "x"}, environ={}).env["PATH"]


def test_an_installed_package_needs_no_help_to_be_found() -> None:
    assert import_path(Path("/venv/lib/site-packages"), ["/venv/lib/site-packages"]) == ()
    assert import_path(Path("/src"), ["/venv/lib/site-packages"]) == ("/src",)
