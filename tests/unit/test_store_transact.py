"""The compare-and-swap loop: when it decides anew, when it sends the same again, and when it gives up."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import pytest

from sentinel.errors import Conflict, NotAStore, NotFound, OutcomeUnknown, Rejected, Unavailable
from sentinel.model.codec import MAX_DOCUMENT_BYTES
from sentinel.store.base import ABSENT, Outcome, Snapshot, Transaction
from sentinel.store.memory import MemorySnapshot, MemoryStore
from sentinel.store.transact import Transactor
from sentinel.testing.clock import ManualClock
from sentinel.testing.faults import Fault, FaultyStore
from tests.unit.builders import Bench, evolve, incarnation, task


class CountingStore(FaultyStore):
    """Remembers every transaction that was sent, and lets the test step in before each commit."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench.store)
        self.sent: list[Transaction] = []
        self.before_commit: Callable[[], None] = lambda: None

    def commit(self, transactions: Sequence[Transaction]) -> list[Outcome]:
        self.sent += transactions
        self.before_commit()
        return super().commit(transactions)


@dataclasses.dataclass
class Counter:
    """A decision that counts a task's attempts up, and how often it was asked."""

    bench: Bench
    transactor: Transactor
    asked: int = 0

    def __call__(self, snapshot: Snapshot) -> tuple[Transaction | None, int]:
        self.asked += 1
        stored = self.bench.stored_task()
        raised = evolve(stored, attempt=stored.attempt + 1)
        return self.transactor.change(snapshot).put("tasks/build", raised).transaction(
            "count"
        ), raised.attempt


@pytest.fixture
def store(bench: Bench) -> CountingStore:
    bench.put(task())
    return CountingStore(bench)


@pytest.fixture
def count(bench: Bench, store: CountingStore) -> Counter:
    transactor = Transactor(store, bench.clock, bench.transactor.rng, bench.ids, patience=30.0)
    return Counter(bench, transactor)


def run(count: Counter) -> int:
    return count.transactor.transact(count)


def test_a_decision_that_lands_gives_its_value(bench: Bench, count: Counter) -> None:
    assert (run(count), bench.stored_task().attempt, count.asked) == (1, 1, 1)


def test_a_decision_that_wants_nothing_commits_nothing(count: Counter, store: CountingStore) -> None:
    assert count.transactor.transact(lambda _: (None, "nothing")) == "nothing"
    assert store.sent == []


def test_after_a_conflict_it_decides_anew_on_fresh_data(
    bench: Bench, count: Counter, store: CountingStore
) -> None:
    def interfere() -> None:
        store.before_commit = lambda: None
        bench.put(evolve(bench.stored_task(), attempt=10))

    store.before_commit = interfere
    assert (run(count), count.asked) == (11, 2)


def test_unavailable_is_tried_again(bench: Bench, count: Counter, store: CountingStore) -> None:
    store.inject("commit", Fault.UNAVAILABLE, times=3)
    store.inject("read", Fault.UNAVAILABLE, times=3)
    assert (run(count), bench.stored_task().attempt) == (1, 1)


@pytest.mark.parametrize("fault", [Fault.REPLY_LOST, Fault.DELAYED])
def test_after_an_unknown_outcome_the_very_same_transaction_is_sent(
    bench: Bench, count: Counter, store: CountingStore, fault: Fault
) -> None:
    store.inject("commit", fault, times=3)
    assert (run(count), count.asked, len(store.sent), len(set(map(id, store.sent)))) == (1, 1, 4, 1)
    assert bench.stored_task().attempt == 1


def test_a_write_that_arrives_late_does_not_count_twice(
    bench: Bench, count: Counter, store: CountingStore
) -> None:
    store.inject("commit", Fault.DELAYED)
    run(count)
    store.release()
    assert bench.stored_task().attempt == 1


def test_while_an_outcome_is_open_nothing_else_is_decided_even_if_the_store_is_away(
    count: Counter, store: CountingStore
) -> None:
    store.inject("commit", Fault.REPLY_LOST)
    store.inject("commit", Fault.UNAVAILABLE, times=2)
    assert (run(count), count.asked, len(set(map(id, store.sent)))) == (1, 1, 1)


def test_a_transaction_in_doubt_that_was_overtaken_is_decided_anew(
    bench: Bench, count: Counter, store: CountingStore
) -> None:
    steps: Iterator[Callable[[], None]] = iter(
        [lambda: None, lambda: bench.put(evolve(bench.stored_task(), attempt=10)), lambda: None]
    )
    store.before_commit = lambda: next(steps)()
    store.inject("commit", Fault.DELAYED)
    assert (run(count), count.asked, len({tx.id for tx in store.sent})) == (11, 2, 2)


