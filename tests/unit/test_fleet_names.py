"""Names that nobody has used for long go; one that is used, or was lately, and what it counted never do."""

from __future__ import annotations

import dataclasses

import pytest

from sentinel.fleet import locks, names, registry
from sentinel.model import layout
from sentinel.model.assignment import Assignment
from sentinel.model.counts import Contention, Counts, Totals
from sentinel.model.layout import LOCK_FLOOR, RETENTION, contention_key, lock_key, totals_key, worker_key
from sentinel.model.lock import Lock
from sentinel.model.retention import Retention, Terms
from sentinel.model.worker import Worker
from sentinel.store.base import Transaction
from tests.unit.builders import WALL, Bench, held_lock, incarnation, worker

WEEK = Terms(seconds=7 * 86_400.0, count=1_000)
#: Marks after which a week is over.
OVER = WEEK.marks
NOW = 1_000


def record(mark: int = NOW) -> Retention:
    return Retention(mark=mark, by="w1", incarnation="inc1")


def free_lock(name: str = "deploy", *, epoch: int = 1, mark: int = 0) -> Lock:
    return dataclasses.replace(held_lock(name).free(mark), epoch=epoch)


def gone_worker(name: str = "w9", *, mark: int = 0) -> Worker:
    return worker(name, f"inc-of-{name}", mark=mark)


def due(bench: Bench, mark: int = NOW) -> list[str]:
    return [key for portion in names.due(bench.view(), record(mark), WEEK) for key in portion]


def steps(bench: Bench, mark: int = NOW) -> list[Transaction]:
    """All steps of one mark, as they are decided one after another."""
    taken = []
    for portion in names.due(bench.view(), record(mark), WEEK):
        change, snapshot = bench.change(), bench.snapshot()
        transaction = names.step(change, snapshot, record(mark), WEEK, portion, by="w1")
        if transaction is not None:
            assert bench.lands(transaction)
            taken.append(transaction)
    return taken


def keys(bench: Bench, folder: str) -> list[str]:
    return sorted(bench.snapshot().list(folder))


def write(bench: Bench, key: str, stored: Contention | Totals | Assignment | Retention) -> None:
    assert bench.lands(bench.change().put(key, stored).transaction("a test"))


# -- locks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mark", "left"), [(NOW - OVER, []), (NOW - OVER + 1, ["locks/deploy"])])
def test_a_lock_goes_when_it_has_been_free_for_long_enough(bench: Bench, mark: int, left: list[str]) -> None:
    bench.put(free_lock(mark=mark))
    steps(bench)
    assert [key for key in keys(bench, layout.LOCKS) if key != LOCK_FLOOR] == left


def test_a_held_lock_stays_for_ever(bench: Bench) -> None:
    bench.put(held_lock())
    assert (due(bench), steps(bench)) == ([], [])


def test_a_lock_that_was_freed_before_there_was_a_mark_is_given_the_present_one(bench: Bench) -> None:
    bench.put(free_lock(epoch=4))
    assert [step.note for step in steps(bench)] == ["mark 1 locks that nobody uses, by w1"]
    assert (bench.view().locks["deploy"].mark, bench.view().locks["deploy"].epoch) == (NOW, 4)


def test_a_lock_keeps_the_mark_that_it_was_released_under(bench: Bench) -> None:
    write(bench, RETENTION, record(7))
    bench.put(held_lock())
    transaction, _ = locks.release(bench.change(), bench.snapshot(), "deploy", epoch=1, by="alice")
    assert bench.lands(transaction)
    assert bench.view().locks["deploy"].mark == 7


def test_a_lock_that_is_freed_from_one_who_is_gone_keeps_the_mark_of_then(bench: Bench) -> None:
    write(bench, RETENTION, record(7))
    bench.put(held_lock(incarnation="inc1"))
    view = bench.view()
    freed = locks.free_left_behind(bench.change, view, view.locks["deploy"], frozenset(), 0.0, by="w1")
    assert bench.lands(freed)
    assert bench.view().locks["deploy"].mark == 7


def test_a_lock_that_is_taken_has_no_mark(bench: Bench) -> None:
    assert free_lock(mark=7).acquire(holder="bob", incarnation=None, ttl=60.0, at="now").mark == 0


def test_a_lock_that_comes_again_starts_above_every_epoch_it_had(bench: Bench) -> None:
    bench.put(free_lock(epoch=41, mark=1))
    steps(bench)
    transaction, taken = locks.acquire(
        bench.change(),
        bench.snapshot(),
        "deploy",
        holder="bob",
        incarnation=None,
        ttl=60.0,
        observer=bench.observer,
        wall=WALL,
    )
    assert (bench.lands(transaction), taken.epoch) == (True, 42)


