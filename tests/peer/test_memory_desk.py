"""The desk that serves tasks through a real socket, on a store in memory."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sentinel.clock import SystemClock
from sentinel.errors import BadInput, ClaimLost, Conflict, Unavailable
from sentinel.fleet.pacing import Rhythm
from sentinel.fleet.shared_memory import MemoryOptions
from sentinel.model.ids import IdSource
from sentinel.model.lease import LeaseTimes
from sentinel.model.memory import Wish
from sentinel.model.memory_calls import Memory
from sentinel.model.task import Fence
from sentinel.peer.desk import Desk, NoDesk
from sentinel.peer.errands import Errands
from sentinel.peer.memory_desk import open_desk
from sentinel.peer.memory_requests import MAX_REQUEST
from sentinel.peer.run.memory import SOCKET, TOKEN, NoSharedMemory, TaskPort, encoded, short_path
from sentinel.peer.run.spec import RunSpec
from sentinel.store.base import Store
from sentinel.store.memory import MemoryStore
from sentinel.store.transact import Transactor
from tests.unit.builders import Bench, incarnation, running

SPEC = RunSpec(run="r", argv=("true",), env={"PATH": "/bin"}, cwd="/", log_path="/dev/null")


class InterruptedByTest(BaseException):
    """What a signal handler raises, as that for SIGTERM does."""


class Office:
    """A desk, and tasks that are admitted to it; the fleet has a claim for each."""

    def __init__(self, folder: Path, errands: Errands | None = None, **options: Any) -> None:
        self.bench = Bench()
        self.bench.put(incarnation("inc1"))
        self.clock = SystemClock()
        self.opened = 0
        self.folder = folder
        self.desk: Desk = open_desk(
            folder=folder,
            worker="w1",
            options=MemoryOptions(**options),
            open_store=self._open,
            transactor=self._transactor,
            clock=self.clock,
            ids=IdSource(random.Random(3), self.clock.wall),
            errands=errands,
        )

    def _open(self) -> Store:
        self.opened += 1
        return MemoryStore(self.bench.fleet)

    def _transactor(self, store: Store) -> Transactor:
        rng = random.Random(4)
        return Transactor(store, self.clock, rng, IdSource(rng, self.clock.wall), patience=1.0)

    def claim(self, task: str) -> Fence:
        """A claim that is in force."""
        record = running(task, incarnation="inc1")
        self.bench.put(record)
        return record.fence()

    def port(self, task: str = "t") -> TaskPort:
        """What the process of a task has that runs under its claim."""
        return TaskPort(self.desk.admit(SPEC, self.claim(task)).own)

    def memory(self, task: str = "t") -> Memory:
        return Memory(self.port(task))

    @property
    def commits(self) -> list[str]:
        notes = [[tx.note for tx in commit.transactions] for commit in self.bench.fleet.history]
        return ["; ".join(found) for found in notes if any("memory" in note for note in found)]

    def raw(self, data: bytes) -> bytes:
        """What the desk answers to these bytes."""
        with (
            socket.socket(socket.AF_UNIX) as connection,
            short_path(str(self.folder / "memory.sock")) as path,
        ):
            connection.settimeout(30)
            connection.connect(path)
            try:
                connection.sendall(data)
                return connection.makefile("rb").readline()
            except (BrokenPipeError, ConnectionResetError):
                return b""


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    folder = tmp_path / ("deep" * 30) / "runs"
    folder.mkdir(parents=True)
    office = Office(folder)
    yield office
    office.desk.close()


def test_a_task_reads_and_writes_through_a_path_that_is_too_long_for_a_socket(office: Office) -> None:
    memory = office.memory()
    assert len(str(office.folder)) > 107
    memory.set("k", {"a": [1, None]}, ttl=60.0)
    entry = memory.entry("k")
    assert entry is not None
    assert (entry.value, entry.ttl, entry.written_by) == ({"a": [1, None]}, 60.0, "t epoch 1 on w1")
    assert [found.key for found in memory.list()] == ["k"]
    assert memory.stats()["writes"] == 1
    assert memory.delete("k")
    assert memory.get("k") is None


def test_a_value_may_nest_as_deep_as_any(office: Office) -> None:
    value: Any = 1
    for _ in range(31):
        value = [value]
    memory = office.memory()
    memory.set("k", value)
    assert memory.get("k") == value


def test_nothing_is_opened_before_a_task_asks(office: Office) -> None:
    memory = office.memory()
    assert office.opened == 0
    memory.get("k")
    memory.get("k")
    assert office.opened == 1


def test_errors_come_back_as_what_they_are(office: Office) -> None:
    memory = office.memory()
    memory.set("k", 1)
    with pytest.raises(Conflict, match="no such key was expected"):
        memory.compare_and_swap("k", None, 2)
    with pytest.raises(BadInput, match="no memory policy"):
        memory.set("k", 1, policy="none")


def test_a_task_whose_claim_is_over_writes_nothing(office: Office) -> None:
    memory = office.memory()
    office.bench.drop("tasks/t")
    with pytest.raises(ClaimLost):
        memory.set("k", 1)
    assert office.commits == []


def test_a_task_that_has_ended_here_is_not_served(office: Office) -> None:
    fence = office.claim("t")
    memory = Memory(TaskPort(office.desk.admit(SPEC, fence).own))
    memory.set("k", 1)
    office.desk.dismiss(fence)
    with pytest.raises(ClaimLost, match="no task that this worker runs"):
        memory.get("k")


def test_a_wrong_token_is_not_served(office: Office) -> None:
    env = {**office.desk.admit(SPEC, office.claim("t")).own, TOKEN: "guessed"}
    with pytest.raises(ClaimLost):
        Memory(TaskPort(env)).get("k")


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"[]\n",
        b'{"token": 1}\n',
        b'{"token": "x", "call": "read", "with": 7}\n',
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
    ],
)
def test_a_line_that_is_no_request_is_refused_and_others_are_served(office: Office, line: bytes) -> None:
    assert json.loads(office.raw(line))["error"]["kind"] == "BadInput"
    assert office.memory().get("k") is None


@pytest.mark.parametrize(
    ("call", "given"),
    [
        ("read", {"namespace": "ns", "key": "__proto__"}),
        ("read", {"namespace": "ns", "key": "k", "max_age": "now"}),
        ("read", {"key": "k"}),
        ("scan", {"namespace": "ns", "prefix": 7}),
        ("changes", {"namespace": "ns", "key": None, "prefix": "", "known": [], "timeout": 0}),
        ("changes", {"namespace": "ns", "key": None, "prefix": "", "known": {}, "timeout": -1}),
        ("write", {"wish": {"namespace": "ns", "key": "k", "value": "{"}}),
        ("write", {"wish": {"namespace": "ns", "key": "k", "value": '"' + "x" * 70_000 + '"'}}),
        ("write", {"wish": {"namespace": "ns", "key": "k", "value": "1", "ttl": 0.1}}),
        ("write", {"wish": {"namespace": "ns", "key": "k", "value": "1", "expect": 7}}),
        ("write", {"wish": None}),
        ("queue", {}),
        ("no_such_call", {}),
    ],
)
def test_what_a_task_sends_is_checked_again(office: Office, call: str, given: dict[str, Any]) -> None:
    token = office.desk.admit(SPEC, office.claim("t")).own[TOKEN]
    line = json.dumps({"token": token, "call": call, "with": given}).encode() + b"\n"
    assert json.loads(office.raw(line))["error"]["kind"] == "BadInput"
    assert office.commits == []


def test_whoever_sends_without_end_is_cut_off(office: Office) -> None:
    assert office.raw(b"x" * (MAX_REQUEST + 100_000)) == b""
    assert office.memory().get("k") is None


def test_writes_that_wait_together_share_commits(office: Office) -> None:
    ports = [office.port(f"t{number}") for number in range(8)]
    streams = [port._connected() for port in ports]
    with office.bench.fleet.lock:
        # The desk hangs in the first request, a read, while the writes come in.
        for number, (port, stream) in enumerate(zip(ports, streams, strict=True)):
            wish = Wish(namespace="default", key=f"k{number}", value=number)
            call, given = ("write", {"wish": encoded(wish)}) if number else ("scan", {})
            stream.write(
                json.dumps({"token": port._environ[TOKEN], "call": call, "with": given}).encode() + b"\n"
            )
            stream.flush()
    assert all("reply" in json.loads(stream.readline()) for stream in streams)
    assert len(office.commits) <= 2


def test_what_is_queued_lands_within_the_interval(tmp_path: Path) -> None:
    office = Office(tmp_path, interval=0.2)
    memory = office.memory()
    memory.set("a", 1, behind=True)
    memory.set("b", 2, behind=True)
    with office.bench.fleet.lock:
        assert office.bench.fleet.lock.wait_for(lambda: office.commits, 30.0)
    assert len(office.commits) == 1
    memory.flush()
    office.desk.close()


def test_what_is_queued_lands_when_the_task_flushes_at_its_end(
    office: Office, capfd: pytest.CaptureFixture[str]
) -> None:
    port = office.port()
    memory = Memory(port)
    memory.set("k", 1, behind=True)
    assert office.commits == []
    port.finish()
    assert len(office.commits) == 1
    assert capfd.readouterr().err == ""


def test_what_was_dropped_is_printed_for_the_tasks_log(
    office: Office, capfd: pytest.CaptureFixture[str]
) -> None:
    port = office.port()
    Memory(port).set("k", 1, behind=True)
    office.bench.drop("tasks/t")
    port.finish()
    assert "sentinel.memory: task t is not under its claim" in capfd.readouterr().err


def test_a_watch_is_woken_when_the_store_has_changed(office: Office) -> None:
    watch = office.memory("watcher").watch("k")
    seen: list[Any] = []
    waiter = threading.Thread(target=lambda: seen.append(next(watch)))
    waiter.start()
    other = office.memory("writer")
    other.set("k", 7)
    office.desk.stir()
    while waiter.is_alive():
        office.desk.stir()
        waiter.join(0.05)
    assert seen[0].entry.value == 7


def test_a_watch_without_news_ends_in_time_and_keeps_nobody_waiting(office: Office) -> None:
    watch = office.memory("watcher").watch("k")
    found: list[Any] = ["none yet"]
    waiter = threading.Thread(target=lambda: found.append(watch.next(0.3)))
    waiter.start()
    assert office.memory("other").get("k") is None
    waiter.join(30)
    assert found == ["none yet", None]


def test_a_request_that_was_interrupted_does_not_shift_the_replies(office: Office) -> None:
    memory = office.memory()
    memory.set("k", 7)

    def interrupt(_number: int, _frame: object) -> None:
        raise InterruptedByTest

    def hang() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        memory.watch("other").next(600)

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(InterruptedByTest):
            hang()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert memory.get("k") == 7


def test_a_forked_child_has_a_connection_of_its_own(office: Office) -> None:
    memory = office.memory()
    memory.set("k", 0)
    child = os.fork()
    if child == 0:
        try:
            for _ in range(20):
                memory.update("k", lambda value: value + 1)
        finally:
            os._exit(0)
    for _ in range(20):
        memory.update("k", lambda value: value + 1)
    os.waitpid(child, 0)
    assert memory.get("k") == 40


def test_a_desk_that_was_closed_is_said_so(office: Office) -> None:
    memory = office.memory()
    memory.get("k")
    office.desk.close()
    with pytest.raises(Unavailable, match="the worker of this task"):
        memory.get("k")
    assert not (office.folder / "memory.sock").exists()


def test_a_folder_that_takes_no_socket_costs_the_tasks_their_memory_and_nothing_else(tmp_path: Path) -> None:
    office = Office(tmp_path / "missing")
    assert isinstance(office.desk, NoDesk)
    assert office.desk.admit(SPEC, office.claim("t")) == SPEC


def test_only_its_user_can_open_the_socket(office: Office) -> None:
    assert (office.folder / "memory.sock").stat().st_mode & 0o777 == 0o600


def test_outside_of_a_task_there_is_no_shared_memory() -> None:
    with pytest.raises(NoSharedMemory, match="was not started by a Task Sentinel worker"):
        Memory(TaskPort({})).get("k")


def test_a_worker_that_is_gone_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        Memory(TaskPort({SOCKET: str(tmp_path / "memory.sock")})).get("k")


class Turns:
    """The control loop of a worker on a store where pushes are counted, for a test to lead."""

    def __init__(self, folder: Path) -> None:
        self._handed = threading.Event()
        self.errands = Errands(SystemClock(), self._handed.set)
        #: Before its first look nobody knows when its turn is.
        self.office = Office(folder, self.errands, interval=0.0)

    def come(self) -> None:
        """Its turns begin: it takes along whatever is handed in."""
        self.errands.rhythm = Rhythm(times=LeaseTimes(30.0, 120.0), poll=5.0)
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        while self._handed.wait(30.0):
            self._handed.clear()
            found = self.errands.take()
            outcomes = MemoryStore(self.office.bench.fleet).commit([tx for tx, _ in found])
            for (_, settle), outcome in zip(found, outcomes, strict=True):
                settle(outcome)


@pytest.fixture
def turns(tmp_path: Path) -> Iterator[Turns]:
    found = Turns(tmp_path)
    yield found
    found.errands.close()
    found.office.desk.close()


def test_where_pushes_are_counted_a_write_waits_for_its_workers_turn(turns: Turns) -> None:
    memory, done = turns.office.memory(), threading.Event()

    def write() -> None:
        memory.set("k", 1)
        done.set()

    threading.Thread(target=write, daemon=True).start()
    # Another task's reads are served meanwhile, and show nothing of it.
    assert turns.office.memory("other").get("k") is None
    assert not done.is_set()
    turns.come()
    assert done.wait(30.0)
    assert turns.office.memory("other").get("k") == 1


def test_writes_that_wait_land_in_one_commit(turns: Turns) -> None:
    port = turns.office.port()
    wishes = [Wish(namespace="default", key=f"k{number}", value=number, by="t") for number in range(3)]
    for wish in wishes:
        port.queue(wish)
    turns.come()
    assert list(port.flush()) == []
    assert len(turns.office.commits) == 1
    assert turns.office.memory().get("k2") == 2