def test_a_refusal_is_final_and_says_why(bench: Bench, count: Counter, store: CountingStore) -> None:
    def too_large(snapshot: Snapshot) -> tuple[Transaction, None]:
        large = task("large", args={"a": "x" * MAX_DOCUMENT_BYTES})
        return count.transactor.change(snapshot).put("tasks/large", large).transaction("submit large"), None

    with pytest.raises(Rejected, match=r"the store refused 'submit large': .*limit"):
        count.transactor.transact(too_large)
    assert len(store.sent) == 1


def test_what_a_decision_raises_ends_the_loop(count: Counter) -> None:
    def impossible(_: Snapshot) -> tuple[None, None]:
        raise NotFound("there is no such thing")

    with pytest.raises(NotFound):
        count.transactor.transact(impossible)


def test_a_place_without_a_fleet_is_not_tried_again(bench: Bench, count: Counter) -> None:
    class Nowhere(MemoryStore):
        def read(self) -> MemorySnapshot:
            raise NotAStore("there is no fleet")

    before = bench.clock.now()
    with pytest.raises(NotAStore):
        dataclasses.replace(count.transactor, store=Nowhere()).transact(count)
    assert bench.clock.now() == before


@pytest.mark.parametrize(
    ("operation", "fault", "raised"),
    [
        ("read", Fault.UNAVAILABLE, Unavailable),
        ("commit", Fault.UNAVAILABLE, Unavailable),
        ("commit", Fault.DELAYED, OutcomeUnknown),
    ],
)
def test_it_gives_up_when_the_store_stays_away_for_as_long_as_its_patience(
    bench: Bench,
    count: Counter,
    store: CountingStore,
    operation: str,
    fault: Fault,
    raised: type[Exception],
) -> None:
    store.inject(operation, fault, times=10_000)
    before = bench.clock.now()
    with pytest.raises(raised):
        run(count)
    assert 30.0 <= bench.clock.now() - before < 33.0


def test_it_gives_up_on_a_key_that_keeps_moving_and_names_it(
    bench: Bench, count: Counter, store: CountingStore
) -> None:
    store.before_commit = lambda: bench.put(bench.stored_task())
    with pytest.raises(Conflict, match="tasks/build kept changing; try again"):
        run(count)


def test_pauses_grow_and_never_pass_two_seconds(bench: Bench, count: Counter, store: CountingStore) -> None:
    pauses: list[float] = []

    class Watched(ManualClock):
        def sleep(self, seconds: float) -> None:
            pauses.append(seconds)
            super().sleep(seconds)

    store.inject("read", Fault.UNAVAILABLE, times=10_000)
    with pytest.raises(Unavailable):
        dataclasses.replace(count.transactor, clock=Watched()).transact(count)
    ceilings = [min(2.0, 0.02 * 2**number) for number in range(len(pauses))]
    assert all(0 <= pause <= ceiling for pause, ceiling in zip(pauses, ceilings, strict=True))
    assert max(pauses) > 1.0


def test_a_change_stamps_each_record_with_the_next_revision_and_its_transaction(bench: Bench) -> None:
    first = bench.change().put("tasks/build", task()).transaction("write")
    assert bench.lands(first)
    second = bench.change().put("tasks/build", bench.stored_task()).transaction("write")
    assert bench.lands(second)
    document = bench.document("tasks/build")
    assert (document["rev"], document["tx"]) == (2, second.id)


def test_a_change_expects_what_it_writes_as_the_snapshot_has_it(bench: Bench) -> None:
    bench.put(task())
    snapshot = bench.snapshot()
    change = bench.change(snapshot).put("tasks/build", task()).delete("tasks/new").expect("tasks/other")
    assert change.transaction("x").expect == {
        "tasks/build": snapshot.version("tasks/build"),
        "tasks/new": ABSENT,
        "tasks/other": ABSENT,
    }


def test_an_explicit_expectation_stands_whatever_is_written_after_it(bench: Bench) -> None:
    bench.put(task())
    change = bench.change().expect_absent("tasks/build").put("tasks/build", task())
    assert change.transaction("x").expect == {"tasks/build": ABSENT}


@pytest.mark.parametrize("was_there", [True, False])
def test_what_must_be_present_and_is_gone_makes_the_change_bounce(bench: Bench, was_there: bool) -> None:
    if was_there:
        bench.put(incarnation())
    change = bench.change().expect_present("incarnations/inc1").put("tasks/build", task())
    if was_there:
        bench.drop("incarnations/inc1")
    assert not bench.lands(change.transaction("claim"))


def test_what_must_be_present_and_is_lets_the_change_land(bench: Bench) -> None:
    bench.put(incarnation())
    change = bench.change().expect_present("incarnations/inc1").put("tasks/build", task())
    assert bench.lands(change.transaction("claim"))


@pytest.mark.parametrize("text", ["a\nb", "a\rSentinel-Tx: forged", "a\0b", "x" * 10_000], ids=ascii)
def test_any_text_makes_a_note_of_one_printable_line(bench: Bench, text: str) -> None:
    note = bench.change().transaction(f"cancel build ({text})").note
    assert note.isprintable()
    assert len(note) <= 500
