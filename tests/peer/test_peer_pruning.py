"""Peers make marks and prune under them, by their own clocks alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest

from sentinel.errors import Unavailable
from sentinel.fleet import tasks
from sentinel.fleet.locks import floor_in
from sentinel.fleet.observer import Observer
from sentinel.fleet.retention import STEP, retention_in
from sentinel.model.codec import decode
from sentinel.model.layout import RETENTION, lock_key
from sentinel.model.lock import Lock
from sentinel.model.retention import Retention, Terms
from sentinel.store.base import Snapshot, Transaction, Version
from sentinel.store.memory import MemoryStore
from tests.peer.harness import Member, World

TERMS = Terms(seconds=100.0, count=1_000)
#: Seconds of a period, and what it takes until something that has just ended is pruned, with the slack.
PERIOD, ALL_OF_IT = 25.0, 240.0


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def ended(world: World, *ids: str) -> None:
    """Hand in tasks and cancel them."""
    world.submit(*ids)
    for name in ids:
        world.change(tasks.cancel, name, reason="a test")


def record(world: World) -> Retention | None:
    return retention_in(MemoryStore(world.fleet).read())


def mark(world: World) -> int:
    found = record(world)
    return 0 if found is None else found.mark


def kept(world: World) -> list[str]:
    return sorted(key for key in MemoryStore(world.fleet).read().list("done/"))


def test_a_mark_is_made_when_a_period_has_gone_by(world: World) -> None:
    member = world.member("w1", retention=TERMS)
    ended(world, "a")
    world.pass_time(PERIOD - 0.5, member)
    before = mark(world)
    world.pass_time(1.0, member)
    assert (before, mark(world)) == (0, 1)


def test_no_mark_is_made_while_nothing_has_ended_and_nothing_happens(world: World) -> None:
    member = world.member("w1", retention=TERMS)
    world.pass_time(3 * PERIOD, member)
    assert mark(world) == 0


def test_time_is_counted_for_the_history_where_no_task_ends(world: World) -> None:
    member = world.member("w1", retention=TERMS)
    world.pass_time(1.0, member)
    world.submit("long")
    world.pass_time(PERIOD + 1.0, member)
    assert mark(world) == 1


def test_no_mark_is_made_by_a_peer_that_prunes_nothing(world: World) -> None:
    member = world.member("w1")
    ended(world, "a")
    world.pass_time(3 * PERIOD, member)
    assert mark(world) == 0


def test_of_many_peers_one_makes_each_mark(world: World) -> None:
    members = [world.member(f"w{number}", retention=TERMS) for number in range(4)]
    ended(world, "a")
    world.pass_time(4 * PERIOD, *members)
    assert (mark(world), sum(member.peer.counters.conflicts for member in members)) == (3, 0)


def test_when_the_one_whose_turn_it_is_has_gone_another_makes_the_mark(world: World) -> None:
    members = [world.member(f"w{number}", retention=TERMS) for number in range(3)]
    ended(world, "a")
    world.pass_time(PERIOD + 10.0, *members)
    first = record(world)
    assert first is not None
    rest = [member for member in members if member.incarnation.id != first.incarnation]
    world.pass_time(3 * PERIOD, *rest)
    assert mark(world) >= 2


def test_an_ended_task_is_pruned_when_it_was_kept_for_long_enough(world: World) -> None:
    member = world.member("w1", retention=TERMS)
    ended(world, "a")
    world.pass_time(TERMS.seconds, member)
    before = kept(world)
    world.pass_time(ALL_OF_IT - TERMS.seconds, member)
    assert (before, kept(world)) == (["done/a"], [])


def test_marks_end_when_nothing_is_left_to_prune(world: World) -> None:
    member = world.member("w1", retention=TERMS)
    ended(world, "a")
    world.pass_time(ALL_OF_IT + 2 * PERIOD, member)
    before = mark(world)
    world.pass_time(5 * PERIOD, member)
    assert mark(world) == before


def test_a_wall_clock_that_is_wrong_by_years_prunes_nothing(world: World) -> None:
    member = world.member("w1", retention=TERMS)
    ended(world, "a")
    world.clock.wall_offset += 40 * 365 * 86_400
    world.pass_time(TERMS.seconds, member)
    assert kept(world) == ["done/a"]


def test_what_a_waiting_task_is_to_run_after_stays(world: World) -> None:
    member = world.member("w1", retention=TERMS)
    world.submit("a")
    world.settle(member)
    member.overseer.finish(member.runs[0])
    world.settle(member)
    world.submit("long")
    world.submit("then", after=("a", "long"))
    world.pass_time(ALL_OF_IT, member)
    assert (kept(world), world.task("then").state) == (["done/a"], "pending")


def test_a_running_task_is_never_pruned(world: World) -> None:
    member = world.member("w1", retention=TERMS)
    world.submit("long")
    ended(world, "a")
    world.pass_time(ALL_OF_IT, member)
    assert world.task("long").state == "running"


class Days(MemoryStore):
    """A memory store that keeps blobs by the day, or cannot tell."""

    days_kept: dict[str, Version] = {"2026-11-01": "v"}  # noqa: RUF012 - one for each test
    away = False

    def days(self) -> Mapping[str, Version]:
        if self.away:
            raise Unavailable("the refs cannot be read")
        return dict(self.days_kept)

    def drop_day(self, day: str, version: Version) -> bool:
        assert self.days_kept.pop(day) == version
        return True


def keeping(world: World) -> tuple[Days, Member]:
    store = Days(world.fleet)
    store.days_kept = {"2026-11-01": "v"}
    return store, world.member("w1", retention=TERMS, store=store)


def test_artifacts_of_a_day_go_when_they_were_kept_for_long_enough(world: World) -> None:
    store, member = keeping(world)
    ended(world, "a")
    for number in range(12):
        ended(world, f"more-{number}")
        world.pass_time(PERIOD, member)
    assert store.days_kept == {}


def test_artifacts_that_still_change_stay(world: World) -> None:
    store, member = keeping(world)
    for number in range(12):
        store.days_kept["2026-11-01"] = f"v{number}"
        ended(world, f"more-{number}")
        world.pass_time(PERIOD, member)
    assert store.days_kept == {"2026-11-01": "v11"}


def test_marks_are_made_though_nobody_can_tell_which_days_have_artifacts(world: World) -> None:
    store, member = keeping(world)
    store.away = True
    ended(world, "a")
    world.pass_time(3 * PERIOD, member)
    assert mark(world) >= 1


def test_beyond_the_number_the_oldest_are_pruned(world: World) -> None:
    member = world.member("w1", retention=dataclasses.replace(TERMS, count=2))
    for number in range(5):
        ended(world, f"t{number}")
        world.pass_time(60.0, member, step=1.0)
    assert len(kept(world)) <= 3


def free_lock(world: World, name: str, epoch: int) -> None:
    def decide(snapshot: Snapshot) -> tuple[Transaction, None]:
        lock = Lock(name=name, epoch=epoch)
        return world.client.change(snapshot).put(lock_key(name), lock).transaction("a test"), None

    world.client.transact(decide)


def test_a_lock_that_nobody_takes_any_more_goes_and_the_next_starts_above_it(world: World) -> None:
    member = world.member("w1", retention=TERMS)
    free_lock(world, "deploy", 41)
    world.pass_time(ALL_OF_IT + 2 * PERIOD, member)
    assert dict(world.view().locks) == {}
    assert floor_in(MemoryStore(world.fleet).read()).epoch == 41


def test_a_worker_that_is_gone_is_listed_for_as_long_as_a_task_and_then_goes(world: World) -> None:
    member, other = world.member("w1", retention=TERMS), world.member("w2")
    other.peer.end()
    world.settle(other)
    world.pass_time(TERMS.seconds, member)
    before = sorted(world.view().workers)
    world.pass_time(ALL_OF_IT + 2 * PERIOD - TERMS.seconds, member)
    assert (before, sorted(world.view().workers)) == (["w1", "w2"], ["w1"])


def test_marks_end_when_no_name_is_left_that_nobody_uses(world: World) -> None:
    member = world.member("w1", retention=TERMS)
    free_lock(world, "deploy", 41)
    world.pass_time(ALL_OF_IT + 3 * PERIOD, member)
    before = mark(world)
    world.pass_time(5 * PERIOD, member)
    assert mark(world) == before


def leave(world: World, *members: Member) -> None:
    for member in members:
        member.peer.end()
        world.settle(member)
        assert member.peer.left


def stood(world: World) -> int:
    found = record(world)
    return 0 if found is None else found.stood


def test_peers_none_of_which_lives_for_a_period_make_marks_together(world: World) -> None:
    ended(world, "a")
    for number in range(4):
        member = world.member(f"w{number}", retention=TERMS)
        world.pass_time(0.4 * PERIOD, member)
        leave(world, member)
    assert (mark(world), stood(world) < 0.6 * PERIOD) == (1, True)


def test_time_in_which_nobody_lives_is_not_counted(world: World) -> None:
    ended(world, "a")
    for number in range(2):
        member = world.member(f"w{number}", retention=TERMS)
        world.pass_time(0.4 * PERIOD, member)
        leave(world, member)
        world.clock.advance(10 * PERIOD)
    assert (mark(world), stood(world) <= 0.8 * PERIOD) == (0, True)


def test_time_that_many_saw_at_once_is_counted_once(world: World) -> None:
    ended(world, "a")
    members = [world.member(f"w{number}", retention=TERMS) for number in range(5)]
    world.pass_time(0.4 * PERIOD, *members)
    leave(world, *members)
    late = world.member("late", retention=TERMS)
    world.pass_time(0.4 * PERIOD, late)
    assert (mark(world), stood(world) <= 0.4 * PERIOD) == (0, True)


def test_one_who_stays_counts_on_whoever_comes_and_goes(world: World) -> None:
    ended(world, "a")
    long = world.member("long", retention=TERMS)
    for number in range(5):
        guest = world.member(f"w{number}", retention=TERMS)
        world.pass_time(2.0, guest, long)
        leave(world, guest)
        world.pass_time(0.2 * PERIOD - 2.0, long)
    world.pass_time(1.0, long)
    assert mark(world) == 1


def test_one_who_prunes_nothing_hands_nothing_on(world: World) -> None:
    member = world.member("w1")
    world.pass_time(0.4 * PERIOD, member)
    leave(world, member)
    assert record(world) is None


def test_a_machine_that_keeps_what_its_workers_saw_counts_the_time_between_them(world: World) -> None:
    ended(world, "a")
    first = world.member("w1", retention=TERMS)
    world.pass_time(1.0, first)
    leave(world, first)
    world.clock.advance(PERIOD)
    second = world.member("w2", retention=TERMS, observer=Observer(first.observer.sightings()))
    world.pass_time(1.0, second)
    assert mark(world) == 1


def test_what_is_over_goes_in_few_commits_however_many_parts_it_is_spread_over(world: World) -> None:
    member = world.member("w1", retention=TERMS)
    ended(world, *(f"t{number}" for number in range(40)))
    world.pass_time(ALL_OF_IT, member)
    notes = [note for entry in MemoryStore(world.fleet).audit(10_000) for note in entry.notes]
    assert [note for note in notes if note.startswith(("prune", "condemn"))] == [
        "prune t0, t1, t10, t11, t12 and 35 more, by w1",
        "condemn 40 ended tasks, by w1",
    ]
    assert kept(world) == []


def test_a_step_takes_no_more_than_it_may(world: World) -> None:
    member = world.member("w1", retention=TERMS)
    ended(world, *(f"t{number}" for number in range(STEP + 30)))
    world.pass_time(ALL_OF_IT, member)
    records = [commit.state.get(RETENTION) for commit in world.fleet.history]
    steps = [len(decode(data)["condemned"]) for data in records if data is not None]
    assert (max(steps), kept(world)) == (STEP, [])
