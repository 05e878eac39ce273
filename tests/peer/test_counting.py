"""What is counted outlives the incarnations that counted it, and is never counted twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from sentinel.fleet import failover, tasks
from sentinel.fleet.counting import all_contention, all_totals
from sentinel.fleet.view import load_session
from sentinel.model.counts import Contention, Counts, Totals
from sentinel.model.layout import session_register
from sentinel.peer.peer import Phase
from sentinel.store.base import Outcome, Transaction
from sentinel.store.memory import MemoryStore
from tests.peer.harness import TIMES, Member, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def totals(world: World) -> dict[str, Totals]:
    return all_totals(MemoryStore(world.fleet).read())


def worked(world: World, name: str = "w") -> Member:
    """A member that has run one task, and told so in a beat."""
    member = world.member(name)
    world.submit(f"task-of-{name}")
    world.settle(member)
    member.overseer.finish(f"task-of-{name}@1")
    world.settle(member)
    assert member.beat.beat()
    return member


def leave(world: World, member: Member) -> None:
    member.peer.drain()
    world.settle(member)
    assert member.peer.phase is Phase.GONE


def test_a_beat_carries_the_counts_of_its_incarnation(world: World) -> None:
    member = worked(world)
    name = session_register(member.incarnation.id)
    session = load_session(name, member.store.published()[name])
    assert session is not None
    assert session.counts == Counts(claimed=1, ended=1)


def test_who_leaves_adds_its_counts_to_its_worker(world: World) -> None:
    leave(world, worked(world))
    leave(world, world.member("w"))
    found = totals(world)["w"]
    assert (found.ended, found.crashed, found.last_crash) == (2, 0, None)
    assert found.counts == Counts(claimed=1, ended=1)


def test_the_counts_of_one_that_crashed_are_kept_by_who_fails_it_over(world: World) -> None:
    dead, other = worked(world), world.member("other")
    world.pass_time(2 * TIMES.stale, other)
    found = totals(world)["w"]
    assert (found.ended, found.crashed, found.last_crash) == (1, 1, dead.incarnation.id)
    assert found.counts == Counts(claimed=1, ended=1)
    assert other.peer.counters.failovers == 1


def test_two_that_fail_over_the_same_count_it_once(world: World) -> None:
    dead, one, two = worked(world), world.member("one"), world.member("two")
    world.pass_time(2 * TIMES.stale, one, two)
    assert totals(world)["w"].crashed == 1
    view = world.view()
    assert not view.live(dead.incarnation.id)
    stale = failover.Suspect(
        incarnation=dead.incarnation.id, worker="w", version="x", session=None, ground="a test"
    )
    assert failover.count(world.client.change(view.snapshot), view, stale) is None


def test_a_count_that_comes_too_late_does_not_land(world: World) -> None:
    dead, other = worked(world), world.member("other")
    before = world.view()
    suspect = failover.Suspect(
        incarnation=dead.incarnation.id, worker="w", version="x", session=None, ground="a test"
    )
    late = failover.count(world.client.change(before.snapshot), before, suspect)
    world.pass_time(2 * TIMES.stale, other)
    assert late is not None
    MemoryStore(world.fleet).commit([late])
    assert totals(world)["w"].crashed == 1


def test_totals_that_cannot_be_read_keep_nobody_from_leaving(world: World) -> None:
    member = worked(world)
    world.fleet.head.state["totals/w"] = b"{"  # type: ignore[index]  # planted
    leave(world, member)
    assert not world.view().live(member.incarnation.id)


def test_a_worker_that_is_forgotten_counts_with_all_others_like_it(world: World) -> None:
    for name in ("eph-1", "eph-2"):
        member = worked(world, name)
        member.peer._options = dataclasses.replace(member.peer._options, forget=True)
        leave(world, member)
    assert totals(world).keys() == {".forgotten"}
    assert totals(world)[".forgotten"].counts == Counts(claimed=2, ended=2)


def test_a_claim_that_another_was_faster_with_is_counted(world: World) -> None:
    class Beaten(MemoryStore):
        def commit(self, transactions: Sequence[Transaction]) -> list[Outcome]:
            if any(tx.note.startswith("claim t ") for tx in transactions):
                world.change(tasks.cancel, "t", reason="it was faster")
            return super().commit(transactions)

    member = world.member("w", store=Beaten(world.fleet))
    world.submit("t")
    member.peer.tick()
    assert (member.peer.counters.lost_claims, member.peer.counters.claimed) == (1, 0)


def test_a_lock_s_contention_that_cannot_be_read_is_left_out(world: World) -> None:
    world.fleet.head.state["contention/x"] = b"{"  # type: ignore[index]  # planted
    assert all_contention(MemoryStore(world.fleet).read()) == {}


def test_records_keep_fields_that_this_version_does_not_know() -> None:
    for record in (Totals(worker="w", rev=1, tx="t"), Contention(name="x", rev=1, tx="t")):
        document = {**record.document(), "later": 1}
        key = "totals/w" if isinstance(record, Totals) else "contention/x"
        assert type(record).load(key, document).document() == document
