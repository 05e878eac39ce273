"""Fleets that are led: whoever leads is killed with ``kill -9`` while there is more work than slots."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sentinel.client import Client
from sentinel.fleet.submission import Submission
from tests.process.fleet import SHORT, Fleet, until
from tests.process.history import History, problems

TASKS = 30
#: Who runs where; two in one region, so that a leader has an heir.
WORKERS = {"e1": "eu", "e2": "eu", "u1": "us"}
#: Seconds after which a test is given up.
PATIENCE = 120.0


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path, **SHORT)
    yield fleet
    fleet.stop_all()


def holder(client: Client, lock: str) -> str | None:
    return next((found.holder for found in client.locks() if found.name == lock), None)


@pytest.mark.parametrize(
    ("pattern", "lock"), [("master_worker", "coordinator"), ("hierarchical", "leader.eu")]
)
def test_all_work_is_done_exactly_once_although_whoever_leads_is_killed_under_load(
    fleet: Fleet, pattern: str, lock: str
) -> None:
    fleet.environ["SENTINEL_LOAD_BALANCER_PATTERN"] = pattern
    with fleet.client() as client:
        for worker, region in WORKERS.items():
            fleet.start(worker, "--max-tasks", "2", "--region", region)
        until(
            lambda: holder(client, lock) and len(client.workers()) == len(WORKERS),
            within=PATIENCE,
            what="a leader of three workers",
        )
        client.submit_many(
            [
                Submission(type="shell", id=f"t{number:02}", positional=("sleep", "0.5"))
                for number in range(TASKS)
            ]
        )
        victim = str(holder(client, lock))
        until(
            lambda: (
                sum(task.state == "done" for task in client.tasks()) >= TASKS // 6
                and any(task.state == "running" and task.owner == victim for task in client.tasks())
            ),
            within=PATIENCE,
            what="a leader that works, too",
        )
        fleet.kill(victim)
        # Within the stated bound in virtual time: tests/simulation/test_balance.py.
        until(
            lambda: holder(client, lock) not in (None, victim), within=PATIENCE, what="another one that leads"
        )
        heir = holder(client, lock)
        done = client.wait([f"t{number:02}" for number in range(TASKS)], timeout=PATIENCE)
    assert fleet.fallen() == [], "a worker ended by itself"
    fleet.stop_all()

    assert [task.state for task in done] == ["done"] * TASKS
    history = History(fleet.store)
    assert problems(history.task_versions()) == []
    assert history.repeated_transactions() == []
    assert history.live_incarnations() == []
    meant = [line for line in history.subjects() if line.startswith("mean ")]
    assert any(line.endswith(f"by {victim}") for line in meant), "it never led"
    assert any(line.endswith(f"by {heir}") for line in meant), "nobody led after it"
