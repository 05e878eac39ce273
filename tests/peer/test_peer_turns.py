"""On a store where pushes are counted, a peer changes the state in its turns, and once in each."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel.fleet import tasks
from sentinel.fleet.pacing import Rhythm, Seen, Turn
from sentinel.model.layout import session_register
from sentinel.model.lease import LeaseTimes
from sentinel.store.memory import MemoryStore
from tests.peer.harness import TIMES, Member, World

#: A turn of ten seconds in every hundred, and one that begins with the test.
TURN = Turn(every=100.0, offset=0.0, lasts=10.0)
LONG = LeaseTimes(50.0, 200.0)


class Paced:
    """A pacing that does as a test says."""

    def __init__(self) -> None:
        self.now = Rhythm(times=LONG, poll=7.0, push=TURN)
        self.seen: list[Seen] = []

    def rhythm(self, seen: Seen) -> Rhythm:
        self.seen.append(seen)
        return self.now


class Counted(MemoryStore):
    """A store that knows how often it was pushed to."""

    pushes = 0

    def commit(self, transactions):  # type: ignore[no-untyped-def]  # as the base class
        self.pushes += bool(transactions)
        return super().commit(transactions)

    def keep(self, blobs):  # type: ignore[no-untyped-def]  # as the base class
        self.pushes += bool(blobs)
        return super().keep(blobs)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def pacing() -> Paced:
    return Paced()


@pytest.fixture
def store(world: World) -> Counted:
    return Counted(world.fleet)


@pytest.fixture
def member(world: World, pacing: Paced, store: Counted) -> Member:
    """A peer whose turn it is not."""
    member = world.member("w", store=store, pacing=pacing)
    go_to(world, 50.0, member)
    store.pushes = 0
    return member


def go_to(world: World, second: float, *members: Member) -> None:
    """To the next moment at which a round of turns is so old. These beat there."""
    world.clock.advance((second - world.clock.wall()) % TURN.every or TURN.every)
    for member in members:
        assert member.beat.beat()


def test_nothing_is_claimed_before_its_turn(world: World, member: Member, store: Counted) -> None:
    world.submit("t")
    world.settle(member)
    assert (member.runs, store.pushes) == ([], 0)


def test_it_is_claimed_in_its_turn(world: World, member: Member, store: Counted) -> None:
    world.submit("t")
    go_to(world, 1.0, member)
    world.settle(member)
    assert (member.runs, store.pushes) == (["t@1"], 1)


def test_what_comes_after_the_push_waits_for_the_next_turn(
    world: World, member: Member, store: Counted
) -> None:
    go_to(world, 1.0, member)
    world.submit("first")
    world.settle(member)
    world.submit("second")
    world.clock.advance(1.0)
    world.settle(member)
    assert member.runs == ["first@1"]
    go_to(world, 1.0, member)
    world.settle(member)
    assert (member.runs, store.pushes) == (["first@1", "second@1"], 2)


def test_outputs_take_a_turn_and_what_they_belong_to_the_next(
    world: World, member: Member, store: Counted
) -> None:
    world.submit("t")
    go_to(world, 1.0, member)
    world.settle(member)
    member.overseer.finish("t@1", result="good")
    Path(member.overseer.started[0].log_path).write_text("said")
    states = []
    for _ in range(2):
        go_to(world, 1.0, member)
        world.settle(member)
        states.append((world.task("t").state, store.pushes))
    assert states == [("running", 2), ("done", 3)]


def test_outputs_of_many_tasks_are_stored_together(world: World, pacing: Paced, store: Counted) -> None:
    member = world.member("w", store=store, pacing=pacing, max_tasks=3)
    world.submit("a", "b", "c")
    go_to(world, 1.0, member)
    world.settle(member)
    for spec in list(member.overseer.started):
        member.overseer.finish(spec.run, result="good")
        Path(spec.log_path).write_text(spec.run)
    store.pushes = 0
    go_to(world, 1.0, member)
    world.settle(member)
    assert store.pushes == 1


def test_a_cancelled_task_is_stopped_at_once(world: World, member: Member) -> None:
    world.submit("t")
    go_to(world, 1.0, member)
    world.settle(member)
    go_to(world, 50.0, member)
    world.change(tasks.cancel, "t", reason="for a test")
    world.settle(member)
    assert member.runs == []


def test_a_peer_that_leaves_waits_for_no_turn(world: World, member: Member) -> None:
    member.peer.drain()
    world.settle(member)
    assert member.peer.left


def test_it_looks_as_often_as_it_may_and_wakes_for_its_turn(world: World, member: Member) -> None:
    assert member.peer.tick() == 7.0
    go_to(world, 98.0, member)
    assert world.clock.wall() % 100 + member.peer.tick() == pytest.approx(102.5)


def test_a_turn_that_began_during_the_look_is_used(
    world: World, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_to(world, 99.9, member)
    look = member.store.look

    def slow_look():  # type: ignore[no-untyped-def]  # as what it stands for
        found = look()
        world.clock.advance(0.05)
        return found

    monkeypatch.setattr(member.store, "look", slow_look)
    monkeypatch.setattr(member.peer._work, "stop_unwanted", lambda view: None)
    world.submit("t")
    member.peer.tick()
    world.clock.advance(0.06)
    assert member.peer.tick() == 0.0 or member.runs == ["t@1"]
    member.peer.tick()
    assert member.runs == ["t@1"]


def test_the_next_beat_announces_what_was_last_seen(world: World, member: Member, pacing: Paced) -> None:
    def announced() -> tuple[float, float]:
        (register,) = member.store.published().values()
        assert register.document is not None
        return register.document["interval"], register.document["ttl"]

    pacing.now = Rhythm(times=TIMES, poll=7.0)
    member.peer.tick()
    member.beat.beat()
    assert announced() == (TIMES.interval, TIMES.stale)
    pacing.now = Rhythm(times=LONG, poll=7.0)
    member.peer.tick()
    member.beat.beat()
    assert announced() == (LONG.interval, LONG.stale)


def test_a_peer_that_announced_more_is_given_more_time(world: World, member: Member) -> None:
    member.peer.tick()
    member.beat.beat()
    world.submit("t")
    go_to(world, 1.0, member)
    world.settle(member)
    observer = world.member("observer")
    world.pass_time(TIMES.stale + 20.0, observer)
    assert world.view().live(member.incarnation.id)
    world.pass_time(LONG.stale, observer)
    assert not world.view().live(member.incarnation.id)


def test_a_session_that_is_unreadable_is_silent_under_the_last_ttl_that_was_read(
    world: World, member: Member
) -> None:
    member.peer.tick()
    member.beat.beat()
    observer = world.member("observer")
    world.pass_time(1.0, observer)
    name = session_register(member.incarnation.id)
    register = member.store.published()[name]
    member.store.publish(name, {"what": "is this"}, register.version)
    world.pass_time(TIMES.stale + 20.0, observer)
    assert world.view().live(member.incarnation.id)
    world.pass_time(LONG.stale, observer)
    assert not world.view().live(member.incarnation.id)


def test_it_tells_its_pacing_how_many_they_are(world: World, member: Member, pacing: Paced) -> None:
    world.clock.advance(0.5)
    world.member("other", pacing=Paced())
    member.peer.tick()
    assert pacing.seen[-1] == Seen(workers=2, place=0)