def test_the_floor_is_above_all_locks_that_went_and_never_falls(bench: Bench) -> None:
    bench.put(free_lock("a", epoch=3, mark=1), free_lock("b", epoch=9, mark=1))
    steps(bench)
    bench.put(free_lock("c", epoch=5, mark=1))
    steps(bench)
    assert (locks.floor_in(bench.snapshot()).epoch, keys(bench, layout.LOCKS)) == (9, [LOCK_FLOOR])


def test_over_an_unreadable_floor_no_lock_goes(bench: Bench) -> None:
    bench.put(free_lock(mark=1))
    bench.tear(LOCK_FLOOR)
    assert (steps(bench), keys(bench, layout.LOCKS)) == ([], [LOCK_FLOOR, "locks/deploy"])


def test_an_unreadable_lock_stays(bench: Bench) -> None:
    bench.tear(lock_key("deploy"))
    assert due(bench) == []


def test_a_lock_that_is_taken_meanwhile_stays(bench: Bench) -> None:
    bench.put(free_lock(mark=1))
    step = names.step(bench.change(), bench.snapshot(), record(), WEEK, [lock_key("deploy")], by="w1")
    bench.put(held_lock())
    assert not bench.lands(step)


def test_a_lock_that_was_taken_before_the_step_stays(bench: Bench) -> None:
    bench.put(held_lock())
    assert names.step(bench.change(), bench.snapshot(), record(), WEEK, ["locks/deploy"], by="w1") is None


def test_how_often_a_lock_was_wanted_goes_with_it(bench: Bench) -> None:
    bench.put(free_lock(mark=1))
    write(bench, contention_key("deploy"), Contention(name="deploy", conflicts=3))
    steps(bench)
    assert keys(bench, layout.CONTENTION) == []


def test_how_often_a_lock_was_wanted_stays_while_the_lock_does(bench: Bench) -> None:
    bench.put(held_lock())
    write(bench, contention_key("deploy"), Contention(name="deploy", conflicts=3))
    steps(bench)
    assert keys(bench, layout.CONTENTION) == [contention_key("deploy")]


def test_counts_of_a_lock_that_is_gone_go(bench: Bench) -> None:
    write(bench, contention_key("deploy"), Contention(name="deploy", conflicts=3))
    assert [step.note for step in steps(bench)] == ["prune lock deploy, by w1"]
    assert keys(bench, layout.CONTENTION) == []


# -- workers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mark", "left"), [(NOW - OVER, []), (NOW - OVER + 1, ["workers/w9"])])
def test_a_worker_goes_when_it_has_been_gone_for_long_enough(
    bench: Bench, mark: int, left: list[str]
) -> None:
    bench.put(gone_worker(mark=mark))
    steps(bench)
    assert keys(bench, layout.WORKERS) == left


def test_a_worker_that_is_seen_to_be_gone_is_given_the_present_mark(bench: Bench) -> None:
    bench.put(gone_worker())
    assert [step.note for step in steps(bench)] == ["mark 1 workers that nobody uses, by w1"]
    assert bench.view().workers["w9"].mark == NOW


def test_a_live_worker_stays_whatever_its_mark(bench: Bench) -> None:
    bench.put(worker(mark=1), incarnation())
    assert (due(bench), steps(bench)) == ([], [])


def test_a_worker_that_comes_back_has_no_mark(bench: Bench) -> None:
    bench.put(worker(mark=7))
    joining = registry.join(bench.change(), bench.snapshot(), worker(), incarnation("inc2"))
    assert bench.lands(joining)
    assert bench.view().workers["w1"].mark == 0


def test_a_worker_that_comes_back_meanwhile_stays(bench: Bench) -> None:
    bench.put(worker(mark=1))
    step = names.step(bench.change(), bench.snapshot(), record(), WEEK, [worker_key("w1")], by="w2")
    assert bench.lands(registry.join(bench.change(), bench.snapshot(), worker(), incarnation("inc2")))
    assert not bench.lands(step)


def test_a_person_who_cordons_a_worker_that_is_gone_has_it_kept_anew(bench: Bench) -> None:
    bench.put(gone_worker(mark=1))
    transaction, _ = registry.cordon(bench.change(), bench.snapshot(), "w9", cordoned=True)
    assert bench.lands(transaction)
    steps(bench)
    assert (bench.view().workers["w9"].cordoned, bench.view().workers["w9"].mark) == (True, NOW)


