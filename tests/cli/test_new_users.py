"""What new users tripped over, each as a test."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sentinel.cli.context import warn_of_problems
from sentinel.model.codec import encode_document
from sentinel.model.worker import Worker
from tests.cli.conftest import Place, Run, Worked

BAD = [
    ({"tasks": {"commands": {"cw": {"argv": ["wc", "{pth}"], "args": {"path": {"type": "string"}}}}}}, "pth"),
    ({"tasks": {"commands": {"shell": {"argv": ["echo", "hi"]}}}}, "built in"),
    ({"tasks": {"modules": ["nonexist"]}}, "nonexist"),
    ({"distributed": {"loadBalancer": {"strategy": "foo"}}}, "foo"),
]

JOBS = """
import sentinel


@sentinel.task("quick", timeout=7, retries=3)
def quick() -> int:
    return 1
"""


def configured(place: Place, content: dict[str, Any]) -> str:
    folder = place.folder / "config"
    folder.mkdir()
    (folder / "shared.json").write_text(json.dumps(content))
    return str(folder)


@pytest.mark.parametrize(("content", "named"), BAD)
def test_a_worker_that_its_configuration_makes_useless_must_not_be_restarted(
    place: Place, run: Run, content: dict[str, Any], named: str
) -> None:
    ran = run("worker", "start", "--dry-run", "--config", configured(place, content))
    assert ran.status == 78
    assert named in ran.said


@pytest.mark.parametrize(("content", "named"), BAD)
def test_doctor_finds_what_keeps_a_worker_from_starting(
    place: Place, run: Run, content: dict[str, Any], named: str
) -> None:
    ran = run("doctor", "--config", configured(place, content))
    assert ran.status == 78
    assert named in ran.stdout


def test_a_module_named_by_a_flag_is_bad_input(run: Run) -> None:
    assert run("worker", "start", "--dry-run", "--tasks", "nonexist").status == 2


def test_a_worker_says_once_of_each_type_that_there_is_no_code_for_it(run: Run) -> None:
    ran = run("worker", "start", "--dry-run", SUPPORTED_TASK_TYPES="build,shell,compile,build")
    assert ran.status == 0
    told = [line for line in ran.stderr.splitlines() if "there is no code here" in line]
    assert [line.split(" names the task type ")[1].split(",")[0] for line in told] == ["build", "compile"]
    assert all("--tasks" in line and "tasks.commands" in line for line in told)


def test_a_worker_that_takes_nothing_says_so_and_starts(run: Run) -> None:
    ran = run("worker", "start", "--dry-run", "--types", "nosuch")
    assert ran.status == 0
    assert "it takes nothing" in ran.stderr


@pytest.mark.parametrize("command", [["doctor"], ["config", "validate"]])
def test_a_type_without_code_is_a_warning_of_what_checks_the_configuration(
    run: Run, command: list[str]
) -> None:
    ran = run(*command, SUPPORTED_TASK_TYPES="build")
    assert ran.status == 0
    assert "build, for which there is no code here" in ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("option", "value"), [("--region", ""), ("--types", "A B"), ("--max-tasks", "0"), ("--id", "A B")]
)
def test_an_option_with_a_bad_value_is_bad_input(run: Run, option: str, value: str) -> None:
    assert run("worker", "start", "--dry-run", option, value).status == 2


def test_the_same_value_in_the_environment_is_bad_configuration(run: Run) -> None:
    assert run("worker", "start", "--dry-run", SUPPORTED_TASK_TYPES="A B").status == 78


STORES = ["no://x", "github://acme", "git+ssh://host", "file://host/x", "git+https://me:pw@host/x"]


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("command", [["tasks", "list"], ["worker", "start", "--dry-run"]])
def test_a_store_that_can_be_none_is_bad_configuration_wherever_it_is_named(
    run: Run, command: list[str], store: str
) -> None:
    by_flag = run(*command, "--store", store)
    by_variable = run(*command, SENTINEL_STORE=store)
    assert (by_flag.status, by_variable.status) == (78, 78)
    assert by_flag.said.startswith("flag --store")
    assert by_variable.said.startswith("environment SENTINEL_STORE")


def test_a_dry_start_looks_at_the_store(place: Place, run: Run) -> None:
    assert run("worker", "start", "--dry-run", "--store", str(place.folder / "none.git")).status == 5


@pytest.mark.parametrize("duration", ["0", "0m", "-1", "soon"])
def test_a_duration_of_nothing_is_refused(run: Run, duration: str) -> None:
    assert run("worker", "start", "--dry-run", f"--duration={duration}").status == 2


def test_standard_output_may_be_closed(place: Place) -> None:
    command = " ".join([*place.argv("tasks", "submit", "shell", "--id", "t"), "--", "true", ">&-"])
    ran = subprocess.run(
        ["sh", "-c", command],
        env=place.environ,
        cwd=place.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    with place.client() as client:
        assert client.get("t").state == "pending"


def test_a_submitter_that_does_not_know_a_type_uses_what_its_workers_declared(place: Place) -> None:
    (place.folder / "jobs.py").write_text(JOBS)
    environ = {"PYTHONPATH": f"{place.environ['PYTHONPATH']}:{place.folder}"}
    worker = place.process(
        "worker", "start", "--id", "w", "--tasks", "jobs", "--burst", "--types", "quick", **environ
    )
    assert worker.status == 0, worker.stderr
    assert place.process("tasks", "submit", "quick", "--id", "t").status == 0
    with place.client() as client:
        task = client.get("t")
    assert (task.timeout, task.retries) == (7.0, 3)


def test_declared_limits_survive_the_store() -> None:
    worker = Worker(id="w", incarnation="i", hostname="h", limits={"quick": {"timeout": 7.0}}, rev=1, tx="t")
    stored = json.loads(encode_document(worker.document()))
    assert Worker.load("workers/w", stored).limits == {"quick": {"timeout": 7.0}}


def test_the_log_of_a_task_that_printed_nothing_is_empty(place: Place, run: Run) -> None:
    place.submit("t")
    assert place.process("worker", "start", "--id", "w", "--burst").status == 0
    ran = run("tasks", "logs", "t")
    assert (ran.status, ran.stdout) == (0, "")


def test_the_readme_does_not_name_an_id_like_the_output_it_shows() -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    assert "--id hello" not in readme


def test_a_budget_for_no_number_of_tasks_is_refused_naming_the_range(run: Run) -> None:
    ran = run("budget", "--tasks-per-hour", "nan")
    assert (ran.status, ran.said) == (
        2,
        "tasks per hour 'nan' is not valid: use tasks from 0 to 1,000,000",
    )


def test_a_value_that_looks_like_an_option_is_refused_with_the_way_to_give_it(run: Run) -> None:
    ran = run("memory", "set", "k", "-1")
    assert ran.status == 2
    assert "a value that begins with - comes after --" in ran.said


def test_a_section_is_found_by_its_name_in_the_files(run: Run) -> None:
    lines = run("config", "explain", "distributed.memorySync").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [
        "memory_sync.interval",
        "memory_sync.conflict_resolution",
        "memory_sync.cache_size",
    ]


def test_a_setting_is_found_by_the_part_of_its_name_that_one_remembers(run: Run) -> None:
    assert run("config", "explain", "retryAttempts", "-o", "json").json["name"] == "locking.retry_attempts"
    strategy, *_ = run("config", "explain", "loadBalancer").stdout.splitlines()[1:]
    assert strategy.startswith("load_balancer.strategy")


def test_init_refuses_two_places_at_once(place: Place, run: Run) -> None:
    ran = run("init", "--repo", "acme/fleet", "--store", str(place.store))
    assert ran.status == 2
    assert "either --store or --repo" in ran.said


def test_a_time_to_wait_without_waiting_is_refused(run: Run) -> None:
    ran = run("tasks", "submit", "shell", "--wait-timeout", "5", "--", "true")
    assert ran.status == 2
    assert "--wait-timeout goes with --wait" in ran.said


def test_a_position_that_could_not_be_kept_is_refused_before_anything_is_shown(
    place: Place, run: Run
) -> None:
    run("memory", "set", "k", "1")
    ran = run("memory", "watch", "--resume", str(place.folder / "nowhere" / "p"), "--timeout", "0")
    assert (ran.status, ran.stdout) == (2, "")
    assert f"there is no folder {place.folder / 'nowhere'}" in ran.said


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_nobody_is_told_to_make_a_store_where_none_can_be_made(place: Place, run: Run, kind: str) -> None:
    taken = place.folder / "taken"
    if kind == "file":
        taken.write_text("x")
    else:
        taken.mkdir()
        (taken / "thesis.txt").write_text("precious")
    ran = run("tasks", "list", "--store", str(taken))
    assert ran.status == 5
    assert f"--store {taken}`" not in ran.said
    assert "`sentinel init`" in ran.said


def test_a_warning_says_who_gives_it(place: Place) -> None:
    ran = place.process("tasks", "list", "--store", "git+http://127.0.0.1:9/fleet")
    assert [line.split(" ")[0] for line in ran.stderr.splitlines()] == ["sentinel:", "sentinel:"]


@pytest.mark.parametrize(
    ("count", "said"),
    [(1, "1 record cannot be read and was left out"), (2, "2 records cannot be read and were")],
)
def test_records_that_are_left_out_are_counted_in_grammar(
    capsys: pytest.CaptureFixture[str], count: int, said: str
) -> None:
    warn_of_problems(count)
    assert said in capsys.readouterr().err


def test_a_dry_run_does_not_call_a_worker_silent_that_it_has_looked_at_once(place: Place, run: Run) -> None:
    Worked(place)
    ran = run("failover", "run", "--dry-run")
    assert ran.status == 0
    assert "cannot be told yet" in ran.stdout


def test_one_worker_is_not_workers(place: Place, run: Run) -> None:
    Worked(place)
    assert run("workers", "capacity").stdout.splitlines()[-1].endswith("on 1 worker that takes tasks")
