"""The store that fails on purpose fails in exactly the ways that it is told."""

from __future__ import annotations

import random

import pytest

from sentinel.errors import OutcomeUnknown, Unavailable
from sentinel.store.base import ABSENT, DELETE, Committed, Conflicted
from sentinel.store.memory import MemoryFleet, MemoryStore
from sentinel.testing.faults import Fault, FaultyStore, seeded
from sentinel.testing.workbench import attempt, landed, transaction


@pytest.fixture
def fleet() -> MemoryFleet:
    return MemoryFleet()


@pytest.fixture
def store(fleet: MemoryFleet) -> FaultyStore:
    return FaultyStore(MemoryStore(fleet))


@pytest.fixture
def other(fleet: MemoryFleet) -> MemoryStore:
    return MemoryStore(fleet)


CREATE = transaction({"tasks/a": ABSENT}, {"tasks/a": {"n": 1}}, "create a")


def test_unavailable_means_that_nothing_was_applied(store: FaultyStore, other: MemoryStore) -> None:
    store.inject("commit", Fault.UNAVAILABLE)
    with pytest.raises(Unavailable):
        attempt(store, CREATE)
    assert other.read().get("tasks/a") is None
    assert isinstance(attempt(store, CREATE), Committed)


def test_a_lost_reply_hides_what_was_applied_until_it_is_sent_again(
    store: FaultyStore, other: MemoryStore
) -> None:
    store.inject("commit", Fault.REPLY_LOST)
    with pytest.raises(OutcomeUnknown):
        attempt(store, CREATE)
    assert other.read().get("tasks/a") == {"format": 1, "n": 1}
    assert attempt(store, CREATE) == Committed(other.read().revision)


def test_a_delayed_commit_lands_when_it_is_released(store: FaultyStore, other: MemoryStore) -> None:
    store.inject("commit", Fault.DELAYED)
    with pytest.raises(OutcomeUnknown):
        attempt(store, CREATE)
    assert other.read().get("tasks/a") is None
    assert [held.what for held in store.held] == ["create a"]
    (outcomes,) = store.release()
    assert outcomes == [Committed(other.read().revision)]
    assert store.held == []


def test_a_delayed_claim_of_a_dead_incarnation_bounces(store: FaultyStore, other: MemoryStore) -> None:
    landed(
        other,
        transaction(
            dict.fromkeys(["incarnations/i", "tasks/a"], ABSENT), {"incarnations/i": {}, "tasks/a": {}}
        ),
    )
    seen = store.read()
    claim = transaction(
        {"incarnations/i": seen.version("incarnations/i"), "tasks/a": seen.version("tasks/a")},
        {"tasks/a": {"incarnation": "i"}},
    )
    store.inject("commit", Fault.DELAYED)
    with pytest.raises(OutcomeUnknown):
        attempt(store, claim)
    landed(other, transaction({"incarnations/i": seen.version("incarnations/i")}, {"incarnations/i": DELETE}))
    assert store.release() == [[Conflicted(("incarnations/i",))]]


def test_a_delayed_beat_bounces_off_the_seal(store: FaultyStore, other: MemoryStore) -> None:
    first = store.publish("ab", {"seq": 1}, ABSENT)
    assert isinstance(first, Committed)
    store.inject("publish", Fault.DELAYED)
    with pytest.raises(OutcomeUnknown):
        store.publish("ab", {"seq": 2}, first.revision)
    other.publish("ab", {"sealed_by": "other"}, first.revision)
    assert store.release() == [[Conflicted(("ab",))]]


def test_a_delayed_commit_that_was_sent_again_does_not_land_twice(
    fleet: MemoryFleet, store: FaultyStore, other: MemoryStore
) -> None:
    store.inject("commit", Fault.DELAYED)
    with pytest.raises(OutcomeUnknown):
        attempt(store, CREATE)
    assert isinstance(attempt(store, CREATE), Committed)
    landed(other, transaction({"tasks/a": other.read().version("tasks/a")}, {"tasks/a": DELETE}))
    commits = len(fleet.history)
    assert store.release() == [[Committed("1")]]
    assert len(fleet.history) == commits


def test_a_held_write_can_be_thrown_away(store: FaultyStore, other: MemoryStore) -> None:
    store.inject("commit", Fault.DELAYED)
    with pytest.raises(OutcomeUnknown):
        attempt(store, CREATE)
    store.held.clear()
    assert store.release() == []
    assert other.read().get("tasks/a") is None


def test_a_stale_read_gives_the_snapshot_from_before(store: FaultyStore, other: MemoryStore) -> None:
    store.inject("read", Fault.STALE, times=2)
    first = store.read()
    landed(other, CREATE)
    assert store.read() is first
    assert store.read().get("tasks/a") == {"format": 1, "n": 1}


def test_faults_are_used_up_in_order(store: FaultyStore) -> None:
    store.inject("read", Fault.UNAVAILABLE, times=2)
    for _ in range(2):
        with pytest.raises(Unavailable):
            store.read()
    store.read()


@pytest.mark.parametrize("operation", ["published", "keep", "kept"])
def test_every_call_can_be_out_of_reach(store: FaultyStore, operation: str) -> None:
    store.inject(operation, Fault.UNAVAILABLE)
    arguments = {"published": (), "keep": ([b"x"],), "kept": ("x",)}[operation]
    with pytest.raises(Unavailable):
        getattr(store, operation)(*arguments)


def test_a_fault_that_cannot_happen_to_a_call_is_a_mistake_of_the_test(store: FaultyStore) -> None:
    with pytest.raises(ValueError, match="does not happen"):
        store.inject("read", Fault.DELAYED)


def test_one_seed_means_one_sequence_of_faults(fleet: MemoryFleet) -> None:
    def seen(seed: int) -> list[str]:
        store = FaultyStore(
            MemoryStore(fleet), seeded(random.Random(seed), {Fault.UNAVAILABLE: 0.3, Fault.STALE: 0.3})
        )
        story = []
        for _ in range(50):
            try:
                store.read()
                story.append("read")
            except Unavailable:
                story.append("failed")
        return story

    assert seen(1) == seen(1)
    assert seen(1) != seen(2)
    assert {"read", "failed"} == set(seen(1))
