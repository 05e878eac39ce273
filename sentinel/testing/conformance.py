"""The conformance suite: what `sentinel.store.base` promises, sentence by sentence, for any store.

Derive a class in your tests, and give it a `bench` fixture::

    class TestMyStore(StoreConformance):
        @pytest.fixture
        def bench(self) -> StoreBench:
            return MyBench()  # one fresh, empty store

Every test opens its clients through the bench, so that they are as independent as two machines are.
"""

from __future__ import annotations

import threading

import pytest

from sentinel.store.base import ABSENT, DELETE, Committed, Conflicted, Store
from sentinel.store.transact import Change
from sentinel.testing.conformance_documents import AuditConformance, CommitConformance, SnapshotConformance
from sentinel.testing.conformance_registers import RegisterConformance
from sentinel.testing.workbench import Number, StoreBench, attempt, landed, transaction

__all__ = ["StoreBench", "StoreConformance"]


class BatchConformance:
    """What a batch promises: order, one commit, and idempotence by id."""

    def test_the_transactions_of_a_batch_share_one_commit(self, one: Store) -> None:
        batch = [transaction({f"tasks/{n}": ABSENT}, {f"tasks/{n}": {"n": n}}) for n in range(10)]
        outcomes = one.commit(batch)
        assert outcomes == [Committed(one.read().revision)] * 10

    def test_outcomes_come_in_the_order_of_the_batch(self, one: Store) -> None:
        landed(one, transaction({"tasks/1": ABSENT}, {"tasks/1": {}}))
        batch = [transaction({f"tasks/{n}": ABSENT}, {f"tasks/{n}": {"n": n}}) for n in range(3)]
        assert [type(outcome) for outcome in one.commit(batch)] == [Committed, Conflicted, Committed]

    def test_a_later_transaction_sees_what_an_earlier_one_deleted(self, one: Store) -> None:
        landed(
            one,
            transaction({"incarnations/i": ABSENT, "tasks/a": ABSENT}, {"incarnations/i": {}, "tasks/a": {}}),
        )
        seen = one.read()
        failover = transaction({"incarnations/i": seen.version("incarnations/i")}, {"incarnations/i": DELETE})
        orphan = transaction(
            {"incarnations/i": ABSENT, "tasks/a": seen.version("tasks/a")}, {"tasks/a": {"owner": None}}
        )
        assert [type(outcome) for outcome in one.commit([failover, orphan])] == [Committed, Committed]
        assert one.read().get("tasks/a") == {"format": 1, "owner": None}

    def test_the_same_two_in_the_other_order_leave_the_later_one_to_land_alone(self, one: Store) -> None:
        landed(one, transaction({"incarnations/i": ABSENT}, {"incarnations/i": {}}))
        live = one.read().version("incarnations/i")
        orphan = transaction({"incarnations/i": ABSENT, "tasks/a": ABSENT}, {"tasks/a": {}})
        failover = transaction({"incarnations/i": live}, {"incarnations/i": DELETE})
        assert [type(outcome) for outcome in one.commit([orphan, failover])] == [Conflicted, Committed]

    def test_the_second_writer_of_a_key_in_one_batch_conflicts(self, one: Store) -> None:
        landed(one, transaction({"tasks/a": ABSENT}, {"tasks/a": {"n": 0}}))
        version = one.read().version("tasks/a")
        batch = [transaction({"tasks/a": version}, {"tasks/a": {"n": n}}) for n in (1, 2)]
        first, second = one.commit(batch)
        assert isinstance(first, Committed)
        assert second == Conflicted(("tasks/a",))
        assert one.read().get("tasks/a") == {"format": 1, "n": 1}

    def test_a_key_can_be_deleted_and_made_again_in_one_batch(self, one: Store) -> None:
        landed(one, transaction({"tasks/a": ABSENT}, {"tasks/a": {"n": 0}}))
        version = one.read().version("tasks/a")
        batch = [
            transaction({"tasks/a": version}, {"tasks/a": DELETE}),
            transaction({"tasks/a": ABSENT}, {"tasks/a": {"n": 1}}),
        ]
        assert [type(outcome) for outcome in one.commit(batch)] == [Committed, Committed]
        assert one.read().get("tasks/a") == {"format": 1, "n": 1}

    def test_a_conflict_in_a_batch_does_not_spoil_its_neighbours(self, one: Store) -> None:
        landed(one, transaction({"tasks/b": ABSENT}, {"tasks/b": {"n": 0}}))
        one.commit([transaction({f"tasks/{n}": ABSENT}, {f"tasks/{n}": {"n": 1}}) for n in "abc"])
        snapshot = one.read()
        assert [(snapshot.get(f"tasks/{n}") or {})["n"] for n in "abc"] == [1, 0, 1]

    def test_a_landed_transaction_sent_again_says_so_and_does_not_land_twice(self, one: Store) -> None:
        tx = transaction({"tasks/a": ABSENT}, {"tasks/a": {"n": 1}})
        first = attempt(one, tx)
        before = one.read().revision
        assert attempt(one, tx) == first
        assert one.read().revision == before

    def test_a_landed_transaction_sent_again_is_still_landed_after_others_moved_its_keys(
        self, one: Store, two: Store
    ) -> None:
        tx = transaction({"tasks/a": ABSENT}, {"tasks/a": {"n": 1}})
        first = attempt(one, tx)
        landed(two, transaction({"tasks/a": two.read().version("tasks/a")}, {"tasks/a": {"n": 2}}))
        assert attempt(one, tx) == first
        assert one.read().get("tasks/a") == {"format": 1, "n": 2}

    def test_one_transaction_twice_in_one_batch_lands_once(self, one: Store) -> None:
        tx = transaction({"tasks/a": ABSENT}, {"tasks/a": {"n": 1}})
        first, second = one.commit([tx, tx])
        assert isinstance(first, Committed)
        assert second == first

    def test_a_transaction_that_conflicted_may_land_later_when_its_expectation_holds(
        self, one: Store
    ) -> None:
        landed(one, transaction({"tasks/a": ABSENT}, {"tasks/a": {"n": 1}}))
        tx = transaction({"tasks/a": ABSENT}, {"tasks/a": {"n": 2}})
        assert isinstance(attempt(one, tx), Conflicted)
        landed(one, transaction({"tasks/a": one.read().version("tasks/a")}, {"tasks/a": DELETE}))
        landed(one, tx)


