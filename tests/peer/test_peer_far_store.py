"""What a peer spares a store that is far away: looks, and pushes that somebody else makes already."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from sentinel.store.base import DELETE, Committed, Conflicted, Expected, Register, Snapshot, Written
from sentinel.store.memory import MemorySnapshot, MemoryStore
from sentinel.store.pace import FASTEST
from tests.peer.harness import TIMES, Member, World

#: Longest pause between two looks of the peers here, in seconds.
POLL = 8.0


class FarStore(MemoryStore):
    """One that hears of nothing by itself, and counts what it is asked."""

    hears = False

    def __init__(self, world: World) -> None:
        super().__init__(world.fleet)
        self.looks = 0
        self.deleted: list[str] = []
        self._looking = False

    def look(self) -> tuple[Snapshot, Mapping[str, Register]]:
        self.looks += 1
        self._looking = True
        try:
            return super().look()
        finally:
            self._looking = False

    def read(self) -> MemorySnapshot:
        assert self._looking, "one exchange brings state and sessions"
        return super().read()

    def published(self) -> dict[str, Register]:
        assert self._looking, "one exchange brings state and sessions"
        return super().published()

    def publish(self, name: str, document: Written, expect: Expected) -> Committed | Conflicted:
        if document is DELETE:
            self.deleted.append(name)
        return super().publish(name, document, expect)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def at_rest(member: Member) -> None:
    """Tick until the pause grows no more."""
    while member.peer.tick() < POLL:
        pass


def test_one_exchange_a_tick_brings_state_and_sessions(world: World) -> None:
    store = FarStore(world)
    member = world.member("w", store=store, poll=POLL)
    before = store.looks
    member.peer.tick()
    member.peer.tick()
    assert store.looks - before == 2


def test_the_pauses_grow_up_to_the_longest_while_nothing_happens(world: World) -> None:
    member = world.member("w", store=FarStore(world), poll=POLL)
    pauses = [member.peer.tick() for _ in range(12)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (FASTEST, POLL)


def test_the_pause_is_short_again_after_something_happened(world: World) -> None:
    member = world.member("w", store=FarStore(world), poll=POLL)
    at_rest(member)
    world.submit("t")
    assert member.peer.tick() == FASTEST


def test_the_beats_of_others_are_no_reason_to_look_more_often(world: World) -> None:
    member = world.member("w", store=FarStore(world), poll=POLL)
    other = world.member("other")
    at_rest(member)
    other.beat.beat()
    assert member.peer.tick() == POLL


def test_where_changes_are_heard_of_the_pause_is_the_same_always(world: World) -> None:
    member = world.member("w", poll=POLL)
    assert {member.peer.tick() for _ in range(5)} == {POLL}


def test_one_peer_alone_tidies_up_after_one_that_is_gone(world: World) -> None:
    gone = world.member("gone")
    stores = [FarStore(world) for _ in range(5)]
    others = [world.member(f"w{number}", store=store) for number, store in enumerate(stores)]
    gone.peer.end()
    world.settle(gone)
    world.pass_time(TIMES.stale * (1 + len(others)), *others)
    assert sum(len(store.deleted) for store in stores) == 1
