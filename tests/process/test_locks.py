"""Named locks between processes: one winner, kept while the command runs, freed when its holder is gone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import psutil
import pytest

from sentinel.client import Client
from sentinel.errors import LockHeld
from tests.process.fleet import SHORT, Fleet, alive, until

Hold = Callable[..., "Holder"]

RACERS = 8
ROUNDS = 200


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path, **SHORT)
    yield fleet
    fleet.stop_all()


class Holder:
    """A ``locks run`` in the background; its error output goes to a file."""

    def __init__(self, fleet: Fleet, *args: str) -> None:
        self._errors = fleet.folder / "holder.err"
        with self._errors.open("w") as errors:
            self.process = subprocess.Popen(
                fleet.command("locks", "run", *args),
                env=fleet.environ,
                cwd=fleet.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )

    def wait(self) -> int:
        return self.process.wait(30)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    def sleeping(self) -> list[psutil.Process]:
        try:
            below = psutil.Process(self.process.pid).children(recursive=True)
            return [process for process in below if process.name() == "sleep"]
        except psutil.NoSuchProcess:
            return []


@pytest.fixture
def hold(fleet: Fleet) -> Iterator[Hold]:
    """Starts a holder, and waits until its command runs under the lock."""
    holders: list[Holder] = []

    def start(*args: str) -> Holder:
        holder = Holder(fleet, *args)
        holders.append(holder)
        until(holder.sleeping, within=30, what="the command under the lock")
        return holder

    yield start
    for holder in holders:
        if holder.process.poll() is None:
            holder.kill()


def race(store: str, state: str, barrier: Barrier, results: Any) -> None:
    """One racer: a person's command line, in a process that lives through all rounds."""
    os.environ["SENTINEL_STATE_FOLDER"] = state
    os.environ["SENTINEL_LOCAL_FSYNC"] = "0"
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    from sentinel.cli import main

    for number in range(ROUNDS):
        # Every other round is for a lock that was held and released before, the rest for a new one.
        name = "again" if number % 2 else f"new-{number}"
        barrier.wait(60)
        status = run(main, "--store", store, "locks", "acquire", name, "--wait", "0")
        results.put((number, status))
        barrier.wait(60)
        if status == 0:
            run(main, "--store", store, "locks", "release", name, "--force")


def run(main: Any, *args: str) -> Any:
    try:
        main(list(args))
    except SystemExit as status:
        return status.code
    return 0


def test_of_eight_processes_that_race_for_a_lock_one_has_it_in_each_of_200_rounds(fleet: Fleet) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(RACERS), context.Queue()
    processes = [
        context.Process(target=race, args=(str(fleet.store), str(fleet.folder / "state"), barrier, results))
        for _ in range(RACERS)
    ]
    for process in processes:
        process.start()
    statuses: dict[int, list[int]] = {number: [] for number in range(ROUNDS)}
    for _ in range(RACERS * ROUNDS):
        number, status = results.get(timeout=120)
        statuses[number].append(status)
    for process in processes:
        process.join(60)
    assert {tuple(sorted(found)) for found in statuses.values()} == {(0,) + (4,) * (RACERS - 1)}


def test_the_command_has_the_callers_streams_and_its_status_is_passed_on(fleet: Fleet) -> None:
    ran = subprocess.run(
        fleet.command("locks", "run", "x", "--", "sh", "-c", "cat; echo $SENTINEL_FENCING_TOKEN >&2; exit 7"),
        env=fleet.environ,
        input="from the caller",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr.strip()) == (7, "from the caller", "1")


def test_a_lock_that_is_held_cannot_be_had_and_can_be_waited_for(fleet: Fleet, hold: Hold) -> None:
    holder = hold("x", "--", "sleep", "6")
    refused = fleet.run("locks", "run", "x", "--", "true")
    waited = fleet.run("locks", "run", "x", "--wait", "30", "--", "true")
    assert refused.returncode == 4
    assert "held by" in refused.stderr
    assert waited.returncode == 0
    assert holder.wait() == 0


def test_a_command_whose_lock_is_taken_away_is_ended(fleet: Fleet, hold: Hold) -> None:
    holder = hold("x", "--", "sleep", "300")
    command = holder.sleeping()
    with fleet.client() as client:
        client.release_lock("x", force=True)
    assert holder.wait() == 4
    assert not any(alive(process) for process in command)
    assert "was lost" in holder.errors


def test_the_lock_of_a_killed_holder_is_free_at_once_by_proof_of_death(fleet: Fleet, hold: Hold) -> None:
    holder = hold("x", "--ttl", "60", "--", "sleep", "300")
    command = holder.sleeping()
    holder.kill()
    with fleet.client() as client:
        until(lambda: acquires(client, "x"), within=15, what="the lock to be free")
    assert not any(alive(process) for process in command)


def test_without_proof_the_lock_of_a_killed_holder_is_free_after_w_and_not_before(
    fleet: Fleet, hold: Hold
) -> None:
    fleet.environ["SENTINEL_FAILOVER_LOCAL_PROOF"] = "0"
    hold("x", "--ttl", "8", "--", "sleep", "300").kill()
    # Longer than this host's own stale threshold of 5 s: the announced TTL of 8 s is what counts.
    early = fleet.run("locks", "acquire", "x", "--wait", "6.5")
    late = fleet.run("locks", "acquire", "x", "--wait", "30")
    assert early.returncode == 4
    assert late.returncode == 0


def test_a_ticket_is_free_after_its_ttl_and_not_before(fleet: Fleet) -> None:
    assert fleet.run("locks", "acquire", "x", "--ttl", "6").returncode == 0
    early = fleet.run("locks", "acquire", "x", "--wait", "4")
    late = fleet.run("locks", "acquire", "x", "--wait", "30")
    assert early.returncode == 4
    assert late.returncode == 0


def test_a_renewed_ticket_lives_on(fleet: Fleet) -> None:
    assert fleet.run("locks", "acquire", "x", "--ttl", "5").returncode == 0
    assert fleet.run("locks", "acquire", "x", "--wait", "3").returncode == 4
    assert fleet.run("locks", "renew", "x", "--epoch", "1").returncode == 0
    assert fleet.run("locks", "acquire", "x", "--wait", "3").returncode == 4
    assert fleet.run("locks", "release", "x", "--epoch", "1").returncode == 0
    assert fleet.run("locks", "acquire", "x").returncode == 0


def acquires(client: Client, name: str) -> bool:
    try:
        client.acquire_lock(name, ttl=60)
    except LockHeld:
        return False
    return True
