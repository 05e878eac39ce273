"""What a batch comes to on a state: judged in order, each against what those before it made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.model.codec import Document
from sentinel.store.base import (
    ABSENT,
    DELETE,
    Committed,
    Conflicted,
    Expected,
    Outcome,
    Snapshot,
    Transaction,
    Written,
    land,
    message,
    notes,
    outcomes,
)
from sentinel.store.memory import MemoryStore


class State(Snapshot):
    """A snapshot that knows versions alone."""

    revision = "r1"

    def __init__(self, versions: Mapping[str, str]) -> None:
        self._versions = versions

    def get(self, key: str) -> Document | None:
        raise NotImplementedError

    def list(self, prefix: str) -> Iterator[str]:
        raise NotImplementedError

    def version(self, key: str) -> Expected:
        return self._versions.get(key, ABSENT)


BASE = State({"a": "v1", "b": "v1"})
NEW: Written = {"n": 1}


def tx(name: str, expect: Mapping[str, Expected], write: Mapping[str, Written] | None = None) -> Transaction:
    return Transaction(name, expect, write or {}, f"note of {name}")


def judged(*batch: Transaction) -> list[Outcome]:
    return outcomes(batch, land(batch, BASE), "r2")


HELD = Committed("r2")


@pytest.mark.parametrize(
    ("expect", "outcome"),
    [
        ({"a": "v1"}, HELD),
        ({"a": "v1", "b": "v1"}, HELD),
        ({"new": ABSENT}, HELD),
        ({}, HELD),
        ({"a": "v0"}, Conflicted(("a",))),
        ({"a": ABSENT}, Conflicted(("a",))),
        ({"new": "v1"}, Conflicted(("new",))),
        ({"a": ""}, Conflicted(("a",))),
        ({"new": ""}, Conflicted(("new",))),
        ({"a": "v0", "b": "v1", "new": "v1"}, Conflicted(("a", "new"))),
    ],
    ids=str,
)
def test_a_transaction_holds_exactly_when_all_that_it_expects_does(
    expect: Mapping[str, Expected], outcome: Outcome
) -> None:
    assert judged(tx("t", expect)) == [outcome]


def test_the_second_write_of_a_key_in_one_batch_conflicts() -> None:
    first, second = tx("t1", {"a": "v1"}, {"a": NEW}), tx("t2", {"a": "v1"}, {"a": NEW})
    assert judged(first, second) == [HELD, Conflicted(("a",))]


def test_what_a_batch_wrote_has_no_version_that_its_others_could_expect() -> None:
    first = tx("t1", {"new": ABSENT}, {"new": NEW})
    assert judged(first, tx("t2", {"new": ABSENT}), tx("t3", {"new": "v1"})) == [
        HELD,
        Conflicted(("new",)),
        Conflicted(("new",)),
    ]


def test_what_a_batch_deleted_is_absent_for_its_others() -> None:
    burial = tx("t1", {"a": "v1"}, {"a": DELETE})
    assert judged(burial, tx("t2", {"a": ABSENT, "b": "v1"}, {"b": NEW})) == [HELD, HELD]


def test_what_stands_before_the_deletion_does_not_see_it() -> None:
    freed, burial = tx("t1", {"a": ABSENT}), tx("t2", {"a": "v1"}, {"a": DELETE})
    assert judged(freed, burial) == [Conflicted(("a",)), HELD]


def test_what_a_failed_transaction_would_have_deleted_is_still_there() -> None:
    burial = tx("t1", {"a": "v1", "b": "v0"}, {"a": DELETE})
    assert judged(burial, tx("t2", {"a": ABSENT})) == [Conflicted(("b",)), Conflicted(("a",))]


def test_a_key_can_be_made_anew_after_its_deletion_in_one_batch() -> None:
    batch = (tx("t1", {"a": "v1"}, {"a": DELETE}), tx("t2", {"a": ABSENT}, {"a": NEW}))
    assert land(batch, BASE).writes == {"a": NEW}


def test_an_expectation_alone_moves_nothing() -> None:
    assert judged(tx("t1", {"a": "v1"}), tx("t2", {"a": "v1"}, {"a": NEW})) == [HELD, HELD]


def test_unrelated_transactions_do_not_conflict() -> None:
    assert judged(tx("t1", {"a": "v1"}, {"a": NEW}), tx("t2", {"b": "v1"}, {"b": NEW})) == [HELD, HELD]


KEYS = st.sampled_from(["a", "b", "c"])
EXPECT = st.dictionaries(KEYS, st.sampled_from(["v1", "v0", ABSENT]), min_size=1, max_size=2)


@given(st.lists(st.tuples(EXPECT, st.booleans()), max_size=6))
def test_a_batch_comes_to_the_same_as_its_transactions_one_after_another(
    wanted: list[tuple[dict[str, Expected], bool]],
) -> None:
    def of(store: MemoryStore) -> dict[str, Any]:
        snapshot = store.read()
        return {key: snapshot.get(key) for key in snapshot.list("")}

    together, apart = MemoryStore(), MemoryStore()
    for store in (together, apart):
        store.commit([tx("seed", {"a": ABSENT, "b": ABSENT}, {"a": {"tx": "seed"}, "b": {"tx": "seed"}})])
    start = together.read()
    batch = []
    for number, (expect, delete) in enumerate(wanted):
        # The marks stand for the real versions of the start; "v0" is one that never was.
        real = {
            key: start.version(key) if mark == "v1" and start.version(key) is not ABSENT else mark
            for key, mark in expect.items()
        }
        write: dict[str, Written] = {key: DELETE if delete else {"tx": f"t{number}"} for key in expect}
        batch.append(tx(f"t{number}", real, write))
    kinds = [type(outcome) for outcome in together.commit(batch)]
    assert kinds == [type(apart.commit([each])[0]) for each in batch]
    assert of(together) == of(apart)


def test_a_blind_write_cannot_be_made() -> None:
    with pytest.raises(ValueError, match=r"writes \['a'\] without expecting a version"):
        tx("t", {}, {"a": NEW})


@pytest.mark.parametrize(
    "note", ["", "two\nlines", "a\rSentinel-Tx: x", "a\0b", "a\x85b", "a\u2028b", "\ud800"], ids=ascii
)
def test_a_note_is_one_printable_line(note: str) -> None:
    with pytest.raises(ValueError, match="is not one printable line"):
        Transaction("t", {}, {}, note)


def test_a_commit_of_one_has_its_note_as_subject() -> None:
    assert message([tx("t1", {})], "n0nce") == "note of t1\n\nSentinel-Nonce: n0nce\nSentinel-Tx: t1\n"


def test_a_commit_of_several_names_each_note_and_each_transaction() -> None:
    lines = message([tx("t1", {}), tx("t2", {})], "n0nce").splitlines()
    assert [line for line in lines if line.startswith(("note", "Sentinel"))][-5:] == [
        "note of t1",
        "note of t2",
        "Sentinel-Nonce: n0nce",
        "Sentinel-Tx: t1",
        "Sentinel-Tx: t2",
    ]


def test_what_only_keeps_the_books_does_not_lead_the_subject_and_is_in_the_body() -> None:
    books = Transaction("t1", {}, {}, "count what w1 did", aside=True)
    text = message([books, tx("t2", {})], "n0nce")
    assert text.startswith("note of t2\n\n")
    assert notes(text) == ("count what w1 did", "note of t2")


def test_books_alone_are_the_subject() -> None:
    books = Transaction("t1", {}, {}, "count what w1 did", aside=True)
    assert message([books], "n0nce").startswith("count what w1 did\n")


def test_two_commits_of_the_same_change_differ_by_their_nonce() -> None:
    assert message([tx("t1", {})], "n1") != message([tx("t1", {})], "n2")
