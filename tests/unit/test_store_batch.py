"""Many independent decisions, few commits."""

from __future__ import annotations

import random

import pytest

from sentinel.errors import BadInput, Conflict, Rejected, Unavailable
from sentinel.model.ids import IdSource
from sentinel.store.base import Committed, Outcome, Refused, Snapshot, Transaction
from sentinel.store.batch import BATCH, Decision, land_many
from sentinel.store.memory import MemoryFleet, MemoryStore
from sentinel.store.transact import Transactor
from sentinel.testing.clock import ManualClock
from sentinel.testing.faults import Fault, FaultyStore


class Counters:
    """Keys that are counted up."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.fleet = MemoryFleet()
        self.store = FaultyStore(MemoryStore(self.fleet))
        rng = random.Random(7)
        self.transactor = Transactor(
            self.store, self.clock, rng, IdSource(rng, self.clock.wall), patience=5.0
        )

    def up(self, key: str) -> Decision[int]:
        def decide(snapshot: Snapshot) -> tuple[Transaction | None, int]:
            value = (snapshot.get(key) or {"n": 0})["n"] + 1
            change = self.transactor.change(snapshot)
            change.expect(key)
            transaction = change.transaction(f"count {key}")
            written = Transaction(transaction.id, transaction.expect, {key: {"n": value}}, transaction.note)
            return written, value

        return Decision(key, decide)

    def up_by_another(self, key: str) -> None:
        store = MemoryStore(self.fleet)
        transaction, _ = self.up(key).decide(store.read())
        assert transaction is not None
        store.commit([transaction])

    @property
    def commits(self) -> int:
        return len(self.fleet.history) - 1


@pytest.fixture
def counters() -> Counters:
    return Counters()


def test_decisions_on_different_keys_share_a_commit(counters: Counters) -> None:
    ended, commits = land_many(counters.transactor, [counters.up(f"k{n}") for n in range(30)])
    assert (ended, commits, counters.commits) == ([1] * 30, 1, 1)


def test_decisions_on_one_key_land_one_by_one_in_order(counters: Counters) -> None:
    ended, commits = land_many(counters.transactor, [counters.up("k") for _ in range(3)])
    assert (ended, commits) == ([1, 2, 3], 3)


def test_a_commit_holds_so_many_and_no_more(counters: Counters) -> None:
    _, commits = land_many(counters.transactor, [counters.up(f"k{n}") for n in range(BATCH + 1)])
    assert commits == 2


def test_an_error_is_the_end_of_its_decision_alone(counters: Counters) -> None:
    def refuse(_: Snapshot) -> tuple[Transaction | None, int]:
        raise BadInput("no")

    ended, _ = land_many(counters.transactor, [counters.up("a"), Decision("b", refuse), counters.up("c")])
    assert [ended[0], ended[2]] == [1, 1]
    assert isinstance(ended[1], BadInput)


def test_a_decision_that_wants_nothing_costs_no_commit(counters: Counters) -> None:
    ended, commits = land_many(counters.transactor, [Decision("a", lambda _: (None, 5))])
    assert (ended, commits, counters.commits) == ([5], 0, 0)


def test_what_met_a_conflict_is_decided_on_anew(counters: Counters) -> None:
    counters.store.read()
    counters.up_by_another("k")
    counters.store.inject("read", Fault.STALE)
    ended, commits = land_many(counters.transactor, [counters.up("k")])
    assert (ended, commits) == ([2], 2)


def test_a_lost_reply_does_not_count_twice(counters: Counters) -> None:
    counters.store.inject("commit", Fault.REPLY_LOST)
    ended, _ = land_many(counters.transactor, [counters.up("a"), counters.up("b")])
    assert ended == [1, 1]
    assert counters.commits == 1


def test_a_key_that_never_stands_still_is_given_up(counters: Counters) -> None:
    counters.store.read()
    counters.up_by_another("k")
    counters.store.inject("read", Fault.STALE, times=10_000)
    ended, _ = land_many(counters.transactor, [counters.up("k")])
    assert isinstance(ended[0], Conflict)


def test_what_the_store_refuses_is_said_so(counters: Counters, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(transactions: list[Transaction]) -> list[Outcome]:
        return [Refused("a hook") if "a" in tx.write else Committed("1") for tx in transactions]

    monkeypatch.setattr(counters.store, "commit", refuse)
    ended, _ = land_many(counters.transactor, [counters.up("a"), counters.up("b")])
    assert isinstance(ended[0], Rejected)
    assert ended[1] == 1


def test_a_store_that_stays_away_is_raised(counters: Counters) -> None:
    counters.store.inject("read", Fault.UNAVAILABLE, times=10_000)
    with pytest.raises(Unavailable):
        land_many(counters.transactor, [counters.up("a")])
