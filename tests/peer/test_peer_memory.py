"""Shared memory and peers: what has expired is freed, and what a lost task writes bounces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sentinel.errors import ClaimLost, OutcomeUnknown
from sentinel.fleet.expiry import STEP
from sentinel.fleet.memory_writing import Asked
from sentinel.fleet.shared_memory import MemoryOptions, SharedMemory
from sentinel.model.memory import Wish
from sentinel.store.base import Conflicted
from sentinel.store.memory import MemoryStore
from sentinel.store.transact import Transactor
from sentinel.testing.faults import Fault, FaultyStore
from tests.peer.harness import TIMES, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def access(world: World, store: Any = None) -> SharedMemory:
    store = store or MemoryStore(world.fleet)
    return SharedMemory(Transactor(store, world.clock, world.rng, world.ids, patience=1.0), MemoryOptions())


def keys(world: World) -> list[str]:
    return [entry.key for entry in access(world).scan("ns", "")]


def asked(key: str, ttl: float = 0.0) -> Asked:
    return Asked(Wish(namespace="ns", key=key, value=1, ttl=ttl))


def test_a_peer_frees_what_it_saw_unchanged_for_its_ttl(world: World) -> None:
    peer = world.member("w1")
    access(world).write_many([asked("short", 10.0), asked("long", 60.0), asked("stays")])
    world.pass_time(9.0, peer)
    assert keys(world) == ["long", "short", "stays"]
    world.pass_time(11.0, peer)
    assert keys(world) == ["long", "stays"]


def test_a_write_keeps_a_value(world: World) -> None:
    peer = world.member("w1")
    for _ in range(6):
        access(world).write(asked("k", 10.0))
        world.pass_time(8.0, peer)
    assert keys(world) == ["k"]


def test_a_peer_that_starts_begins_to_count_where_nobody_kept_what_was_seen(world: World) -> None:
    access(world).write(asked("k", 10.0))
    world.clock.advance(3_600.0)
    peer = world.member("w1")
    world.pass_time(9.0, peer)
    assert keys(world) == ["k"]


def test_the_silence_of_values_is_among_what_a_peer_keeps(world: World) -> None:
    peer = world.member("w1")
    access(world).write(asked("k", 60.0))
    world.pass_time(12.0, peer)
    (name,) = [name for name in peer.observer.sightings() if name.startswith("memory/")]
    assert peer.observer.sightings()[name].silence >= 5.0


def test_much_that_has_expired_is_freed_in_steps(world: World) -> None:
    peer = world.member("w1")
    access(world).write_many([asked(f"k{number}", 2.0) for number in range(STEP + 5)])
    peer.peer.tick()
    for _ in range(5):
        world.clock.advance(1.0)
        peer.beat.beat()
    peer.peer.tick()
    assert len(keys(world)) == 5
    peer.peer.tick()
    assert keys(world) == []


def test_a_record_that_cannot_be_read_is_left_alone(world: World) -> None:
    peer = world.member("w1")
    access(world).write(asked("k", 2.0))
    head = world.fleet.head
    torn = {key: b"{" if key.startswith("memory/") else data for key, data in head.state.items()}
    world.fleet.history.append(type(head)(head.revision + 1, (), torn))
    world.pass_time(20.0, peer)
    assert any(key.startswith("memory/") for key in world.fleet.head.state)


def test_of_several_peers_one_frees_it(world: World) -> None:
    peers = [world.member(f"w{number}") for number in range(3)]
    access(world).write(asked("k", 10.0))
    world.pass_time(21.0, *peers)
    notes = [tx.note for commit in world.fleet.history for tx in commit.transactions]
    assert sum(note.startswith("expire memory ns/k") for note in notes) == 1


def test_what_a_lost_task_writes_bounces(world: World) -> None:
    member = world.member("doomed")
    world.submit("t")
    world.settle(member)
    fence = world.task("t").fence()
    survivor = world.member("survivor")
    world.pass_time(TIMES.stale + 2.0, survivor)
    assert world.task("t").owner == "survivor"
    with pytest.raises(ClaimLost):
        access(world).write(Asked(Wish(namespace="ns", key="k", value=1), fence))
    assert keys(world) == []


def test_a_lost_tasks_write_that_was_sent_before_and_arrives_after_bounces(world: World) -> None:
    member = world.member("doomed")
    world.submit("t")
    world.settle(member)
    store = FaultyStore(MemoryStore(world.fleet))
    store.inject("commit", Fault.DELAYED, times=100)
    with pytest.raises(OutcomeUnknown):
        access(world, store).write(Asked(Wish(namespace="ns", key="k", value=1), world.task("t").fence()))
    survivor = world.member("survivor")
    world.pass_time(TIMES.stale + 2.0, survivor)
    landed = [outcome for write in store.release() for outcome in write]
    assert landed
    assert all(isinstance(outcome, Conflicted) for outcome in landed)
    assert keys(world) == []


def test_a_task_writes_until_its_end_is_recorded(world: World) -> None:
    member = world.member("w1")
    world.submit("t")
    world.settle(member)
    fence = world.task("t").fence()
    access(world).write(Asked(Wish(namespace="ns", key="k", value=1), fence))
    member.overseer.finish("t@1", result=1)
    world.settle(member)
    with pytest.raises(ClaimLost):
        access(world).write(Asked(Wish(namespace="ns", key="k", value=2), fence))
