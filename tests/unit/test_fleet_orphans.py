"""What the dead leave behind: tasks and locks that anyone frees, registers that nobody beats in."""

from __future__ import annotations

import pytest

from sentinel.fleet import failover
from sentinel.fleet.failover import Suspect
from sentinel.model.layout import session_register
from sentinel.store.base import ABSENT, Committed, Transaction
from tests.unit.builders import Bench, evolve, held_lock, incarnation, running, task

NAME = session_register("inc1")
DEAD = Suspect(incarnation="inc1", worker="w1", version=ABSENT, session=None, ground="proven dead")


@pytest.fixture
def fleet(bench: Bench) -> Bench:
    """Two workers that have beaten once."""
    bench.join("w1", "inc1")
    bench.join("w2", "inc2")
    return bench


def look(bench: Bench, *, after: float = 0.0) -> None:
    """Look once, ``after`` seconds from now."""
    bench.clock.advance(after)
    watched = failover.watched(bench.view(), bench.registers())
    bench.observer.look(watched, sent=bench.clock.now(), reply=bench.clock.now())


def orphans(bench: Bench, *gone: str) -> list[Transaction]:
    return list(
        failover.orphans(bench.view(), bench.change, bench.observer, gone=frozenset(gone), wall=0.0, by="w2")
    )


@pytest.fixture
def at_work(fleet: Bench) -> Bench:
    fleet.put(running("one"), running("two"), held_lock(incarnation="inc1"), task("three"))
    fleet.put(running("other", worker="w2", incarnation="inc2"))
    return fleet


def test_the_work_of_the_living_is_no_orphan(at_work: Bench) -> None:
    assert orphans(at_work) == []


def test_each_orphan_is_freed_in_a_transaction_of_its_own(at_work: Bench) -> None:
    at_work.drop("incarnations/inc1")
    freed = orphans(at_work)
    assert sorted(sorted(tx.write) for tx in freed) == [["locks/deploy"], ["tasks/one"], ["tasks/two"]]
    assert all(at_work.lands(tx) for tx in freed)


def test_one_orphan_that_moved_does_not_keep_the_others(at_work: Bench) -> None:
    at_work.drop("incarnations/inc1")
    freed = orphans(at_work)
    at_work.put(evolve(running("one"), cancel_requested="no"))
    assert sorted(at_work.lands(tx) for tx in freed) == [False, True, True]


def test_orphans_are_freed_in_the_batch_of_the_burial(at_work: Bench) -> None:
    batch = [failover.bury(at_work.change(), DEAD, by="w2"), *orphans(at_work, "inc1")]
    assert [type(outcome) for outcome in at_work.store.commit(batch)] == [Committed] * 4


def test_orphans_are_not_freed_when_the_burial_before_them_failed(at_work: Bench) -> None:
    batch = [failover.bury(at_work.change(), DEAD, by="w2"), *orphans(at_work, "inc1")]
    at_work.put(incarnation("inc1"))
    assert [isinstance(outcome, Committed) for outcome in at_work.store.commit(batch)] == [False] * 4


def test_who_is_dead_itself_frees_nobody(at_work: Bench) -> None:
    at_work.drop("incarnations/inc1")
    freed = failover.orphans(
        at_work.view(),
        lambda: at_work.change().expect_present("incarnations/inc2"),
        at_work.observer,
        gone=frozenset(),
        wall=0.0,
        by="w2",
    )
    batch = list(freed)
    at_work.drop("incarnations/inc2")
    assert [isinstance(outcome, Committed) for outcome in at_work.store.commit(batch)] == [False] * 3


def test_a_ticket_is_never_an_orphan(bench: Bench) -> None:
    bench.put(held_lock())
    assert orphans(bench) == []


def test_a_ticket_is_freed_when_it_was_silent_for_its_time(bench: Bench) -> None:
    bench.put(held_lock(ttl=60.0))
    look(bench)
    look(bench, after=59.0)
    early = orphans(bench)
    look(bench, after=1.0)
    assert (early, [tx.note for tx in orphans(bench)]) == (
        [],
        ["free lock deploy epoch 1 of alice (silent for 60 s) by w2"],
    )


# -- registers ---------------------------------------------------------------------------------------


def test_the_register_of_one_that_is_gone_is_abandoned(fleet: Bench) -> None:
    fleet.drop("incarnations/inc1")
    abandoned = failover.abandoned_registers(fleet.view(), fleet.registers())
    assert abandoned == {NAME: fleet.register_version(NAME)}


def test_the_register_of_an_unreadable_incarnation_is_not_abandoned(fleet: Bench) -> None:
    fleet.tear("incarnations/inc1")
    assert failover.abandoned_registers(fleet.view(), fleet.registers()) == {}


def test_what_is_watched_are_the_living_and_the_tickets(fleet: Bench) -> None:
    fleet.put(held_lock("ticket"), held_lock("held", incarnation="inc1"), held_lock("free").free())
    fleet.drop("incarnations/inc2")
    assert set(failover.watched(fleet.view(), fleet.registers())) == {NAME, "locks/ticket"}


def test_each_live_incarnation_has_its_own_turn_to_tidy_up(fleet: Bench) -> None:
    assert sorted(failover.turn(fleet.view(), NAME, name) for name in ("inc1", "inc2")) == [0, 1]


def test_the_same_incarnation_is_not_the_first_to_tidy_up_after_everything(fleet: Bench) -> None:
    names = [session_register(f"gone-{number}") for number in range(50)]
    assert {failover.turn(fleet.view(), name, "inc1") for name in names} == {0, 1}
