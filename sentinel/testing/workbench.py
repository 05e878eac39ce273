"""What store tests are made with: a bench that opens clients, and transactions made in one line."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Self, TypeVar

from sentinel.model.codec import Document
from sentinel.store.base import (
    Committed,
    Conflicted,
    Expected,
    Outcome,
    Ride,
    Rode,
    Store,
    Transaction,
    Written,
)

T = TypeVar("T")

_numbers = itertools.count(1)
#: No store that is alive is silent for so long, in seconds.
_PATIENCE = 120.0


class StoreBench(ABC):
    """One fresh store, and as many independent clients of it as a test wants."""

    def __init__(self) -> None:
        self._opened: list[Store] = []

    @abstractmethod
    def open(self) -> Store:
        """A new client, for the calling thread."""

    @abstractmethod
    def plant(self, key: str, content: bytes) -> None:
        """Put raw bytes at ``key``, as somebody might who writes past Sentinel."""

    @abstractmethod
    def plant_register(self, name: str, content: bytes) -> None:
        """Replace the stored bytes of an existing register by ``content``."""

    def client(self) -> Store:
        """A new client that `close` closes."""
        store = self.open()
        self._opened.append(store)
        return store

    def close(self) -> None:
        """Close every client that `client` opened."""
        while self._opened:
            self._opened.pop().close()

    def together(self, number: int, work: Callable[[Store, int], T]) -> list[T]:
        """Run ``work(its own client, its index)`` in so many threads at once; the results in order.

        The first exception of a thread is raised here.
        """
        results: dict[int, T] = {}

        def run(index: int) -> None:
            store = self.open()
            try:
                results[index] = work(store, index)
            finally:
                store.close()

        with contextlib.ExitStack() as stack:
            for index in range(number):
                stack.enter_context(self.thread(run, index))
        return [results[index] for index in range(number)]

    @contextlib.contextmanager
    def thread(self, work: Callable[..., object], *arguments: object) -> Iterator[None]:
        """Run ``work`` beside the body; at the end wait for it, and raise what it raised."""
        failures: list[BaseException] = []

        def guarded() -> None:
            try:
                work(*arguments)
            except BaseException as error:  # noqa: BLE001 - it is raised again in the thread of the test
                failures.append(error)

        thread = threading.Thread(target=guarded, daemon=True)
        thread.start()
        try:
            yield
        finally:
            thread.join(_PATIENCE)
        if thread.is_alive():
            raise TimeoutError(f"the store did not answer a thread within {_PATIENCE:g} s")
        if failures:
            raise failures[0]


class Passenger:
    """A rider that has ``{"seq": 2}`` written to a register over ``expect``, each time that it is asked."""

    def __init__(self, name: str, expect: Expected) -> None:
        self._ride = Ride(name=name, document={"seq": 2}, expect=expect)
        self.asked = 0
        #: What it was told, in order.
        self.outcomes: list[Committed | Conflicted | Rode] = []

    @property
    def landed(self) -> list[Committed]:
        """The rides that were applied."""
        return [outcome for outcome in self.outcomes if isinstance(outcome, Committed)]

    def ride(self) -> Ride:
        """See `sentinel.store.base.Rider`."""
        self.asked += 1
        return self._ride

    def rode(self, ride: Ride, outcome: Committed | Conflicted | Rode) -> None:
        """See `sentinel.store.base.Rider`."""
        assert ride is self._ride
        self.outcomes.append(outcome)


def transaction(
    expect: Mapping[str, Expected],
    write: Mapping[str, Written],
    note: str = "a test",
    identifier: str | None = None,
) -> Transaction:
    """A transaction with a new id."""
    return Transaction(identifier or f"test-{next(_numbers)}", expect, write, note)


def attempt(store: Store, tx: Transaction) -> Outcome:
    """The outcome of one transaction, committed alone."""
    (outcome,) = store.commit([tx])
    return outcome


def landed(store: Store, tx: Transaction) -> str:
    """Commit one transaction that must land; its revision."""
    outcome = attempt(store, tx)
    assert isinstance(outcome, Committed), outcome
    return outcome.revision


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """The smallest record there is: a number that counts its versions."""

    value: int = 0
    rev: int = 0
    tx: str = ""

    @classmethod
    def of(cls, document: Document) -> Self:
        """The record in ``document``."""
        return cls(value=document["value"], rev=document["rev"], tx=document["tx"])

    def with_value(self, value: int) -> Self:
        """The same record with another value."""
        return dataclasses.replace(self, value=value)

    def stamped(self, rev: int, tx: str) -> Self:
        """The same record as version ``rev`` by ``tx``."""
        return dataclasses.replace(self, rev=rev, tx=tx)

    def document(self) -> Document:
        """The record as a JSON object."""
        return {"value": self.value, "rev": self.rev, "tx": self.tx}
