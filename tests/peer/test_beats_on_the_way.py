"""Beats that the control loop's pushes take along, in one way and never atomically."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from sentinel.errors import OutcomeUnknown
from sentinel.model.layout import session_register
from sentinel.model.lease import work_limit
from sentinel.store.base import Committed, Conflicted, Outcome, Rider, Rode, Transaction
from sentinel.store.memory import MemoryFleet, MemoryStore
from tests.peer.harness import TIMES, Member, World


class Carrying(MemoryStore):
    """Takes beats along, and does with them what the test wants."""

    def __init__(self, fleet: MemoryFleet) -> None:
        super().__init__(fleet)
        #: Whether the beat is applied, and whether the answer to it arrives.
        self.applies = self.answers = True
        self.carried = 0

    def carry(self, transactions: Sequence[Transaction], rider: Rider) -> list[Outcome]:
        outcomes = self.commit(transactions)
        self._take_along(rider)
        return outcomes

    def keep_and_carry(self, blobs: Sequence[bytes], rider: Rider) -> list[str]:
        names = self.keep(blobs)
        self._take_along(rider)
        return names

    def _take_along(self, rider: Rider) -> None:
        ride = rider.ride()
        if ride is not None:
            self.carried += 1
            outcome: Committed | Conflicted | Rode = Rode.NOT
            if self.applies:
                outcome = self.publish(ride.name, ride.document, ride.expect)
            rider.rode(ride, outcome if self.answers else Rode.UNKNOWN)


class Stop:
    """Waits on the clock, and stops after so many waits."""

    def __init__(self, world: World, waits: int) -> None:
        self._clock = world.clock
        self._left = waits
        self.pauses: list[float] = []

    def set(self) -> None: ...

    def listen(self, descriptor: int, heard: Callable[[], bool]) -> None: ...

    def ignore(self, descriptor: int) -> None: ...

    def wait(self, timeout: float) -> bool:
        self.pauses.append(timeout)
        self._clock.sleep(timeout)
        self._left -= 1
        return self._left < 0


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def store(world: World) -> Carrying:
    return Carrying(world.fleet)


@pytest.fixture
def member(world: World, store: Carrying) -> Member:
    member = world.member("w", store=store)
    member.peer.rider = member.beat
    return member


def seq(world: World, member: Member) -> int:
    """The beat that is in the register."""
    register = MemoryStore(world.fleet).published()[session_register(member.incarnation.id)]
    assert register.document is not None
    return int(register.document["seq"])


def claim(world: World, member: Member, name: str = "t") -> None:
    """Let the peer commit something."""
    world.submit(name)
    member.peer.tick()


def test_a_commit_takes_the_next_beat_along(world: World, member: Member) -> None:
    claim(world, member)
    assert (seq(world, member), member.runs) == (2, ["t@1"])


def test_stored_outputs_take_the_next_beat_along(world: World, member: Member) -> None:
    claim(world, member)
    Path(member.overseer.started[0].log_path).write_text("said")
    member.overseer.finish("t@1", result="good")
    member.peer.tick()
    # One with the claim, one with the outputs, one with the record of the end.
    assert seq(world, member) == 4


def test_a_beat_that_was_taken_along_extends_the_lease_from_its_sending(world: World, member: Member) -> None:
    world.clock.advance(1.5)
    claim(world, member)
    assert member.lease.deadline == world.clock.now() + work_limit(TIMES.stale)


def test_a_tick_that_commits_nothing_beats_not(world: World, member: Member) -> None:
    member.peer.tick()
    assert seq(world, member) == 1


def test_a_beat_of_its_own_follows_one_that_was_taken_along(world: World, member: Member) -> None:
    claim(world, member)
    assert member.beat.beat()
    assert seq(world, member) == 3


def test_nothing_is_taken_along_before_the_first_beat(world: World, store: Carrying) -> None:
    member = Member(world, "w", store=store)
    member.peer.rider = member.beat
    assert member.admission.attempt()
    store.carry([], member.beat)
    assert store.carried == 0


def test_nothing_is_taken_along_for_one_that_is_fenced(member: Member, store: Carrying) -> None:
    member.lease.fence("because the test wants it")
    store.carry([], member.beat)
    assert store.carried == 0


def test_nothing_is_taken_along_while_a_beat_is_in_doubt(
    world: World, member: Member, store: Carrying
) -> None:
    store.answers = False
    claim(world, member, "t1")
    claim(world, member, "t2")
    assert store.carried == 1


def test_one_in_doubt_does_not_extend_the_lease(world: World, member: Member, store: Carrying) -> None:
    before = member.lease.deadline
    world.clock.advance(1.0)
    store.answers = False
    claim(world, member)
    assert member.lease.deadline == before


@pytest.mark.parametrize(("applies", "landed"), [(True, 2), (False, 1)])
def test_what_became_of_one_in_doubt_is_found_out_before_the_next_beat(
    world: World, member: Member, store: Carrying, *, applies: bool, landed: int
) -> None:
    store.answers, store.applies = False, applies
    claim(world, member)
    assert seq(world, member) == landed
    assert member.beat.beat()
    assert seq(world, member) == 3
    assert member.lease.fenced is None


def test_one_that_was_left_behind_is_forgotten(world: World, member: Member, store: Carrying) -> None:
    before = member.lease.deadline
    store.applies = False
    claim(world, member)
    assert member.lease.deadline == before
    assert member.beat.beat()


def test_one_that_meets_a_seal_ends_the_incarnation_at_the_next_beat(world: World, member: Member) -> None:
    name = session_register(member.incarnation.id)
    store = MemoryStore(world.fleet)
    version = store.published()[name].version
    sealed = {**(store.published()[name].document or {}), "sealed_by": "other", "sealed_because": "a test"}
    assert isinstance(store.publish(name, sealed, version), Committed)
    claim(world, member)
    assert not member.beat.beat()
    assert member.lease.fenced == "it was failed over by other"


def test_one_that_is_late_does_not_undo_a_later_beat_that_landed(world: World, member: Member) -> None:
    ride = member.beat.ride()
    assert ride is not None
    world.clock.advance(0.5)
    assert member.beat.beat()
    deadline = member.lease.deadline
    late = MemoryStore(world.fleet).publish(ride.name, ride.document, ride.expect)
    assert isinstance(late, Conflicted)
    member.beat.rode(ride, late)
    assert member.lease.deadline == deadline
    assert member.beat.beat()
    assert member.lease.fenced is None


def test_a_beat_whose_place_was_taken_by_one_on_the_way_counts_that_one(world: World, member: Member) -> None:
    ride = member.beat.ride()
    assert ride is not None
    sent = world.clock.now()
    landed = MemoryStore(world.fleet).publish(ride.name, ride.document, ride.expect)
    world.clock.advance(0.5)
    assert not member.beat.beat(), "the register is not what it expects any more"
    assert member.lease.deadline == sent + work_limit(TIMES.stale)
    member.beat.rode(ride, landed)
    assert member.beat.beat()


def test_a_commit_whose_reply_is_lost_leaves_the_lease_to_the_beats(
    world: World, member: Member, store: Carrying, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(transactions: Sequence[Transaction], rider: Rider) -> list[Outcome]:
        ride = rider.ride()
        assert ride is not None
        rider.rode(ride, Rode.UNKNOWN)
        raise OutcomeUnknown(f"{len(transactions)}, as the test wants it")

    monkeypatch.setattr(store, "carry", lost)
    claim(world, member)
    assert not member.peer.reached
    assert member.beat.beat()
    assert member.lease.fenced is None


def test_the_thread_waits_for_an_interval_after_a_beat_that_was_taken_along(
    world: World, member: Member
) -> None:
    world.clock.advance(0.4 * TIMES.interval)
    claim(world, member)
    world.clock.advance(0.7 * TIMES.interval)
    stop = Stop(world, 2)
    member.beat.run(stop)
    assert stop.pauses == [0.0, pytest.approx(0.3 * TIMES.interval), TIMES.interval]
    assert seq(world, member) == 3