def test_an_unreadable_registration_stays(bench: Bench) -> None:
    bench.tear(worker_key("w9"))
    write(bench, totals_key("w9"), Totals(worker="w9", ended=1))
    assert (due(bench), steps(bench)) == ([], [])


def test_what_is_meant_for_a_worker_goes_with_it(bench: Bench) -> None:
    bench.put(gone_worker(mark=1))
    write(bench, layout.assignment_key("w9"), Assignment(worker="w9", tasks={}, by="w1", lock="c"))
    steps(bench)
    assert keys(bench, layout.ASSIGNMENTS) == []


def test_what_a_worker_did_is_counted_on_with_all_that_were_forgotten(bench: Bench) -> None:
    bench.put(gone_worker("w8", mark=1), gone_worker("w9", mark=1))
    write(bench, totals_key("w8"), Totals(worker="w8", ended=2, crashed=1, counts=Counts(claimed=5)))
    write(bench, totals_key("w9"), Totals(worker="w9", ended=1, counts=Counts(claimed=7, ended=6)))
    key = totals_key(layout.FORGOTTEN)
    write(bench, key, Totals(worker=layout.FORGOTTEN, ended=10, counts=Counts(claimed=100)))
    steps(bench)
    together = bench.snapshot().parsed(key, Totals.load)
    assert together is not None
    assert (keys(bench, layout.TOTALS), together.ended, together.crashed, together.counts) == (
        [key],
        13,
        1,
        Counts(claimed=112, ended=6),
    )


def test_over_unreadable_counts_of_the_forgotten_those_of_a_worker_stay(bench: Bench) -> None:
    bench.put(gone_worker(mark=1))
    write(bench, totals_key("w9"), Totals(worker="w9", ended=1))
    bench.tear(totals_key(layout.FORGOTTEN))
    steps(bench)
    assert (keys(bench, layout.WORKERS), totals_key("w9") in keys(bench, layout.TOTALS)) == ([], True)
    assert steps(bench) == []


def test_what_is_left_of_a_worker_without_a_registration_goes(bench: Bench) -> None:
    write(bench, totals_key("w9"), Totals(worker="w9", ended=1))
    write(bench, layout.assignment_key("w8"), Assignment(worker="w8", tasks={}, by="w1", lock="c"))
    steps(bench)
    assert (keys(bench, layout.ASSIGNMENTS), keys(bench, layout.TOTALS)) == (
        [],
        [totals_key(layout.FORGOTTEN)],
    )


def test_a_worker_that_a_person_removes_leaves_nothing_but_what_it_did(bench: Bench) -> None:
    bench.put(worker())
    write(bench, totals_key("w1"), Totals(worker="w1", ended=1, counts=Counts(claimed=5)))
    write(bench, layout.assignment_key("w1"), Assignment(worker="w1", tasks={}, by="w2", lock="c"))
    assert bench.lands(registry.remove(bench.change(), bench.snapshot(), "w1"))
    assert (keys(bench, layout.ASSIGNMENTS), keys(bench, layout.TOTALS)) == (
        [],
        [totals_key(layout.FORGOTTEN)],
    )


# -- steps -------------------------------------------------------------------------------------------


def test_a_step_deals_with_so_many_names_and_no_more(bench: Bench) -> None:
    bench.put(*(free_lock(f"l{number}", mark=1) for number in range(names.STEP + 3)))
    notes = [step.note for step in steps(bench)]
    assert notes == [
        "prune lock l0, l1, l10, l100, l101 and 95 more, by w1",
        "prune lock l97, l98, l99, by w1",
    ]


def test_a_step_bounces_when_another_made_a_mark_meanwhile(bench: Bench) -> None:
    bench.put(free_lock(mark=1))
    step = names.step(bench.change(), bench.snapshot(), record(), WEEK, [lock_key("deploy")], by="w1")
    write(bench, RETENTION, record(NOW + 1))
    assert not bench.lands(step)


@pytest.mark.parametrize(
    ("stored", "idle"),
    [(held_lock(), False), (free_lock(), True), (gone_worker(), True)],
    ids=["held", "free", "gone"],
)
def test_an_idle_name_is_told_apart(bench: Bench, stored: Lock | Worker, idle: bool) -> None:
    bench.put(stored)
    assert names.anything_idle(bench.view()) is idle
