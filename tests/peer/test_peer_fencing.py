"""Nothing of a dead incarnation ever lands (I11), whatever it wrote and however late it arrives."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel.errors import OutcomeUnknown
from sentinel.fleet.acquisition import Acquisition
from sentinel.fleet.proof import NoProof
from sentinel.model.layout import session_register
from sentinel.model.worker import Session
from sentinel.peer.peer import Phase
from sentinel.store.base import Conflicted
from sentinel.store.memory import MemoryStore
from sentinel.testing.faults import Fault, FaultyStore
from tests.peer.harness import TIMES, Member, World

LONG = TIMES.stale + 2.0


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def doomed(world: World) -> tuple[Member, FaultyStore]:
    """A member whose writes a test can hold back."""
    store = FaultyStore(MemoryStore(world.fleet))
    return world.member("doomed", store=store), store


def test_a_dead_incarnations_delayed_claim_bounces(world: World) -> None:
    member, store = doomed(world)
    world.submit("t")
    store.inject("commit", Fault.DELAYED)
    member.peer.tick()
    survivor = world.member("survivor")
    world.pass_time(LONG, survivor)
    assert world.task("t").owner == "survivor"

    landed = [outcome for write in store.release() for outcome in write]

    assert landed
    assert all(isinstance(outcome, Conflicted) for outcome in landed)
    assert world.task("t").owner == "survivor"
    assert world.task("t").epoch == 1


def test_a_dead_incarnations_delayed_finish_bounces(world: World) -> None:
    member, store = doomed(world)
    world.submit("t")
    world.settle(member)
    member.overseer.finish("t@1", result="late")
    store.inject("commit", Fault.DELAYED)
    member.peer.tick()
    survivor = world.member("survivor")
    world.pass_time(LONG, survivor)
    assert survivor.runs == ["t@2"]

    landed = [outcome for write in store.release() for outcome in write]

    assert landed
    assert all(isinstance(outcome, Conflicted) for outcome in landed)
    survivor.overseer.finish("t@2", result="good")
    world.settle(survivor)
    assert world.task("t").result == "good"
    assert [event.event for event in world.task("t").history].count("finished") == 1


def test_a_dead_incarnations_delayed_lock_write_bounces(world: World) -> None:
    member, store = doomed(world)
    wanted = Acquisition(
        transactor=member.transactor,
        observer=member.observer,
        proof=NoProof(),
        name="deploy",
        holder="doomed",
        incarnation=member.incarnation.id,
        ttl=TIMES.stale,
        stale=TIMES.stale,
    )
    store.inject("commit", Fault.DELAYED, times=100)
    with pytest.raises(Exception, match="sent and not arrived"):
        wanted.attempt()
    survivor = world.member("survivor")
    world.pass_time(LONG, survivor)

    landed = [outcome for write in store.release() for outcome in write]

    assert landed
    assert all(isinstance(outcome, Conflicted) for outcome in landed)
    assert "deploy" not in world.view().locks


def test_a_dead_incarnations_delayed_beat_bounces(world: World) -> None:
    beat_store = FaultyStore(MemoryStore(world.fleet))
    member = world.member("doomed", beat_store=beat_store)
    beat_store.inject("publish", Fault.DELAYED)
    member.beat.beat()
    survivor = world.member("survivor")
    world.pass_time(LONG, survivor)

    landed = [outcome for write in beat_store.release() for outcome in write]

    assert landed
    assert all(isinstance(outcome, Conflicted) for outcome in landed)
    register = survivor.store.published().get(session_register(member.incarnation.id))
    assert register is None or Session.load("", register.document or {}).sealed_by == "survivor"


def test_a_dead_incarnations_delayed_first_beat_bounces(world: World) -> None:
    store = FaultyStore(MemoryStore(world.fleet))
    member = Member(world, "doomed", beat_store=store)
    assert member.admission.attempt()
    store.inject("publish", Fault.DELAYED)
    member.beat.beat()
    world.submit("t")
    survivor = world.member("survivor")
    world.pass_time(LONG, survivor)

    landed = [outcome for write in store.release() for outcome in write]
    world.settle(member)

    assert landed
    assert all(isinstance(outcome, Conflicted) for outcome in landed)

    assert world.task("t").owner == "survivor"
    assert member.runs == []


def test_nothing_is_claimed_before_the_first_beat_is_confirmed(world: World) -> None:
    member = Member(world, "eager")
    assert member.admission.attempt()
    world.submit("t")
    world.settle(member)
    assert world.task("t").state == "pending"


def test_a_silent_peer_is_taken_over_after_w_and_not_before(world: World) -> None:
    silent = world.member("silent")
    world.submit("t")
    world.settle(silent)
    survivor = world.member("survivor")
    world.pass_time(TIMES.stale - 0.5, survivor)
    assert world.task("t").owner == "silent"
    world.pass_time(1.5, survivor)
    assert world.task("t").owner == "survivor"
    assert world.task("t").losses == 1


def test_a_peer_that_beats_keeps_its_tasks_for_ever(world: World) -> None:
    busy = world.member("busy")
    world.submit("t")
    world.settle(busy)
    other = world.member("other")
    world.pass_time(60.0, busy, other)
    assert world.task("t").owner == "busy"
    assert world.task("t").epoch == 1


def test_a_woken_peer_finds_its_tasks_ended_and_commits_nothing(world: World) -> None:
    sleeper = world.member("sleeper")
    world.submit("t")
    world.settle(sleeper)
    survivor = world.member("survivor")
    world.pass_time(LONG, survivor)
    before = world.fleet.head.revision

    sleeper.beat.beat()
    world.settle(sleeper)

    assert sleeper.runs == []
    assert sleeper.peer.phase is Phase.GONE
    assert sleeper.peer.fenced is not None
    assert world.fleet.head.revision == before


def test_tasks_end_at_the_deadline_although_the_daemon_does_nothing(world: World) -> None:
    stopped = world.member("stopped")
    world.submit("t")
    world.settle(stopped)
    world.clock.advance(TIMES.work_limit - 0.1)
    stopped.overseer.watch()
    assert stopped.runs == ["t@1"]
    world.clock.advance(0.2)
    stopped.overseer.watch()
    assert stopped.runs == []


def test_an_unconfirmed_beat_never_extends_the_deadline(world: World) -> None:
    store = FaultyStore(MemoryStore(world.fleet))
    member = world.member("unsure", beat_store=store)
    before = member.lease.deadline
    world.clock.advance(1.0)
    store.inject("publish", Fault.DELAYED)
    member.beat.beat()
    assert member.lease.deadline == before


def test_a_beat_whose_reply_was_lost_counts_from_its_own_sending(world: World) -> None:
    store = FaultyStore(MemoryStore(world.fleet))
    member = world.member("unsure", beat_store=store)
    before = member.lease.deadline
    world.clock.advance(1.0)
    store.inject("publish", Fault.REPLY_LOST)
    member.beat.beat()
    world.clock.advance(1.0)
    store.inject("publish", Fault.UNAVAILABLE)
    member.beat.beat()
    assert member.lease.deadline == before + 1.0


def test_what_ended_before_the_deadline_may_land_in_the_last_transaction(world: World) -> None:
    beat_store = FaultyStore(MemoryStore(world.fleet))
    store = FaultyStore(MemoryStore(world.fleet))
    member = world.member("cut-off", store=store, beat_store=beat_store)
    world.submit("t", "u1")
    world.settle(member)
    store.inject("read", Fault.UNAVAILABLE, times=1000)
    beat_store.inject("publish", Fault.UNAVAILABLE, times=1000)
    member.overseer.finish("t@1", result="in time")
    world.pass_time(TIMES.stale, member)
    assert member.peer.fenced is not None

    while True:
        member.peer.tick()
        if member.peer.phase is Phase.GONE:
            break

    assert world.task("t").result == "in time"
    assert world.task("u1").state == "pending"
    assert world.task("u1").losses == 0
    assert world.view().incarnations == {}


def test_results_of_a_fenced_peer_that_was_taken_over_are_dropped_and_counted(world: World) -> None:
    store = FaultyStore(MemoryStore(world.fleet))
    member = world.member("cut-off", store=store)
    world.submit("t")
    world.settle(member)
    member.overseer.finish("t@1", result="too late")
    survivor = world.member("survivor")
    world.pass_time(LONG, survivor)

    world.settle(member)

    assert member.peer.counters.stale_results == 1
    assert world.task("t").owner == "survivor"


def test_a_control_loop_that_hangs_stops_the_beat(world: World) -> None:
    member = world.member("hung")
    world.clock.advance(TIMES.stale + 1)
    assert member.beat.beat() is False


def test_a_join_that_arrives_a_second_time_does_not_bring_the_dead_back(world: World) -> None:
    store = FaultyStore(MemoryStore(world.fleet))
    member = Member(world, "gone", store=store)
    store.inject("commit", Fault.DELAYED)
    with pytest.raises(OutcomeUnknown):
        member.admission.attempt()
    assert member.admission.attempt()
    member.beat.beat()
    survivor = world.member("survivor")
    world.pass_time(LONG, survivor)

    store.release()

    assert member.incarnation.id not in world.view().incarnations
