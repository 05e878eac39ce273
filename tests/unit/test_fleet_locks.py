"""Named locks as transactions: two kinds, one expiry rule each, and an epoch that never starts again."""

from __future__ import annotations

import dataclasses

import pytest

from sentinel.errors import LockHeld, LockLost, NotFound
from sentinel.fleet import locks
from sentinel.model.layout import LOCK_FLOOR
from sentinel.model.lock import Lock
from sentinel.store.base import Committed, Snapshot, Transaction
from tests.unit.builders import WALL, Bench, held_lock, incarnation


def acquire(
    bench: Bench, *, holder: str = "bob", incarnation: str | None = None, snapshot: Snapshot | None = None
) -> Transaction:
    snapshot = snapshot if snapshot is not None else bench.snapshot()
    return locks.acquire(
        bench.change(snapshot),
        snapshot,
        "deploy",
        holder=holder,
        incarnation=incarnation,
        ttl=60.0,
        observer=bench.observer,
        wall=WALL,
    )[0]


def look(bench: Bench, *, after: float = 0.0) -> None:
    bench.clock.advance(after)
    version = bench.snapshot().version("locks/deploy")
    bench.observer.note("locks/deploy", version, sent=bench.clock.now(), reply=bench.clock.now())


def lock(bench: Bench) -> Lock:
    return bench.view().locks["deploy"]


def test_a_new_lock_begins_with_epoch_one(bench: Bench) -> None:
    assert bench.lands(acquire(bench))
    assert (lock(bench).holder, lock(bench).epoch, lock(bench).ticket) == ("bob", 1, True)


def test_a_new_lock_begins_above_the_floor(bench: Bench) -> None:
    bench.tear(LOCK_FLOOR, b'{"format":1,"rev":3,"tx":"t","epoch":41}')
    assert bench.lands(acquire(bench))
    assert lock(bench).epoch == 42


def test_a_new_lock_bounces_when_the_floor_rose_meanwhile(bench: Bench) -> None:
    late = acquire(bench)
    bench.tear(LOCK_FLOOR, b'{"format":1,"rev":1,"tx":"t","epoch":41}')
    assert not bench.lands(late)


@pytest.mark.parametrize("floor", [b'{"format":1}', b'{"format":1,"epoch":-1}', b'{"format":1,"epoch":"9"}'])
def test_over_an_unreadable_floor_no_new_lock_begins(bench: Bench, floor: bytes) -> None:
    bench.tear(LOCK_FLOOR, floor)
    with pytest.raises(LockHeld, match=r"no new lock can start: locks/\.floor"):
        acquire(bench)


def test_a_free_lock_goes_on_with_its_epoch(bench: Bench) -> None:
    bench.put(dataclasses.replace(held_lock().free(), epoch=7))
    assert bench.lands(acquire(bench))
    assert lock(bench).epoch == 8


def test_of_many_that_acquire_at_once_one_does(bench: Bench) -> None:
    snapshot = bench.snapshot()
    batch = [acquire(bench, holder=f"h{n}", snapshot=snapshot) for n in range(8)]
    outcomes = [isinstance(outcome, Committed) for outcome in bench.store.commit(batch)]
    assert (outcomes.count(True), lock(bench).epoch) == (1, 1)


# -- held by an incarnation --------------------------------------------------------------------------


def test_a_lock_of_a_live_incarnation_is_held_however_long_it_is_silent(bench: Bench) -> None:
    bench.put(incarnation("inc1"), held_lock(incarnation="inc1", ttl=5.0))
    look(bench)
    look(bench, after=1000.0)
    with pytest.raises(LockHeld, match="lock deploy is held by alice at epoch 1"):
        acquire(bench)


def test_a_lock_of_an_incarnation_that_is_gone_can_be_taken_at_once(bench: Bench) -> None:
    bench.put(held_lock(incarnation="inc1"))
    assert bench.lands(acquire(bench))
    assert (lock(bench).holder, lock(bench).epoch) == ("bob", 2)


def test_a_lock_is_not_taken_when_its_incarnation_turns_out_to_be_there(bench: Bench) -> None:
    bench.put(held_lock(incarnation="inc1"))
    late = acquire(bench)
    bench.put(incarnation("inc1"))
    assert not bench.lands(late)


@pytest.mark.parametrize("silence", [59.0, 60.0, 1e9])
def test_only_a_ticket_expires(silence: float) -> None:
    ticket, held = held_lock(ttl=60.0), held_lock(incarnation="inc1", ttl=60.0)
    free = dataclasses.replace(ticket.free(), ttl=60.0)
    assert [locks.expired(lock, silence) for lock in (ticket, held, free)] == [silence >= 60.0, False, False]


def test_a_lock_of_an_unreadable_incarnation_is_held(bench: Bench) -> None:
    bench.put(held_lock(incarnation="inc1"))
    bench.tear("incarnations/inc1")
    with pytest.raises(LockHeld):
        acquire(bench)


def test_a_live_incarnation_can_hold_a_lock(bench: Bench) -> None:
    bench.put(incarnation("inc2"))
    assert bench.lands(acquire(bench, incarnation="inc2"))
    assert (lock(bench).incarnation, lock(bench).ticket) == ("inc2", False)


def test_a_lock_write_bounces_when_its_incarnation_died_after_it_was_decided(bench: Bench) -> None:
    bench.put(incarnation("inc2"))
    late = acquire(bench, incarnation="inc2")
    bench.drop("incarnations/inc2")
    assert not bench.lands(late)


def test_an_incarnation_that_is_gone_takes_no_lock(bench: Bench) -> None:
    with pytest.raises(LockLost, match="lock deploy cannot be taken: the session inc2 is not live any more"):
        acquire(bench, incarnation="inc2")


