"""Shared memory under partitions: what a writer that was cut off does when it comes back."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from sentinel.client import Client, ClientOptions
from sentinel.fleet.observer import Observer
from sentinel.fleet.shared_memory import MemoryOptions
from sentinel.model.layout import MEMORY
from sentinel.store.base import Expected
from sentinel.testing.checker import Checker
from sentinel.testing.simulation.baton import Baton
from sentinel.testing.simulation.clock import Timing
from sentinel.testing.simulation.machine import Machine, Process, Universe
from sentinel.testing.simulation.network import Weather
from sentinel.testing.simulation.server import Server
from sentinel.testing.simulation.supervisor import Course
from sentinel.testing.simulation.trace import Trace
from sentinel.testing.simulator import SimulationOptions, simulate

WITH_MEMORY = SimulationOptions(minutes=5, tasks=10, peers=3, locks=False, memory=True)
#: Virtual seconds for which the writers are at work.
_AT_WORK = 1_200.0


class Nothing:
    """No task is run here."""

    def course(self, spec: object) -> Course:
        raise AssertionError(spec)

    def began(self, incarnation: str, spec: object) -> None:
        raise AssertionError(spec)

    def gone(self, incarnation: str, spec: object, cause: object) -> None:
        raise AssertionError(spec)


class World:
    """Machines with a client each, in virtual time; every commit is judged by a checker."""

    def __init__(self, folder: Path, seed: int) -> None:
        trace, checker = Trace(), Checker()
        self.baton = Baton(random.Random(f"{seed}/order"), trace.switched)
        self.universe = Universe(
            seed=str(seed),
            baton=self.baton,
            trace=trace,
            checker=checker,
            server=Server(self.baton, checker, trace),
            weather=Weather(),
            programs=Nothing(),
            folder=folder,
            timeout=2.0,
            watched=True,
        )

    def machine(self, name: str) -> Machine:
        return Machine(self.universe, name, Timing(), proofs=False)

    def client(self, process: Process, policy: str = "last_write_wins") -> Client:
        return Client(
            process.open_store(),
            clock=process.machine.clock,
            rng=process.rng(),
            actor=process.machine.name,
            options=ClientOptions(memory=MemoryOptions(interval=5.0, policy=policy)),
        )

    def cut(self, machine: Machine, seconds: float) -> None:
        machine.link.requests_cut_until = machine.link.replies_cut_until = self.baton.now + seconds


@pytest.mark.parametrize("seed", [1, 2])
def test_values_are_kept_and_freed_rightly_whatever_goes_wrong(seed: int) -> None:
    report = simulate(seed, WITH_MEMORY)
    assert report.violation is None, report.timeline


def test_peers_that_free_values_too_early_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    silence = Observer.silence

    def hasty(self: Observer, name: str, version: Expected) -> float:
        return silence(self, name, version) + (30.0 if name.startswith(MEMORY) else 0.0)

    monkeypatch.setattr(Observer, "silence", hasty)
    report = simulate(1, WITH_MEMORY)
    assert report.violation is not None
    assert "memory/" in str(report.violation)


def _partitioned(folder: Path, *, seconds: float, other_writes: bool) -> tuple[object, list[str]]:
    """What is there in the end, and what was dropped, when a writer is cut off for so long."""
    world = World(folder, seed=1)
    left, right = world.machine("left"), world.machine("right")
    ended: dict[str, list[str]] = {}

    def write_behind(process: Process) -> None:
        with world.client(process) as client:
            client.memory.set("k", "before")
            client.memory.set("k", "left", behind=True)
            world.cut(left, seconds)
            process.machine.clock.sleep(seconds + 0.1)
            ended["dropped"] = list(client.memory.flush())

    def write(process: Process) -> None:
        with world.client(process) as client:
            process.machine.clock.sleep(4.0)
            if other_writes:
                client.memory.set("k", "right")

    left.process("writer", write_behind)
    right.process("other", write)
    world.baton.run(300.0)
    found: list[object] = []
    right.process("reader", lambda process: found.append(world.client(process).memory.get("k")))
    world.baton.run(10.0)
    world.baton.close()
    return found[0], ended["dropped"]


def test_a_writer_that_was_cut_off_briefly_is_the_last_writer(tmp_path: Path) -> None:
    assert _partitioned(tmp_path, seconds=8.0, other_writes=True) == ("left", [])


def test_a_writer_that_was_cut_off_for_long_yields_and_says_so(tmp_path: Path) -> None:
    value, dropped = _partitioned(tmp_path, seconds=60.0, other_writes=True)
    assert value == "right"
    assert [("longer than 10 s" in said, "by right" in said) for said in dropped] == [(True, True)]


def test_a_writer_that_was_cut_off_for_long_lands_where_nobody_wrote(tmp_path: Path) -> None:
    assert _partitioned(tmp_path, seconds=60.0, other_writes=False) == ("left", [])


@pytest.mark.parametrize("seed", range(5))
def test_no_update_is_lost_through_partitions_and_lost_replies(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, seed)
    rng = random.Random(f"{seed}/cuts")
    machines = [world.machine(f"m{number}") for number in range(3)]
    done: list[int] = []

    def count(process: Process) -> None:
        pauses = process.rng()
        with world.client(process) as client:
            mine = 0
            while world.baton.now < _AT_WORK:
                client.memory.update("n", lambda value: value + 1, default=0)
                mine += 1
                process.machine.clock.sleep(pauses.uniform(0.0, 20.0))
            done.append(mine)

    def cut_something() -> None:
        link = rng.choice(machines).link
        until = world.baton.now + rng.uniform(0.5, 20.0)
        if rng.random() < 0.5:
            link.replies_cut_until = until
        else:
            link.requests_cut_until = link.replies_cut_until = until
        if world.baton.now < _AT_WORK:
            world.baton.after(rng.uniform(1.0, 60.0), cut_something)

    for machine in machines:
        machine.process("writer", count)
    world.baton.after(5.0, cut_something)
    world.baton.run(_AT_WORK + 120.0)
    found: list[object] = []
    machines[0].process("reader", lambda process: found.append(world.client(process).memory.get("n")))
    world.baton.run(60.0)
    world.baton.close()
    assert len(done) == 3
    assert found == [sum(done)]
