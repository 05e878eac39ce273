"""Real workers and commands on a web server's repository: a job is done once, whoever is killed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.fleet import until
from tests.process.history import History, problems
from tests.remote import servers
from tests.remote.bench import make_repository
from tests.remote.fleet import RemoteFleet
from tests.remote.proxy import Fault, Proxy

#: Everything ends long before, in seconds.
PATIENCE = 150.0


@pytest.fixture
def fleet(http_proxy: Proxy, repository: Path, tmp_path: Path) -> Iterator[RemoteFleet]:
    """A fleet whose every request goes through the proxy; its store is not made yet."""
    make_repository(repository)
    fleet = RemoteFleet(tmp_path, f"git+http://127.0.0.1:{http_proxy.port}/{repository.name}")
    yield fleet
    http_proxy.set(None)
    fleet.stop_all()


def test_init_twice_doctor_and_tasks_work_on_a_web_server(fleet: RemoteFleet) -> None:
    first = fleet.run("init")
    assert (first.returncode, "Made the branch" in first.stdout) == (0, True), first.stderr
    assert "not encrypted" in first.stderr
    second = fleet.run("init")
    assert (second.returncode, "already" in second.stdout) == (0, True), second.stderr
    assert fleet.run("tasks", "submit", "shell", "--id", "one", "--", "true").returncode == 0
    assert fleet.states() == {"one": "pending"}
    doctor = fleet.run("doctor")
    assert "can be read" in doctor.stdout, doctor.stdout + doctor.stderr


def test_the_printed_bound_counts_the_longer_pauses_between_looks_at_a_far_store(fleet: RemoteFleet) -> None:
    assert fleet.run("init").returncode == 0
    usual = {"SENTINEL_HEARTBEAT_INTERVAL": "30", "SENTINEL_HEARTBEAT_STALE_THRESHOLD": "120"}
    said = fleet.run("doctor", environ=usual).stdout
    found = re.search(r"is free again within ([\d.]+) s", said)
    assert found is not None, said
    # Silence, two of the longest pauses, and a beat that was under way; eight requests come on top.
    assert float(found[1]) >= 120 / 0.9 + 2 * 10 * 1.1 + 15


def test_two_that_make_the_same_store_at_once_make_one(fleet: RemoteFleet) -> None:
    both = [
        subprocess.Popen(fleet.command("init"), env=fleet.environ, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    errors = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors


def test_three_workers_do_every_task_once_through_kills_and_lost_replies(
    fleet: RemoteFleet, http_proxy: Proxy, repository: Path, web: servers.SmartHttp
) -> None:
    before = web.pushes
    assert fleet.run("init").returncode == 0
    ids = [f"t{number}" for number in range(9)]
    for name in ids:
        ran = fleet.run("tasks", "submit", "shell", "--id", name, "--", "sleep", "2")
        assert ran.returncode == 0, ran.stderr
    for worker in ("w1", "w2", "w3"):
        fleet.start_apart(worker)
    until(lambda: "running" in fleet.states().values(), within=PATIENCE, what="a task that runs")
    http_proxy.set(Fault.RESET_AFTER_EFFECT, times=3)
    until(
        lambda: fleet.runs("w1", "sleep"),
        within=PATIENCE,
        what="a task of w1",
    )
    fleet.kill("w1")
    until(
        lambda: set(fleet.states().values()) == {"done"},
        within=PATIENCE,
        what=f"the end of all tasks: {fleet.log('w2')[-2000:]}",
        pause=1.0,
    )
    versions = History(repository).task_versions()
    assert sorted(versions) == ids
    assert problems(versions) == []
    commits, pushes = len(History(repository).subjects()), web.pushes - before
    print(f"{commits} commits, {pushes} pushes for {len(ids)} tasks; {http_proxy.met} replies were lost")