# -- tickets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("looks", [[], [0.0], [0.0, 59.9], [1000.0]], ids=str)
def test_a_ticket_is_held_until_it_was_seen_silent_for_its_time(bench: Bench, looks: list[float]) -> None:
    bench.put(held_lock(ttl=60.0))
    for pause in looks:
        look(bench, after=pause)
    with pytest.raises(LockHeld, match="until it is released or was silent for 60 s"):
        acquire(bench)


def test_an_expired_ticket_can_be_taken_with_the_next_epoch(bench: Bench) -> None:
    bench.put(held_lock(ttl=60.0))
    look(bench)
    look(bench, after=60.0)
    assert bench.lands(acquire(bench))
    assert (lock(bench).holder, lock(bench).epoch) == ("bob", 2)


def test_a_ticket_that_was_renewed_meanwhile_is_not_taken(bench: Bench) -> None:
    bench.put(held_lock(ttl=60.0))
    look(bench)
    look(bench, after=60.0)
    late = acquire(bench)
    assert bench.lands(renew(bench))
    assert not bench.lands(late)


def test_a_renewal_starts_the_time_of_a_ticket_anew(bench: Bench) -> None:
    bench.put(held_lock(ttl=60.0))
    look(bench)
    look(bench, after=59.0)
    bench.lands(renew(bench))
    look(bench, after=2.0)
    with pytest.raises(LockHeld):
        acquire(bench)


def renew(bench: Bench, *, epoch: int = 1, ttl: float | None = None) -> Transaction:
    snapshot = bench.snapshot()
    return locks.renew(bench.change(snapshot), snapshot, "deploy", epoch=epoch, ttl=ttl, wall=WALL)[0]


@pytest.mark.parametrize(("ttl", "kept"), [(None, 60.0), (90.0, 90.0)])
def test_a_renewal_keeps_the_time_to_live_or_changes_it(bench: Bench, ttl: float | None, kept: float) -> None:
    bench.put(held_lock(ttl=60.0))
    assert bench.lands(renew(bench, ttl=ttl))
    assert (lock(bench).ttl, lock(bench).epoch, lock(bench).holder) == (kept, 1, "alice")


NOT_ITS_OWN = [
    (held_lock(), 2, "is held by alice at epoch 1, not at epoch 2"),
    (held_lock(), 0, "is held by alice at epoch 1, not at epoch 0"),
    (held_lock().free(), 1, "is free; epoch 1 does not hold it"),
]


@pytest.mark.parametrize(("stored", "epoch", "sentence"), NOT_ITS_OWN)
def test_only_the_epoch_that_holds_a_lock_renews_it(
    bench: Bench, stored: Lock, epoch: int, sentence: str
) -> None:
    bench.put(stored)
    with pytest.raises(LockLost, match=sentence):
        renew(bench, epoch=epoch)


def test_the_lock_of_an_incarnation_is_not_renewed_by_hand(bench: Bench) -> None:
    bench.put(held_lock(incarnation="inc1"))
    with pytest.raises(LockLost):
        renew(bench)


# -- release -----------------------------------------------------------------------------------------


def release(bench: Bench, *, epoch: int | None = 1) -> Transaction | None:
    snapshot = bench.snapshot()
    return locks.release(bench.change(snapshot), snapshot, "deploy", epoch=epoch, by="bob")[0]


@pytest.mark.parametrize("incarnation", [None, "inc1"], ids=["ticket", "incarnation"])
@pytest.mark.parametrize(
    ("epoch", "verb"), [(1, "release"), (None, "force the release of")], ids=["by epoch", "by force"]
)
def test_a_lock_is_released_by_its_epoch_or_by_force(
    bench: Bench, incarnation: str | None, epoch: int | None, verb: str
) -> None:
    bench.put(held_lock(incarnation=incarnation))
    transaction = release(bench, epoch=epoch)
    assert transaction is not None
    assert (transaction.note, bench.lands(transaction), lock(bench).held, lock(bench).epoch) == (
        f"{verb} lock deploy epoch 1 by bob",
        True,
        False,
        1,
    )


@pytest.mark.parametrize(("stored", "epoch", "sentence"), NOT_ITS_OWN)
def test_only_the_epoch_that_holds_a_lock_releases_it(
    bench: Bench, stored: Lock, epoch: int, sentence: str
) -> None:
    bench.put(stored)
    with pytest.raises(LockLost, match=sentence):
        release(bench, epoch=epoch)


def test_a_lock_that_is_free_is_released_by_force_without_a_change(bench: Bench) -> None:
    bench.put(held_lock().free())
    assert release(bench, epoch=None) is None


def test_a_release_bounces_when_the_lock_went_into_other_hands_meanwhile(bench: Bench) -> None:
    bench.put(held_lock())
    late = release(bench)
    bench.put(dataclasses.replace(held_lock(), holder="carol", epoch=2))
    assert not bench.lands(late)


@pytest.mark.parametrize("call", [renew, release])
def test_a_lock_that_never_was_is_not_found(bench: Bench, call: object) -> None:
    assert callable(call)
    with pytest.raises(NotFound, match="there is no lock 'deploy'"):
        call(bench)


def test_the_epoch_never_falls_through_many_hands(bench: Bench) -> None:
    epochs = []
    for _ in range(5):
        bench.lands(acquire(bench))
        epochs.append(lock(bench).epoch)
        bench.lands(release(bench, epoch=None))
    assert epochs == [1, 2, 3, 4, 5]


def test_a_holder_cannot_break_the_line_of_the_audit(bench: Bench) -> None:
    assert acquire(bench, holder="a\nb").note == "acquire lock deploy epoch 1 by a b"
