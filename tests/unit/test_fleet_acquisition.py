"""Taking a lock look by look: over nobody, over a dead or silent holder, and never over a living one."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sentinel.errors import LockHeld, LockLost, OutcomeUnknown, Unavailable
from sentinel.fleet.acquisition import Acquisition
from sentinel.fleet.proof import NoProof
from sentinel.model.worker import Incarnation
from sentinel.store.base import Snapshot
from sentinel.testing.faults import Fault, FaultyStore
from tests.unit.builders import STALE, Bench, held_lock, incarnation, session


class Dead:
    """Everybody is proven dead."""

    def proven(self, incarnation: Incarnation) -> bool:
        return True


def acquisition(bench: Bench, **fields: Any) -> Acquisition:
    made = Acquisition(
        transactor=bench.transactor,
        observer=bench.observer,
        proof=NoProof(),
        name="deploy",
        holder="bob",
        incarnation=None,
        ttl=60.0,
        stale=STALE,
    )
    return dataclasses.replace(made, **fields)


def held_by_session(bench: Bench, ttl: float = STALE) -> Bench:
    """A lock in the hands of a `locks run` that has beaten once."""
    bench.put(incarnation("inc1", "alice", kind="lock", ttl=ttl), held_lock(incarnation="inc1"))
    bench.beat(session("inc1", "alice", ttl=ttl))
    return bench


def outcomes(bench: Bench, *pauses: float, **fields: Any) -> list[int | str]:
    """The epoch or ``held`` at each look; ``pauses`` are the seconds before each."""
    found: list[int | str] = []
    for pause in pauses:
        bench.clock.advance(pause)
        try:
            found.append(acquisition(bench, **fields).attempt().epoch)
        except LockHeld:
            found.append("held")
    return found


def state(bench: Bench) -> object:
    return bench.fleet.head.state, bench.fleet.registers


def test_a_lock_that_nobody_holds_is_taken_at_the_first_look(bench: Bench) -> None:
    assert outcomes(bench, 0) == [1]


def test_a_lock_of_a_living_session_is_held(bench: Bench) -> None:
    held_by_session(bench)
    looks: list[int | str] = []
    for number in range(2, 8):
        bench.beat(session("inc1", "alice", seq=number))
        looks += outcomes(bench, 5.0)
    assert looks == ["held"] * 6


def test_a_lock_of_a_silent_session_is_taken_after_the_silence_and_not_before(bench: Bench) -> None:
    held_by_session(bench)
    assert outcomes(bench, 100.0, 9.9, 0.1) == ["held", "held", 2]


@pytest.mark.parametrize(("mine", "announced"), [(10.0, 30.0), (30.0, 10.0)])
def test_the_longer_of_my_threshold_and_the_announced_one_counts(
    bench: Bench, mine: float, announced: float
) -> None:
    held_by_session(bench, ttl=announced)
    assert outcomes(bench, 0, 29.9, 0.1, stale=mine) == ["held", "held", 2]


def test_a_lock_of_a_session_that_is_proven_dead_is_taken_at_the_first_look(bench: Bench) -> None:
    held_by_session(bench)
    assert outcomes(bench, 0, proof=Dead()) == [2]


def test_who_takes_over_leaves_no_trace_of_the_dead_session(bench: Bench) -> None:
    held_by_session(bench)
    outcomes(bench, 0, proof=Dead())
    assert not bench.view().live("inc1")


def test_a_lock_of_a_session_that_is_gone_is_taken_at_the_first_look(bench: Bench) -> None:
    bench.put(held_lock(incarnation="inc1"))
    assert outcomes(bench, 0) == [2]


def test_a_ticket_is_taken_after_its_time_and_not_before(bench: Bench) -> None:
    bench.put(held_lock(ttl=60.0))
    assert outcomes(bench, 100.0, 59.9, 0.1) == ["held", "held", 2]


def test_proof_of_death_is_nothing_to_a_ticket(bench: Bench) -> None:
    bench.put(held_lock(ttl=60.0))
    assert outcomes(bench, 0, 30.0, proof=Dead()) == ["held", "held"]


def test_a_failed_look_is_no_observation(bench: Bench) -> None:
    bench.put(held_lock(ttl=60.0))
    store = FaultyStore(bench.store)
    mine = acquisition(bench, transactor=dataclasses.replace(bench.transactor, store=store, patience=0.0))
    with pytest.raises(LockHeld):
        mine.attempt()
    bench.clock.advance(60.0)
    store.inject("read", Fault.UNAVAILABLE)
    with pytest.raises(Unavailable):
        mine.attempt()
    assert bench.observer.silence("locks/deploy", bench.snapshot().version("locks/deploy")) == 0.0


def test_a_look_that_was_answered_after_a_pause_is_no_silence(bench: Bench) -> None:
    class Paused(FaultyStore):
        def read(self) -> Snapshot:
            found = super().read()
            bench.clock.advance(100.0)
            return found

    bench.put(held_lock(ttl=60.0))
    paused = dataclasses.replace(bench.transactor, store=Paused(bench.store))
    assert outcomes(bench, 0) == ["held"]
    assert outcomes(bench, 0, transactor=paused) == ["held"]
    assert outcomes(bench, 0) == [2]


def test_its_own_lock_is_held_and_its_own_session_is_not_failed_over(bench: Bench) -> None:
    held_by_session(bench)
    assert outcomes(bench, 0, 100.0, incarnation="inc1", proof=Dead()) == ["held", "held"]
    assert bench.view().live("inc1")


def test_a_session_that_was_failed_over_meanwhile_takes_nothing(bench: Bench) -> None:
    with pytest.raises(LockLost):
        acquisition(bench, incarnation="inc2").attempt()


def test_of_two_that_see_the_holder_dead_one_takes_the_lock(bench: Bench) -> None:
    held_by_session(bench)
    assert outcomes(bench, 0, 0, proof=Dead()) == [2, "held"]


@pytest.mark.parametrize("operation", ["publish", "commit"])
def test_a_lost_reply_on_the_way_is_settled_at_the_next_look(bench: Bench, operation: str) -> None:
    held_by_session(bench)
    store = FaultyStore(bench.store)
    store.inject(operation, Fault.REPLY_LOST)
    mine = acquisition(bench, proof=Dead(), transactor=dataclasses.replace(bench.transactor, store=store))
    with pytest.raises(OutcomeUnknown):
        mine.attempt()
    assert mine.attempt().epoch == 2


def test_a_holder_knows_whether_the_lock_is_still_its_own(bench: Bench) -> None:
    held_by_session(bench)
    mine = acquisition(bench, incarnation="inc1")
    before = mine.held()
    bench.put(held_lock(incarnation="inc2"))
    assert (before, mine.held()) == (True, False)


def test_nobody_holds_a_lock_that_never_was(bench: Bench) -> None:
    assert not acquisition(bench, incarnation="inc1").held()


# -- dry runs ----------------------------------------------------------------------------------------


def rehearsed(bench: Bench, **fields: Any) -> int:
    """The epoch that a dry run promises; it changes nothing."""
    before = state(bench)
    epoch = acquisition(bench, **fields).attempt(dry_run=True).epoch
    assert state(bench) == before
    return epoch


def test_a_dry_run_says_what_would_be_taken_and_takes_nothing(bench: Bench) -> None:
    assert rehearsed(bench) == 1


def test_a_dry_run_over_a_dead_holder_says_what_would_be_taken_and_buries_nobody(bench: Bench) -> None:
    held_by_session(bench)
    assert rehearsed(bench, proof=Dead()) == 2
    assert bench.view().live("inc1")


def test_a_dry_run_over_an_expired_ticket_says_what_would_be_taken(bench: Bench) -> None:
    bench.put(held_lock(ttl=60.0))
    outcomes(bench, 0)
    bench.clock.advance(60.0)
    assert rehearsed(bench) == 2


def test_a_dry_run_over_a_living_holder_says_that_it_is_held(bench: Bench) -> None:
    held_by_session(bench)
    with pytest.raises(LockHeld, match="lock deploy is held by alice at epoch 1"):
        rehearsed(bench)
