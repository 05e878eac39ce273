"""What new users tripped over, each as a test."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sentinel.model.codec import encode_document
from sentinel.model.worker import Worker
from tests.cli.conftest import Place, Run

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


def test_a_worker_that_would_take_nothing_is_refused(run: Run) -> None:
    ran = run("worker", "start", "--dry-run", "--types", "nosuch")
    assert ran.status == 2
    assert "would take nothing" in ran.stderr


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
