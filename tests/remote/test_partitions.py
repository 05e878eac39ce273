"""Three peers on machines of their own, and what networks do to them: one fleet lives through it all."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from sentinel.client import Client
from sentinel.fleet.submission import Submission
from sentinel.model.lease import LeaseTimes
from sentinel.model.task import Task
from tests.conftest import Require
from tests.process.fleet import until
from tests.process.history import History, problems
from tests.remote import servers
from tests.remote.bench import make_repository
from tests.remote.fleet import RemoteFleet
from tests.remote.netns import Network, network, why_not
from tests.remote.proxy import Fault, Proxy, proxy

WORKERS = ("w1", "w2", "w3")
TIMES = LeaseTimes(3, 15)
#: Seconds; generous, because it is only ever used up by a failure.
PATIENCE = 120.0

#: The first attempt waits until somebody lets it go; a later one is done at once.
SCRIPT = """
[ "$SENTINEL_FENCING_TOKEN" -gt 1 ] || until [ -e "$1/$SENTINEL_TASK_ID" ]; do sleep 0.1; done
echo "$SENTINEL_FENCING_TOKEN"
"""


class World:
    """The network, the peers on it, and an observer at the server who is not part of either."""

    def __init__(
        self, repository: Path, *, net: Network, entrance: Proxy, fleet: RemoteFleet, client: Client
    ) -> None:
        self.net = net
        self.entrance = entrance
        self.fleet = fleet
        self.client = client
        self.history = History(repository)
        self._gone = fleet.folder / "let-go"
        self._gone.mkdir()
        self._numbers = itertools.count(1)

    def submit(self, count: int) -> list[str]:
        """Hand in tasks that wait to be let go; their ids."""
        ids = [f"t{next(self._numbers):02}" for _ in range(count)]
        self.client.submit_many(
            [
                Submission(type="shell", id=name, positional=("sh", "-c", SCRIPT, "sh", str(self._gone)))
                for name in ids
            ]
        )
        return ids

    def running(self, ids: Sequence[str]) -> dict[str, list[str]]:
        """Worker → its tasks, as soon as all of these run."""

        def all_run() -> bool:
            return all(self._started(task) for task in self.tasks(ids))

        until(all_run, within=PATIENCE, what=f"{ids} to run", pause=0.2)
        owners: dict[str, list[str]] = {name: [] for name in WORKERS}
        for task in self.tasks(ids):
            owners[task.owner or ""].append(task.id)
        return owners

    def _started(self, task: Task) -> bool:
        return task.state == "running" and bool(self.fleet.runs(task.owner or "", "sh"))

    def tasks(self, ids: Sequence[str]) -> list[Task]:
        """Their records now."""
        return [task for task in self.client.tasks() if task.id in ids]

    def let_go(self, *ids: str) -> None:
        """Let the first attempts of these end."""
        for name in ids:
            (self._gone / name).touch()

    def finished(self, ids: Sequence[str]) -> dict[str, int]:
        """Task → epoch of its one result, when all have ended; what the history shows is judged."""
        until(
            lambda: all(task.ended for task in self.tasks(ids)),
            within=PATIENCE,
            what=f"the end of {ids}: {self.logs()}",
            pause=0.2,
        )
        versions = self.history.task_versions()
        assert problems({name: versions[name] for name in ids}) == []
        assert self.history.repeated_transactions() == []
        return {name: versions[name][-1]["epoch"] for name in ids}

    def wait_for_log(self, worker: str, words: str, *, times: int = 1) -> None:
        """Wait until a worker has said something so many times."""
        until(
            lambda: self.fleet.log(worker).count(words) >= times,
            within=PATIENCE,
            what=f"{worker} to say {words!r} {times} times: {self.logs()}",
        )

    def logs(self) -> str:
        """The end of what each worker said."""
        return "\n".join(f"{name}: ...{self.fleet.log(name)[-1500:]}" for name in WORKERS)


@pytest.fixture(scope="module")
def the_world(
    require: Require,
    root: Path,
    http_server: servers.SmartHttp,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    reason = why_not()
    require("netns", reason is None, reason or "")
    folder, repository = tmp_path_factory.mktemp("partitions"), root / "partitions.git"
    make_repository(repository)
    with contextlib.ExitStack() as stack:
        net = stack.enter_context(network(*WORKERS))
        entrance = stack.enter_context(proxy(http_server.port, net.listen()))
        url = f"git+http://{net.SERVER}:{entrance.port}/{repository.name}"
        fleet = RemoteFleet(
            folder,
            url,
            SENTINEL_HEARTBEAT_INTERVAL=f"{TIMES.interval:g}",
            SENTINEL_HEARTBEAT_STALE_THRESHOLD=f"{TIMES.stale:g}",
        )
        beside = f"git+{repository.as_uri()}"
        assert fleet.run("init", "--store", beside).returncode == 0
        client = stack.enter_context(Client(beside, state_folder=folder / "observer"))
        stack.callback(shutil.rmtree, repository, ignore_errors=True)
        stack.callback(fleet.stop_all)
        stack.callback(net.heal)
        for name in WORKERS:
            fleet.start_apart(name, prefix=net.prefix(name))
        yield World(repository, net=net, entrance=entrance, fleet=fleet, client=client)


@pytest.fixture
def world(the_world: World) -> Iterator[World]:
    """The world with all of its peers at work and nothing in their way."""

    def all_beat() -> bool:
        return {row.id for row in the_world.client.workers() if row.status == "online"} == set(WORKERS)

    until(all_beat, within=PATIENCE, what=f"three peers that beat: {the_world.logs()}", pause=0.2)
    yield the_world
    the_world.net.heal()
    the_world.entrance.set(None)
    assert the_world.fleet.fallen() == []


def test_a_partition_shorter_than_the_lease_takes_nothing_away_f5(world: World) -> None:
    ids = world.submit(3)
    owners = world.running(ids)
    cut = next(name for name in WORKERS if owners[name])
    before = len(world.history.notes())
    world.net.cut(cut)
    time.sleep(3.0)
    world.net.heal()
    world.let_go(*ids)
    assert set(world.finished(ids).values()) == {1}
    assert not [note for note in world.history.notes()[before:] if note.startswith("fail over")]


def test_one_that_is_cut_off_for_long_ends_its_work_before_others_take_it_and_comes_back_anew_f6(
    world: World,
) -> None:
    ids = world.submit(6)
    owners = world.running(ids)
    cut = next(name for name in WORKERS if len(owners[name]) == 2)
    ends, stays = owners[cut]
    joined = world.fleet.log(cut).count("joined as")
    world.net.cut(cut)
    # One of its tasks ends by itself, and the result cannot be told to anybody.
    world.let_go(ends, *(name for name in ids if name not in owners[cut]))

    def taken_over() -> bool:
        return any(note.startswith(f"fail over {cut} ") for note in world.history.notes())

    until(taken_over, within=PATIENCE, what=f"the takeover of {cut}: {world.logs()}")
    assert world.fleet.runs(cut, "sh") == [], "what it ran goes on when others may run it"
    epochs = world.finished(ids)
    assert (epochs[ends], epochs[stays]) == (2, 2)
    world.net.heal()
    world.wait_for_log(cut, "joined as", times=joined + 1)
    assert "is fenced" in world.fleet.log(cut)
    assert world.finished(ids) == epochs


def test_pushes_whose_replies_are_lost_all_the_time_are_each_counted_once_f7(world: World) -> None:
    world.net.cut_replies_to_pushes("w2")
    ids = world.submit(6)
    assert len(world.running(ids)["w2"]) == 2
    world.let_go(*ids)
    world.finished(ids)
    assert world.net.dropped > 0


def test_pushes_whose_replies_are_reset_are_each_counted_once_f8(world: World) -> None:
    before = world.entrance.met
    world.entrance.set(Fault.RESET_AFTER_EFFECT, times=6)
    ids = world.submit(6)
    world.let_go(*ids)
    world.finished(ids)
    assert world.entrance.met > before


def test_when_the_store_was_down_for_long_every_peer_ends_its_work_and_recovers_by_itself_f9(
    world: World,
) -> None:
    ids = world.submit(3)
    owners = world.running(ids)
    before = len(world.history.notes())
    said = {name: world.fleet.log(name).count("joined as") for name in WORKERS}
    fenced = {name: world.fleet.log(name).count("is fenced") for name in WORKERS}
    world.net.refuse()
    down = time.monotonic()
    world.let_go(ids[0])
    for name in WORKERS:
        world.wait_for_log(name, "is fenced", times=fenced[name] + 1)
    until(
        lambda: not any(world.fleet.runs(name, "sh") for name in WORKERS),
        within=PATIENCE,
        what="the end of all tasks",
    )
    time.sleep(max(0.0, down + TIMES.stale + 1.0 - time.monotonic()))
    world.net.heal()
    for name in WORKERS:
        world.wait_for_log(name, "joined as", times=said[name] + 1)
    epochs = world.finished(ids)
    assert (epochs[ids[1]], epochs[ids[2]]) == (2, 2)
    # What ended in time was kept, and told when the store was back, unless a takeover came first.
    (owner,) = (name for name in WORKERS if ids[0] in owners[name])
    failed_over = any(note.startswith(f"fail over {owner} ") for note in world.history.notes()[before:])
    assert epochs[ids[0]] == (2 if failed_over else 1)


def test_a_peer_on_a_line_of_64_kbit_a_second_is_slow_and_nothing_else_f10(world: World) -> None:
    fenced = world.fleet.log("w3").count("is fenced")
    world.net.slow_down("w3", "64kbit")
    ids = world.submit(6)
    assert len(world.running(ids)["w3"]) == 2
    world.let_go(*ids)
    assert set(world.finished(ids).values()) == {1}
    assert world.fleet.log("w3").count("is fenced") == fenced


def test_the_namespaces_are_gone_when_the_network_is(require: Require) -> None:
    reason = why_not()
    require("netns", reason is None, reason or "")
    with network("a", "b") as net:
        assert net._server in namespaces()
        mark = net._server
    assert not [name for name in namespaces() if name.startswith(mark)]


def namespaces() -> list[str]:
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in listed.splitlines()]
