"""Workers that start in one moment join one after another, where pushes are counted; one alone at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel.fleet.pacing import Rhythm, Seen
from sentinel.model import layout
from sentinel.model.lease import LeaseTimes
from sentinel.store.base import ABSENT, Transaction
from sentinel.store.memory import MemoryStore
from tests.peer.harness import Member, World

PAUSE = 60.0


class Slow:
    """A pacing that lets one join in a minute, and stretches with the fleet."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []

    def rhythm(self, seen: Seen) -> Rhythm:
        """See `Pacing`."""
        self.seen.append(seen)
        times = LeaseTimes(30.0 * seen.workers, 120.0 * seen.workers)
        return Rhythm(times=times, poll=5.0, joins=PAUSE)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def starting(world: World, worker: str) -> Member:
    """A worker that has not joined yet."""
    return Member(world, worker, pacing=Slow())


def test_a_single_worker_joins_at_once(world: World) -> None:
    assert starting(world, "a").admission.attempt()


def test_a_worker_joins_at_once_when_nobody_did_for_a_while(world: World) -> None:
    assert starting(world, "a").admission.attempt()
    world.clock.advance(PAUSE + 1.0)
    assert starting(world, "b").admission.attempt()


def test_whoever_comes_after_another_waits_out_the_pause_and_a_random_part(world: World) -> None:
    assert starting(world, "a").admission.attempt()
    waits = []
    for name in "bcdefgh":
        late = starting(world, name).admission
        assert not late.attempt()
        waits.append(late.closed_for)
    assert min(waits) >= PAUSE - 0.1
    assert max(waits) <= 2 * PAUSE
    assert len(set(waits)) == len(waits)


def test_of_workers_that_see_the_same_fleet_one_joins(world: World) -> None:
    others = [starting(world, "b")]

    class Late(MemoryStore):
        """Lets another join between the look and the commit."""

        def commit(self, transactions):  # type: ignore[no-untyped-def]  # as the base class
            if others:
                assert others.pop().admission.attempt()
            return super().commit(transactions)

    first = Member(world, "a", store=Late(world.fleet), pacing=Slow())
    assert not first.admission.attempt()
    assert not first.admission.attempt()
    assert first.admission.closed_for > 0


def test_a_joining_worker_announces_the_ttl_of_the_fleet_that_it_joins(world: World) -> None:
    for name in "ab":
        assert starting(world, name).admission.attempt()
        world.clock.advance(PAUSE + 1.0)
    late = starting(world, "c")
    assert late.admission.attempt()
    record = world.client.store.read().get(layout.incarnation_key(late.admission.incarnation.id))
    assert record is not None
    assert (record["interval"], record["ttl"]) == (90.0, 360.0)


@pytest.mark.parametrize("hours", [-2.0, 2.0], ids=["behind", "ahead"])
def test_a_wrong_wall_clock_keeps_nobody_out_f3(world: World, hours: float) -> None:
    assert starting(world, "a").admission.attempt()
    world.clock.wall_offset += 3600.0 * hours
    assert starting(world, "b").admission.attempt()


def test_a_door_that_cannot_be_read_is_open_b8(world: World) -> None:
    # As a newer version, or a hand, may leave it.
    torn = Transaction("x", {layout.DOOR: ABSENT}, {layout.DOOR: {"rev": 1, "tx": "x", "at": 7}}, "tear")
    world.client.store.commit([torn])
    assert starting(world, "a").admission.attempt()


def test_without_such_a_pace_there_is_no_door(world: World) -> None:
    world.member("a")
    world.member("b")
    assert layout.DOOR not in list(world.client.store.read().list(""))


def test_a_fleet_that_gathers_makes_room_for_a_while(world: World) -> None:
    pacing = Slow()
    first = world.member("a", pacing=pacing)
    told = []
    first.peer.tick()
    told.append(pacing.seen[-1].gathering)
    world.clock.advance(PAUSE + 1.0)
    world.member("b", pacing=Slow())
    first.peer.tick()
    told.append(pacing.seen[-1].gathering)
    for _ in range(5):
        world.clock.advance(PAUSE / 2)
        assert first.beat.beat()
        first.peer.tick()
    told.append(pacing.seen[-1].gathering)
    assert told == [False, True, False]