class RaceConformance:
    """What clients that write at the same time can rely on."""

    def test_no_version_comes_back_when_a_record_returns_to_an_old_value(self, one: Store) -> None:
        seen: list[object] = []
        for step, value in enumerate([1, 2, 1, 2, 1]):
            snapshot = one.read()
            document = snapshot.get("tasks/n")
            number = Number.of(document) if document else Number()
            change = Change(snapshot, f"tx{step}").put("tasks/n", number.with_value(value))
            landed(one, change.transaction("set"))
            seen.append(one.read().version("tasks/n"))
        assert len(set(seen)) == 5

    def test_of_two_clients_that_write_the_same_bytes_one_wins(self, one: Store, two: Store) -> None:
        for round_number in range(20):
            key = f"locks/l{round_number}"
            one.read(), two.read()
            outcomes = [
                attempt(store, transaction({key: ABSENT}, {key: {"holder": "same"}}, "same note"))
                for store in (one, two)
            ]
            assert [type(outcome) for outcome in outcomes] == [Committed, Conflicted]

    def test_of_many_that_create_one_key_at_once_exactly_one_wins(self, bench: StoreBench) -> None:
        rounds = 15
        start = threading.Barrier(4)

        def race(store: Store, mine: int) -> list[bool]:
            wins = []
            try:
                for number in range(rounds):
                    key = f"locks/l{number}"
                    start.wait()
                    tx = transaction(
                        {key: ABSENT}, {key: {"holder": "same"}}, "same note", f"{mine}-{number}"
                    )
                    wins.append(isinstance(attempt(store, tx), Committed))
            except BaseException:
                # Nobody waits for one that is not coming.
                start.abort()
                raise
            return wins

        for wins in zip(*bench.together(4, race), strict=True):
            assert sum(wins) == 1

    def test_increments_at_the_same_time_are_all_counted(self, bench: StoreBench) -> None:
        def add(store: Store, mine: int) -> int:
            tries = 0
            wins = 0
            while wins < 10:
                tries += 1
                snapshot = store.read()
                document = snapshot.get("counter")
                number = Number.of(document) if document else Number()
                change = Change(snapshot, f"{mine}-{tries}").put(
                    "counter", number.with_value(number.value + 1)
                )
                wins += isinstance(attempt(store, change.transaction("add one")), Committed)
            return tries

        bench.together(4, add)
        document = bench.client().read().get("counter")
        assert document is not None
        assert (document["value"], document["rev"]) == (40, 40)

    def test_unrelated_writes_at_the_same_time_never_conflict(self, bench: StoreBench) -> None:
        def write(store: Store, mine: int) -> bool:
            keys = [f"tasks/{mine}-{number}" for number in range(10)]
            return all(isinstance(attempt(store, transaction({k: ABSENT}, {k: {}})), Committed) for k in keys)

        assert bench.together(4, write) == [True] * 4
        assert len(list(bench.client().read().list("tasks/"))) == 40


class WaitConformance:
    """What waiting and closing promise."""

    def test_waiting_wakes_when_another_client_commits(self, bench: StoreBench, one: Store) -> None:
        one.read()
        while one.wait(0.01):
            one.read()
        go = threading.Event()

        def commit() -> None:
            other = bench.client()
            go.wait()
            landed(other, transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))

        with bench.thread(commit):
            go.set()
            assert one.wait(30.0)

    def test_a_change_between_reading_and_waiting_is_not_missed(self, one: Store, two: Store) -> None:
        for number in range(3):
            one.read()
            landed(two, transaction({f"tasks/{number}": ABSENT}, {f"tasks/{number}": {}}))
            assert one.wait(30.0)

    def test_waiting_ends_without_news_when_nothing_changes(self, one: Store) -> None:
        one.read()
        assert not all(one.wait(0.02) for _ in range(3))

    def test_waiting_no_time_at_all_is_a_question(self, one: Store, two: Store) -> None:
        one.read()
        landed(two, transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))
        assert one.wait(0.0)

    def test_closing_twice_is_once(self, bench: StoreBench) -> None:
        store = bench.client()
        store.read()
        store.close()
        store.close()

    def test_closing_one_client_leaves_the_others_open(self, bench: StoreBench, one: Store) -> None:
        bench.client().close()
        landed(one, transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))


class StoreConformance(
    SnapshotConformance,
    CommitConformance,
    BatchConformance,
    RaceConformance,
    WaitConformance,
    AuditConformance,
    RegisterConformance,
):
    """Everything; derive, and override `bench`."""

    @pytest.fixture
    def bench(self) -> StoreBench:
        """One fresh store. To be overridden."""
        raise NotImplementedError("override the fixture `bench`")

    @pytest.fixture
    def one(self, bench: StoreBench) -> Store:
        """A client of the store."""
        return bench.client()

    @pytest.fixture
    def two(self, bench: StoreBench) -> Store:
        """Another, independent one."""
        return bench.client()
