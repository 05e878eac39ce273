"""Eight peers over HTTP and ssh, which are killed, on lines that fail: everything is done once.

`SENTINEL_LONG=1 python -m pytest -s tests/remote/test_campaign.py` lets them do 500 tasks, and prints what it
costs; SENTINEL_SEED=N chooses other kills and faults.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from sentinel.client import Client
from sentinel.fleet.submission import Submission
from tests.process.history import History, problems
from tests.remote import servers
from tests.remote.bench import make_repository
from tests.remote.conftest import LONG
from tests.remote.fleet import RemoteFleet
from tests.remote.proxy import Fault, Proxy

SEED = int(os.environ.get("SENTINEL_SEED", "20261125"))
TASKS = 500 if LONG else 48
#: Seconds between two kills, and how many there are at most.
KILL_EVERY, KILLS = (12.0, 20) if LONG else (4.0, 2)
#: Exit status of a worker that cannot reach the store when it starts.
STORE_AWAY = 5
#: Seconds between two faults of each line.
FAULT_EVERY = 1.0
OVER_HTTP, OVER_SSH = ("h1", "h2", "h3", "h4"), ("s1", "s2", "s3", "s4")
#: Seconds for everything; only ever used up by a failure.
PATIENCE = 1500.0 if LONG else 300.0

#: What happens to the next connection or push on a line; ssh hides from the proxy what a push is.
HTTP_FAULTS = (
    Fault.RESET,
    Fault.RESET_BEFORE_EFFECT,
    Fault.RESET_AFTER_EFFECT,
    Fault.BAD_GATEWAY_AFTER_EFFECT,
    Fault.UNAVAILABLE,
    Fault.HTML,
    Fault.SILENT_AFTER_EFFECT,
)


@pytest.fixture
def fleet(repository: Path, tmp_path: Path) -> Iterator[RemoteFleet]:
    make_repository(repository)
    store = f"git+{repository.as_uri()}"
    fleet = RemoteFleet(tmp_path, store, SENTINEL_LOG_LEVEL="debug")
    assert fleet.run("init").returncode == 0
    yield fleet
    fleet.stop_all()


def test_eight_peers_over_http_and_ssh_do_every_task_once_through_kills_and_faults(
    fleet: RemoteFleet,
    repository: Path,
    http_proxy: Proxy,
    ssh_proxy: Proxy,
    ssh_server: servers.Sshd,
    tmp_path: Path,
) -> None:
    rng = random.Random(SEED)
    ids = [f"t{number:03}" for number in range(TASKS)]
    over_http = f"git+http://127.0.0.1:{http_proxy.port}/{repository.name}"
    over_ssh = f"git+ssh://{ssh_server.user}@127.0.0.1:{ssh_proxy.port}{repository}"
    starts = itertools.count(1)

    def start(name: str) -> None:
        environ = {"SENTINEL_STORE": over_http}
        if name in OVER_SSH:
            # Each start has a connection of its own, which all of its calls share.
            command = ssh_server.command(multiplexed=f"{name}-{next(starts)}")
            environ = {"SENTINEL_STORE": over_ssh, "GIT_SSH_COMMAND": command}
        fleet.start_apart(name, "--max-tasks", "3", environ=environ)

    began = time.monotonic()
    kills = 0
    with Client(fleet.url, state_folder=tmp_path / "observer") as client:
        client.submit_many(
            [
                Submission(type="shell", id=name, positional=("sleep", f"{rng.uniform(0.1, 1.5):.2f}"))
                for name in ids
            ]
        )
        for name in (*OVER_HTTP, *OVER_SSH):
            start(name)
        next_kill = began + KILL_EVERY
        while not all(task.ended for task in client.tasks()):
            now = time.monotonic()
            assert now - began < PATIENCE, Counter(task.state for task in client.tasks())
            trouble(rng, http_proxy, ssh_proxy)
            for name in [name for name, process in fleet.workers.items() if process.poll() == STORE_AWAY]:
                # It met a fault when it was about to begin; whatever looks after services starts it again.
                fleet.workers.pop(name)
                start(name)
            if now >= next_kill and kills < KILLS:
                running = sorted({task.owner or "" for task in client.tasks() if task.state == "running"})
                if running:
                    victim = rng.choice(running)
                    fleet.kill(victim)
                    start(victim)
                    kills, next_kill = kills + 1, now + KILL_EVERY
            time.sleep(FAULT_EVERY)
    took = time.monotonic() - began
    http_proxy.set(None)
    fallen = [line for line in fleet.fallen() if f": exit {STORE_AWAY}:" not in line]
    assert fallen == [], "a worker ended by itself"
    fleet.stop_all()

    history = History(repository)
    versions = history.task_versions()
    assert sorted(versions) == ids
    assert problems(versions) == []
    assert history.repeated_transactions() == []
    assert kills
    assert http_proxy.met
    lost = sum(chain[-1]["losses"] for chain in versions.values())
    report(fleet, commits=len(history.subjects()), took=took)
    print(f"{kills} kills lost {lost} runs; {http_proxy.met} faults on the HTTP line; seed {SEED}")


def trouble(rng: random.Random, http_proxy: Proxy, ssh_proxy: Proxy) -> None:
    """Something happens to one of the lines, or nothing does."""
    luck = rng.random()
    if luck < 0.4:
        http_proxy.set(rng.choice(HTTP_FAULTS), times=1)
    elif luck < 0.45:
        http_proxy.cut()
    elif luck < 0.5:
        ssh_proxy.cut()


def report(fleet: RemoteFleet, *, commits: int, took: float) -> None:
    """What it cost, as the workers' own logs have it: those that were killed included."""
    pushes = 0
    answers: Counter[tuple[str, str]] = Counter()
    for log in fleet.logs.iterdir():
        for told in re.findall(r" pushed (refs/.*)", log.read_text()):
            pushes += 1
            for ref, answer in re.findall(r"(refs/\S+) (\w+)", told):
                kind = "state" if ref.endswith("/state") else ref.split("/")[2]
                answers[kind, answer] += 1
    contested = sum(answers["state", answer] for answer in ("moved", "contested"))
    print(
        f"{TASKS} tasks by {len(OVER_HTTP)} peers over HTTP and {len(OVER_SSH)} over ssh in {took:.0f} s: "
        f"{commits} commits, {contested / commits:.2f} conflicts a commit, {pushes / TASKS:.1f} pushes a task"
    )
    for (kind, answer), number in sorted(answers.items()):
        print(f"  {kind} {answer}: {number}")
