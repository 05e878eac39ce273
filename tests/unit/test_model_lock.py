"""A named lock as a value: two kinds of holder, and an epoch that only rises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.model.lock import Lock
from tests.unit.builders import AT, held_lock


def test_a_new_lock_is_free_and_no_ticket() -> None:
    new = Lock(name="deploy")
    assert (new.held, new.ticket, new.epoch) == (False, False, 0)


def test_a_lock_in_the_hands_of_an_incarnation_is_no_ticket() -> None:
    held = held_lock(incarnation="inc1")
    assert (held.held, held.ticket) == (True, False)


def test_a_lock_in_nobodys_process_is_a_ticket() -> None:
    held = held_lock()
    assert (held.held, held.ticket) == (True, True)


def test_an_acquisition_names_holder_kind_and_time() -> None:
    held = Lock(name="deploy").acquire(holder="alice", incarnation="inc1", ttl=60.0, at=AT)
    assert (held.holder, held.incarnation, held.ttl, held.acquired_at, held.renewed_at) == (
        "alice",
        "inc1",
        60.0,
        AT,
        None,
    )


def test_a_renewal_keeps_holder_and_epoch() -> None:
    renewed = held_lock().renew(ttl=90.0, at=AT)
    assert (renewed.holder, renewed.epoch, renewed.ttl, renewed.renewed_at) == ("alice", 1, 90.0, AT)


def test_a_freed_lock_keeps_nothing_but_its_name_and_epoch() -> None:
    assert held_lock(incarnation="inc1").free() == Lock(name="deploy", epoch=1)


@pytest.mark.parametrize("incarnation", [None, "inc1"])
def test_a_new_holder_has_a_higher_epoch_than_the_one_before(incarnation: str | None) -> None:
    again = held_lock().acquire(holder="bob", incarnation=incarnation, ttl=60.0, at=AT)
    assert (again.epoch, again.holder, again.incarnation) == (2, "bob", incarnation)


@given(st.lists(st.sampled_from(["acquire", "renew", "free"]), max_size=30))
def test_the_epoch_counts_the_acquisitions_whatever_happens_between(steps: list[str]) -> None:
    lock = Lock(name="deploy", epoch=4)
    for step in steps:
        match step:
            case "acquire":
                lock = lock.acquire(holder="alice", incarnation=None, ttl=60.0, at=AT)
            case "renew":
                lock = lock.renew(ttl=60.0, at=AT)
            case _:
                lock = lock.free()
    assert lock.epoch == 4 + steps.count("acquire")
