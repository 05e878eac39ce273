"""How long the work of a peer that is killed lies idle, where others can only see its silence.

`SENTINEL_LONG=1 python -m pytest -s tests/remote/test_takeover.py` kills fifty, and prints the distribution.
"""

from __future__ import annotations

import random
import re
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from sentinel.client import Client
from sentinel.fleet.submission import Submission
from sentinel.model.task import Task
from tests.process.fleet import until
from tests.process.history import History, problems
from tests.remote import servers
from tests.remote.bench import make_repository
from tests.remote.conftest import LONG
from tests.remote.fleet import RemoteFleet

WORKERS = ("w1", "w2", "w3", "w4")
#: So many beat before one is killed; the one before it may still be on its way back.
ENOUGH = 3
KILLS = 50 if LONG else 1
#: As short as a busy machine bears, and valid: D is 11.3 s.
INTERVAL, STALE = "3", "15"
#: Seconds between two looks of the test, each of which is a process; its figures are off by as much.
LOOK_EVERY = 0.25
#: Seconds; generous, because it is only ever used up by a failure.
PATIENCE = 120.0

#: The first attempt never ends by itself before it is let go; a later one is done at once.
SCRIPT = '[ "$SENTINEL_FENCING_TOKEN" -gt 1 ] || until [ -e "$1" ]; do sleep 0.2; done'


@pytest.fixture
def fleet(web: servers.SmartHttp, repository: Path, tmp_path: Path) -> Iterator[RemoteFleet]:
    make_repository(repository)
    fleet = RemoteFleet(
        tmp_path,
        f"git+http://127.0.0.1:{web.port}/{repository.name}",
        SENTINEL_HEARTBEAT_INTERVAL=INTERVAL,
        SENTINEL_HEARTBEAT_STALE_THRESHOLD=STALE,
    )
    assert fleet.run("init").returncode == 0
    yield fleet
    fleet.stop_all()


@pytest.fixture
def observer(repository: Path, tmp_path: Path, fleet: RemoteFleet) -> Iterator[Client]:
    """Looks at the repository from beside it."""
    del fleet  # the repository is there when it is
    with Client(f"git+{repository.as_uri()}", state_folder=tmp_path / "observer") as client:
        yield client


def test_the_work_of_a_killed_peer_is_claimed_by_another_within_the_printed_bound(
    fleet: RemoteFleet, observer: Client, repository: Path
) -> None:
    rng = random.Random(20261125)
    for name in WORKERS:
        fleet.start_apart(name, "--max-tasks", "8")
    enough_at_work(fleet, observer)
    seconds: list[float] = []
    bounds: list[float] = []
    late = 0
    for number in range(KILLS):
        taken, bound = one_kill(fleet, observer, rng, number)
        seconds.append(taken)
        bounds.append(bound)
        late += taken > bound
        print(f"kill {number + 1} of {KILLS}: {taken:.2f} s of {bound:.1f} s", flush=True)
    seconds.sort()
    print(
        f"takeover after {len(seconds)} kills: min {seconds[0]:.2f} s, "
        f"median {statistics.median(seconds):.2f} s, max {seconds[-1]:.2f} s; "
        f"printed bound {min(bounds):.1f} to {max(bounds):.1f} s, {KILLS - late} of {KILLS} within it "
        f"(a beat every {INTERVAL} s, dead after {STALE} s of silence)"
    )
    assert problems(History(repository).task_versions()) == []
    assert len(seconds) == KILLS
    assert not late


def printed_bound(fleet: RemoteFleet) -> float:
    """What `sentinel doctor` says, in seconds."""
    said = fleet.run("doctor")
    found = re.search(r"is free again within ([\d.]+) s", said.stdout)
    assert found is not None, said.stdout + said.stderr
    return float(found[1])


def one_kill(fleet: RemoteFleet, observer: Client, rng: random.Random, number: int) -> tuple[float, float]:
    """Kill a peer that runs something; seconds from then until others had claimed all of it, and the bound.

    The bound holds for a connection as it is now, so it is asked for while the others watch the silence.
    """
    ids = [f"t{number:02}-{index}" for index in range(ENOUGH)]
    go = fleet.folder / f"go-{number}"
    observer.submit_many(
        [Submission(type="shell", id=name, positional=("sh", "-c", SCRIPT, "sh", str(go))) for name in ids]
    )

    def all_run() -> bool:
        return all(task.state == "running" for task in chosen(observer, ids))

    until(all_run, within=PATIENCE, what="all tasks to run", pause=LOOK_EVERY)
    owners = {task.id: task.owner or "" for task in chosen(observer, ids)}
    victim = rng.choice(sorted(set(owners.values())))
    fleet.kill(victim)
    killed_at = time.monotonic()
    bound = printed_bound(fleet)

    def claimed_by_others() -> bool:
        return all(task.epoch == 2 for task in chosen(observer, ids) if owners[task.id] == victim)

    until(claimed_by_others, within=PATIENCE, what=f"the takeover of {victim}", pause=LOOK_EVERY)
    taken = time.monotonic() - killed_at
    go.touch()
    fleet.start_apart(victim, "--max-tasks", "8")
    enough_at_work(fleet, observer)

    def over() -> bool:
        return all(task.ended for task in chosen(observer, ids))

    until(over, within=PATIENCE, what="the end of all tasks", pause=LOOK_EVERY)
    return taken, bound


def chosen(observer: Client, ids: Sequence[str]) -> list[Task]:
    return [task for task in observer.tasks() if task.id in ids]


def enough_at_work(fleet: RemoteFleet, observer: Client) -> None:
    def online() -> bool:
        return sum(row.status in ("online", "busy") for row in observer.workers()) >= ENOUGH

    until(online, within=PATIENCE, what="peers that beat", pause=LOOK_EVERY)
    assert fleet.fallen() == []
