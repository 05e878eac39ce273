"""When the next tick is due: soon when there is something to do, never at once when there is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel.store.memory import MemoryStore
from sentinel.testing.faults import Fault, FaultyStore
from tests.peer.harness import TIMES, Member, World

POLL = 1.0


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def backing_off(world: World, member: Member) -> None:
    """Let a task of ``member`` fail, so that it waits for a while."""
    world.submit("t", retries=2)
    world.settle(member)
    member.overseer.finish("t@1", exit_code=1)
    world.settle(member)
    member.work.take_events()
    assert world.task("t").backoff > 0


def test_a_backoff_that_is_nearly_over_shortens_the_pause(world: World) -> None:
    member = world.member("w")
    backing_off(world, member)
    world.clock.advance(world.task("t").backoff - 0.25)
    assert member.peer.tick() == pytest.approx(0.25)


def test_a_backoff_that_passed_while_the_store_was_away_makes_no_busy_loop(world: World) -> None:
    store = FaultyStore(MemoryStore(world.fleet))
    member = world.member("w", store=store)
    backing_off(world, member)
    store.inject("read", Fault.UNAVAILABLE, times=10)
    world.clock.advance(world.task("t").backoff + 1.0)
    assert member.peer.tick() == POLL


def test_a_backoff_that_passed_while_processes_are_being_killed_makes_no_busy_loop(world: World) -> None:
    member = world.member("w")
    backing_off(world, member)
    member.overseer.end = lambda: None  # type: ignore[method-assign]  # a supervisor that is not done yet
    member.peer.end()
    world.clock.advance(world.task("t").backoff + 0.5)
    assert member.peer.tick() == POLL


def test_whoever_frees_what_a_dead_peer_ran_looks_again_at_once(world: World) -> None:
    gone = world.member("gone")
    world.submit("t")
    world.settle(gone)
    survivor = world.member("survivor")
    world.pass_time(TIMES.stale - 1.5, survivor)
    pauses = []
    while world.task("t").state == "running":
        world.clock.advance(0.5)
        survivor.beat.beat()
        pauses.append(survivor.peer.tick())
    assert (pauses[-1], set(pauses[:-1])) == (0.0, {POLL})


def test_whoever_only_claimed_does_not_look_again_before_something_happens(world: World) -> None:
    member = world.member("w")
    world.settle(member)
    world.submit("t")
    assert member.peer.tick() == POLL


def test_whoever_recorded_an_end_looks_again_at_once(world: World) -> None:
    member = world.member("w")
    world.submit("t")
    world.settle(member)
    member.overseer.finish("t@1")
    assert member.peer.tick() == 0.0
