"""The command line on GitHub: what a person types who has a token and no git."""

from __future__ import annotations

import json
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
    environ |= {"SENTINEL_STORE": STORE, "SENTINEL_STATE_FOLDER": str(tmp_path / "state")}
    (tmp_path / ".env").write_text(f"GITHUB_TOKEN={token('robot')}\n")

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sentinel", *arguments],
            env=environ,
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


def test_a_limit_is_one_sentence_and_status_5_f17(run: Run, proxy: Proxy) -> None:
    proxy.fail(Fault.SECONDARY_RETRY_AFTER, times=None, retry_after=600)
    answered = run("tasks", "list")
    assert answered.returncode == 5
    assert "rate limit" in answered.stderr
    assert "Traceback" not in answered.stderr
