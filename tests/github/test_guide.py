"""The multi-worker guide on GitHub, as it stands: files, variables and troubleshooting commands."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import guide
from tests.github.emulator import OWNER, REPO, token
from tests.github.proxy import Proxy
from tests.process.fleet import Fleet, until

JOBS = """
import sentinel

@sentinel.task("build")
def build() -> str:
    return "built"
"""


class GuideFleet(Fleet):
    """Workers of the repository that ``GITHUB_OWNER`` and ``GITHUB_REPO`` name."""

    def __init__(self, folder: Path, *, api: str, server: str) -> None:
        self.folder = folder
        theirs = ("SENTINEL_", "WORKER_", "GITHUB_")
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(theirs)},
            "GITHUB_OWNER": OWNER,
            "GITHUB_REPO": REPO,
            "GITHUB_TOKEN": token("robot"),
            # Where this GitHub is, that it has no limits, and where the code of a task is.
            "GITHUB_API_URL": api,
            "GITHUB_SERVER_URL": server,
            "SENTINEL_GITHUB_PUSHES_PER_MINUTE": "0",
            "SENTINEL_GITHUB_READS_PER_SECOND": "0",
            "SENTINEL_GITHUB_REQUESTS_PER_HOUR": "0",
            "SENTINEL_TASKS_MODULES": "jobs",
            "SENTINEL_STATE_FOLDER": str(folder / "state"),
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).resolve().parents[2]), str(folder)]),
        }
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.logs = folder / "worker-logs"
        self.logs.mkdir()
        (folder / "jobs.py").write_text(JOBS)


@pytest.fixture
def fleet(tmp_path: Path, proxy: Proxy, github_git: str) -> Iterator[GuideFleet]:
    fleet = GuideFleet(tmp_path, api=proxy.url, server=github_git)
    guide.write_files(tmp_path)
    yield fleet
    fleet.stop_all()


def test_the_files_of_the_guide_make_a_fleet_on_github_and_its_first_diagnosis_finds_it_well(
    fleet: GuideFleet,
) -> None:
    made = fleet.run("init")
    assert made.returncode == 0, made.stderr
    for worker in guide.WORKERS:
        # Each as if on a machine of its own.
        fleet.start(worker, environ={"SENTINEL_STATE_FOLDER": str(fleet.folder / f"state-{worker}")})
    for worker in guide.WORKERS:
        until(lambda name=worker: f"joined as {name}" in fleet.log(name), within=90, what=worker)  # type: ignore[misc]  # mypy cannot type defaults of a lambda
    built = fleet.run("tasks", "submit", "build", "--wait", "--wait-timeout", "90")
    assert built.returncode == 0, built.stderr
    # The others ask the same store in the same way, and are tried on a local one.
    said = {" ".join(args): fleet.run(*args) for args in guide.TROUBLESHOOTING[:2]}
    assert {args: ran.returncode for args, ran in said.items()} == dict.fromkeys(said, 0)
    assert all(worker in said["workers list"].stdout for worker in guide.WORKERS)
    assert f"{OWNER}/{REPO}" in said["github test-connection"].stdout
    assert not any(token("robot") in ran.stdout + ran.stderr for ran in said.values())
