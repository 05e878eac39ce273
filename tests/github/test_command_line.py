"""The command line on GitHub: what a person types who has a token and no git."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.github.emulator import token
from tests.github.faults import Fault
from tests.github.proxy import Proxy

STORE = "github+api://acme/fleet"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(github_environ: dict[str, str], tmp_path: Path, proxy: Proxy) -> Run:
    """Runs `sentinel` in a folder whose `.env` holds the token."""
    environ = {name: value for name, value in github_environ.items() if name != "GITHUB_TOKEN"}
    environ |= {
        "SENTINEL_STORE": STORE,
        "SENTINEL_STATE_FOLDER": str(tmp_path / "state"),
        # A rhythm that nobody has to wait for; GitHub's limits are kept by the client all the same.
        "SENTINEL_HEARTBEAT_INTERVAL": "5",
        "SENTINEL_HEARTBEAT_STALE_THRESHOLD": "60",
        "SENTINEL_GITHUB_ISSUES_ENABLED": "0",
        "SENTINEL_GITHUB_REQUESTS_PER_HOUR": "0",
    }
    (tmp_path / ".env").write_text(f"GITHUB_TOKEN={token('robot')}\n")

    def call(*arguments: str, path: str | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sentinel", *arguments],
            env={**environ, **more} if path is None else {**environ, "PATH": path},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return call


def test_a_fleet_is_made_and_given_work_by_the_api_alone(run: Run) -> None:
    made = run("init")
    assert (made.returncode, made.stderr) == (0, made.stderr)
    submitted = run("tasks", "submit", "shell", "--id", "one", "--", "true")
    assert submitted.returncode == 0, submitted.stderr
    listed = run("tasks", "list", "-o", "json")
    assert [(task["id"], task["state"]) for task in json.loads(listed.stdout)] == [("one", "pending")]


def test_a_revoked_token_is_one_sentence_and_status_5_f18_b11(run: Run, proxy: Proxy) -> None:
    proxy.tokens.pop(token("robot"))
    answered = run("tasks", "list")
    assert answered.returncode == 5
    assert "GITHUB_TOKEN" in answered.stderr
    assert token("robot") not in answered.stdout + answered.stderr
    assert "Traceback" not in answered.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("github", "limits"),
        ("init", "--repo", "acme/fleet"),
        ("github", "test-connection"),
        ("tasks", "list"),
    ],
    ids=" ".join,
)
def test_without_credentials_every_command_says_so_with_status_78(
    run: Run, tmp_path: Path, proxy: Proxy, arguments: tuple[str, ...]
) -> None:
    (tmp_path / ".env").unlink()
    answered = run(*arguments)
    assert answered.returncode == 78
    said = answered.stdout + answered.stderr
    assert "there are no credentials for GitHub" in said
    assert "GITHUB_TOKEN" in said
    assert proxy.ledger.calls == []


@pytest.mark.parametrize("arguments", [("github", "limits"), ("tasks", "list")], ids=" ".join)
def test_a_wrong_address_of_the_api_is_named_with_its_key(run: Run, arguments: tuple[str, ...]) -> None:
    wrong = "http://127.0.0.1:9/api/v3"
    answered = run(*arguments, GITHUB_API_URL=wrong)
    assert answered.returncode == 5
    # What is not encrypted is warned of before.
    line = answered.stderr.splitlines()[-1]
    assert wrong in line
    assert "check GITHUB_API_URL" in line


def test_a_limit_is_one_sentence_and_status_5_f17(run: Run, proxy: Proxy) -> None:
    proxy.fail(Fault.SECONDARY_RETRY_AFTER, times=None, retry_after=600)
    answered = run("tasks", "list")
    assert answered.returncode == 5
    assert "rate limit" in answered.stderr
    assert "Traceback" not in answered.stderr


def test_a_worker_runs_a_task_with_no_git_on_the_machine(run: Run, tmp_path: Path, proxy: Proxy) -> None:
    (tmp_path / "bin").mkdir()
    for program in ("echo", "sh"):
        found = shutil.which(program)
        assert found is not None
        (tmp_path / "bin" / program).symlink_to(found)
    assert run("init").returncode == 0
    assert run("tasks", "submit", "shell", "--id", "one", "--", "echo", "done by api").returncode == 0
    worked = run("worker", "start", "--id", "worker-1", "--burst", path=str(tmp_path / "bin"))
    assert worked.returncode == 0, worked.stderr
    (task,) = json.loads(run("tasks", "list", "-o", "json").stdout)
    assert (task["state"], task["owner"], task["epoch"]) == ("done", "worker-1", 1)
    assert "done by api" in run("tasks", "logs", "one").stdout
    # It left: nothing is beaten in any more.
    assert proxy.ledger.of("DELETE", "/git/refs/sentinel/sessions/")
    assert proxy.ledger.refused == 0
