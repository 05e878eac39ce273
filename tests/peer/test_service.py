"""The daemon around the peer, in one thread: which connections it opens, and when."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sentinel.clock import Event
from sentinel.errors import Unavailable
from sentinel.fleet.balancers import Candidate, find
from sentinel.fleet.observer import Observer
from sentinel.fleet.proof import DeathProof, NoProof
from sentinel.fleet.view import View
from sentinel.model.task import Task
from sentinel.model.worker import Proof, Worker
from sentinel.peer.notify import Notifier
from sentinel.peer.options import PeerOptions
from sentinel.peer.overseer import Overseer
from sentinel.peer.run.spec import RunSpec
from sentinel.peer.service import Service, ServiceOptions
from sentinel.peer.surroundings import Surroundings
from sentinel.store.base import Store
from sentinel.store.memory import MemoryFleet, MemoryStore
from sentinel.testing.clock import ManualClock
from sentinel.testing.overseer import ScriptedOverseer
from tests.peer.harness import TIMES, World


class Told:
    """Two signals that came before anything else did."""

    def __init__(self, count: int) -> None:
        self.hangups = 0
        self.count = count

    @contextmanager
    def heeded(self, wake: Callable[[], None], *, hangups: bool = False) -> Iterator[None]:
        wake()
        yield


class Home:
    """A machine that keeps nothing."""

    observer = Observer()
    proof: DeathProof = NoProof()

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, incarnation: str) -> tuple[int | None, Proof | None]:
        return None, None

    def run_folder(self, incarnation: str) -> Path:
        return self._folder / incarnation

    def ended(self, spec: RunSpec) -> None: ...

    def over(self, incarnation: str, *, left: bool) -> None: ...

    def housekeeping(self, view: View) -> None: ...

    def keep_sightings(self) -> None: ...


class Ended:
    """A thread that did nothing."""

    def join(self, timeout: float) -> None: ...

    def is_alive(self) -> bool:
        return False


class Bench:
    """A service on a memory store, which is told to stop before it begins."""

    def __init__(self, folder: Path, *, hears: bool = True, signals: int = 2) -> None:
        self.clock = ManualClock()
        self.fleet = MemoryFleet()
        self.hears = hears
        #: Time-out of each connection that was opened, in order.
        self.opened: list[float | None] = []
        #: How many of the next connections fail.
        self.failing = 0
        self.threads: list[str] = []
        worker = Worker(id="w", incarnation="", hostname="h", max_tasks=1, types=("work",))
        peer = PeerOptions(
            worker="w", times=TIMES, max_tasks=1, types=frozenset({"work"}), balancer=find("least_loaded")
        )
        around = Surroundings(
            start_thread=self._start_thread,
            signals=lambda: Told(signals),
            home=lambda **_: Home(folder),
            supervise=self._supervise,
        )
        self.service = Service(
            options=ServiceOptions(worker=worker, peer=peer),
            open_store=self._open,
            make_plan=lambda _: lambda task: None,  # type: ignore[arg-type, return-value]  # nothing is run
            state_folder=folder,
            boot="",
            local_proof=False,
            clock=self.clock,
            rng=random.Random(1),
            notifier=Notifier({}),
            surroundings=around,
        )

    def _open(self, *, timeout: float | None = None) -> Store:
        if self.failing:
            self.failing -= 1
            raise Unavailable("out of reach, as the test wants it")
        self.opened.append(timeout)
        store = MemoryStore(self.fleet)
        store.hears = self.hears
        return store

    def _start_thread(self, name: str, run: Callable[[], None]) -> Ended:
        self.threads.append(name)
        return Ended()

    def _supervise(
        self,
        wakeup: Event,
        proof_fd: int | None = None,
        stdio: tuple[int, ...] = (),
    ) -> Overseer:
        return ScriptedOverseer(self.clock)

    def history(self) -> list[str]:
        """The audit."""
        return [tx.note for commit in self.fleet.history for tx in commit.transactions]


def test_the_beats_connection_gives_up_before_the_next_beat_is_due(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.service.run()
    assert TIMES.write_timeout in bench.opened
    assert TIMES.write_timeout < TIMES.interval


def test_the_control_loop_gives_up_a_reply_long_before_it_would_count_as_hanging(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    (timeout,) = bench.opened
    assert timeout == TIMES.stale / 4


def test_a_store_that_is_away_when_the_beat_is_to_begin_is_waited_for(tmp_path: Path) -> None:
    bench = Bench(tmp_path, signals=0)
    bench.failing = 3
    began = bench.clock.now()
    assert bench.service._beats_connection() is not None
    assert bench.clock.now() - began == pytest.approx(3 * TIMES.interval / 4)


def test_one_who_is_told_to_stop_before_it_can_beat_does_not_join(tmp_path: Path) -> None:
    bench = Bench(tmp_path, hears=False)
    bench.failing = 1
    bench.service.run()
    assert bench.history() == []


def test_a_thread_waits_for_changes_where_the_store_tells_of_them(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.service.run()
    assert sorted(bench.threads) == ["beat", "watch"]


def test_no_thread_asks_for_changes_where_the_control_loop_asks_as_well(tmp_path: Path) -> None:
    bench = Bench(tmp_path, hears=False)
    bench.service.run()
    assert bench.threads == ["beat"]


def test_new_options_of_a_peer_hold_from_its_next_look(tmp_path: Path) -> None:
    world = World(tmp_path)
    dead, member = world.member("dead"), world.member("w")
    member.peer.reconfigure(dataclasses.replace(member.peer._options, recovery=False))
    world.pass_time(3 * TIMES.stale, member)
    assert world.view().live(dead.incarnation.id)
    member.peer.reconfigure(dataclasses.replace(member.peer._options, recovery=True))
    world.settle(member)
    assert not world.view().live(dead.incarnation.id)


def test_new_options_of_a_peer_choose_by_another_balancer(tmp_path: Path) -> None:
    asked: list[str] = []

    def asking(task: Task, workers: Sequence[Candidate], options: Mapping[str, Any]) -> Candidate:
        asked.append(task.id)
        return workers[0]

    world = World(tmp_path)
    member = world.member("w")
    member.peer.reconfigure(dataclasses.replace(member.peer._options, balancer=asking))
    world.submit("t")
    world.settle(member)
    assert (member.runs, set(asked)) == (["t@1"], {"t"})
