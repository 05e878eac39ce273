"""Shared memory among real processes: tasks of real workers, and writers that race for one key."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sentinel.client import Client
from tests.process.fleet import SHORT, Fleet, until

#: Seconds; generous, because it is only ever used up by a failure.
PATIENCE = 60.0

JOBS = """
import os, time
import sentinel

@sentinel.task("count")
def count(key: str, times: int) -> int:
    for _ in range(times):
        counted = sentinel.memory.update(key, lambda value: value + 1, default=0)
    sentinel.memory.set(sentinel.current_task().id, counted.value, "ends", behind=True)
    return counted.value

@sentinel.task("after")
def after() -> object:
    return sentinel.memory.get("count-0", "ends")

@sentinel.task("pair")
def pair() -> object:
    return next(sentinel.memory.watch("go")).entry.value

@sentinel.task("stubborn", retries=0)
def stubborn() -> str:
    # Writes on after its claim is over, as a task of a worker that is cut off would.
    sentinel.memory.set("mine", 1)
    sentinel.memory.set("ready", True)
    while True:
        try:
            sentinel.memory.update("mine", lambda value: value + 1)
        except sentinel.SentinelError as error:
            return type(error).__name__
        time.sleep(0.02)

@sentinel.task("secrets")
def secrets() -> list:
    return sorted(name for name in os.environ if name.startswith("SENTINEL_"))
"""

INCREMENT = """
import sys
import sentinel
from sentinel.client import ClientOptions

with sentinel.Client(sys.argv[1], options=ClientOptions(fsync=False)) as client:
    for _ in range(int(sys.argv[2])):
        client.memory.update("n", lambda value: value + 1, default=0)
"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two workers that run `JOBS`, on one store."""
    folder = tmp_path_factory.mktemp("memory")
    (folder / "memory_jobs.py").write_text(JOBS)
    fleet = Fleet(folder, **SHORT, SENTINEL_MEMORY_SYNC_INTERVAL="0.5")
    for worker in ("w1", "w2"):
        fleet.start(worker, "--tasks", "memory_jobs", "--max-tasks", "2")
    with fleet.client() as client:
        until(
            lambda: sum(row.status in ("online", "busy") for row in client.workers()) == 2,
            within=PATIENCE,
            what="two workers",
        )
    yield fleet
    fleet.stop_all()


@pytest.fixture
def client(fleet: Fleet) -> Iterator[Client]:
    with fleet.client() as client:
        yield client


def log_of(fleet: Fleet) -> str:
    """The last words of the workers, for a failure."""
    return "".join(fleet.log(worker)[-1500:] for worker in fleet.workers)


def test_tasks_that_count_together_lose_nothing_and_what_they_queued_is_there(
    fleet: Fleet, client: Client
) -> None:
    ids = [
        client.submit("count", {"key": "n", "times": 25}, id=f"count-{number}").id for number in range(1, 4)
    ]
    counted = [client.result(name, timeout=PATIENCE) for name in ids]
    assert max(counted) == 75, log_of(fleet)
    assert client.memory.get("n") == 75
    assert [client.memory.get(name, "ends") for name in ids] == counted


def test_a_task_sees_what_the_task_before_it_had_queued(client: Client) -> None:
    client.submit("count", {"key": "before", "times": 1}, id="count-0")
    client.submit("after", id="after-0", after=["count-0"])
    assert client.result("after-0", timeout=PATIENCE) == client.memory.get("count-0", "ends")


def test_a_watch_in_a_task_is_woken_by_a_program(fleet: Fleet, client: Client) -> None:
    client.submit("pair", id="pair")
    numbers = itertools.count(1)

    def told() -> bool:
        # Whether the watch has begun cannot be seen from here: so the key changes until it was seen.
        client.memory.set("go", next(numbers))
        return client.get("pair").ended

    until(told, within=PATIENCE, what=f"the end of the watch: {log_of(fleet)}", pause=0.2)
    assert client.result("pair") in range(1, next(numbers))


def test_a_task_gets_a_socket_and_a_token_and_nothing_of_the_store(client: Client) -> None:
    names = client.result(client.submit("secrets").id, timeout=PATIENCE)
    assert {"SENTINEL_MEMORY_SOCKET", "SENTINEL_MEMORY_TOKEN"} <= set(names)
    assert "SENTINEL_STORE" not in names


def test_a_task_that_was_taken_over_writes_nothing_more(fleet: Fleet, client: Client) -> None:
    client.submit("stubborn", id="stubborn")
    until(lambda: client.memory.get("ready"), within=PATIENCE, what="the first write")
    before = client.get("stubborn")
    assert before.owner is not None
    fleet.signal(before.owner, signal.SIGSTOP)
    until(lambda: client.get("stubborn").epoch > before.epoch, within=PATIENCE, what="the takeover")
    fleet.signal(before.owner, signal.SIGCONT)
    client.cancel("stubborn")
    client.wait("stubborn", timeout=PATIENCE)
    subjects = subprocess.run(
        ["git", "-C", str(fleet.store), "log", "--reverse", "--format=%s", "sentinel/state"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    mine = f"by stubborn epoch {before.epoch} on {before.owner}"
    taken = next(
        place for place, line in enumerate(subjects) if f"claim stubborn epoch {before.epoch + 1}" in line
    )
    assert any(mine in line for line in subjects[:taken])
    assert not any(mine in line for line in subjects[taken:])


def test_processes_that_increment_one_counter_lose_nothing(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    running = [
        subprocess.Popen([sys.executable, "-c", INCREMENT, str(fleet.store), "100"], env=fleet.environ)
        for _ in range(8)
    ]
    assert [process.wait(4 * PATIENCE) for process in running] == [0] * 8
    with fleet.client() as client:
        assert client.memory.get("n") == 800
