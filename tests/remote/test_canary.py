"""A worker and commands with a token in their environment: where it never is [B11]."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.process.fleet import until
from tests.remote import servers
from tests.remote.bench import make_repository
from tests.remote.fleet import RemoteFleet
from tests.remote.test_credentials import CANARY, command_lines

#: Seconds; generous, because it is only ever used up by a failure.
PATIENCE = 120.0


def test_the_token_of_a_worker_is_in_no_log_result_process_list_or_file(
    web: servers.SmartHttp, repository: Path, tmp_path: Path
) -> None:
    web.password = CANARY
    make_repository(repository)
    url = f"git+http://127.0.0.1:{web.port}/{repository.name}"
    fleet = RemoteFleet(tmp_path, url, GITHUB_TOKEN=CANARY, SENTINEL_LOG_LEVEL="debug")
    told = [fleet.run("init")]
    fleet.start_apart("w1")
    try:
        script = "env; cat /proc/$PPID/cmdline"
        told.append(
            fleet.run(
                "tasks", "submit", "shell", "--id", "t", "--wait", "--", "sh", "-c", script, timeout=PATIENCE
            )
        )
        told += [
            fleet.run("tasks", "logs", "t"),
            fleet.run("tasks", "show", "t", "-o", "json"),
            fleet.run("doctor", "-o", "json"),
            fleet.run("config", "show"),
        ]
        lines = command_lines()
        # A token that is not valid any more is complained of, and not repeated.
        web.password = "another"
        until(lambda: "did not take" in fleet.log("w1"), within=PATIENCE, what="a complaint")
        told.append(fleet.run("tasks", "list"))
        assert told[-1].returncode == 5
    finally:
        web.password = CANARY
        fleet.stop_all()
    assert "PATH=" in told[2].stdout, told
    assert CANARY not in lines
    for ran in told:
        assert CANARY not in ran.stdout + ran.stderr, ran.args
    for place in (tmp_path, repository):
        for file in place.rglob("*"):
            assert not file.is_file() or CANARY.encode() not in file.read_bytes(), file
    history = subprocess.run(
        ["git", "-C", str(repository), "log", "--all", "-p"], capture_output=True, text=True, check=True
    )
    assert "claim t epoch 1 by w1" in history.stdout
    assert CANARY not in history.stdout


@pytest.mark.parametrize(
    "command", [("tasks", "list"), ("doctor",), ("init",), ("worker", "start", "--id", "w")]
)
def test_no_command_repeats_a_token_in_a_url(tmp_path: Path, command: tuple[str, ...]) -> None:
    fleet = RemoteFleet(tmp_path, "git+file:///nowhere")
    ran = fleet.run(*command, "--store", f"git+https://me:{CANARY}@127.0.0.1:1/fleet.git")
    assert ran.returncode in (2, 78)
    assert CANARY not in ran.stdout + ran.stderr
