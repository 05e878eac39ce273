"""The compare-and-swap loop: decide on a snapshot, try to land it, decide again on fresh data if it moved.

All shared change goes through one re-runnable decision. `Change` builds its transaction and stamps each
record with ``rev`` and ``tx``, so that no version ever comes back and a record names its last writer.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self, TypeVar

import tenacity

from sentinel.clock import Clock
from sentinel.errors import Conflict, OutcomeUnknown, Rejected, Unavailable
from sentinel.model.codec import Document
from sentinel.model.ids import IdSource
from sentinel.model.line import one_line
from sentinel.store.base import (
    ABSENT,
    DELETE,
    Committed,
    Expected,
    Outcome,
    Refused,
    Snapshot,
    Store,
    Transaction,
    Written,
)

T = TypeVar("T")

#: A version that no record has.
_NEVER = ""
#: Longest line in the audit, in characters.
_MAX_NOTE = 500


class Record(Protocol):
    """A frozen value that is stored as a document."""

    @property
    def rev(self) -> int:
        """How often it was written before this version, zero for one that never was."""

    def stamped(self, rev: int, tx: str) -> Self:
        """The same record as version ``rev``, written by transaction ``tx``."""

    def document(self) -> Document:
        """The record as a JSON object."""


class Change:
    """Collects what one transaction expects and writes."""

    __slots__ = ("_expect", "_records", "_snapshot", "_tx", "_write")

    def __init__(self, snapshot: Snapshot, tx: str) -> None:
        self._snapshot = snapshot
        self._tx = tx
        self._expect: dict[str, Expected] = {}
        self._write: dict[str, Written] = {}
        self._records: dict[str, Any] = {}

    def expect(self, key: str) -> Change:
        """Land only while ``key`` is as it is in the snapshot (absence included)."""
        self._expect[key] = self._snapshot.version(key)
        return self

    def expect_absent(self, key: str) -> Change:
        """Land only while there is no ``key``, whatever the snapshot shows."""
        self._expect[key] = ABSENT
        return self

    def expect_present(self, key: str) -> Change:
        """Land only while ``key`` is there, and as it is in the snapshot; without it there, never.

        For the record that gives the right to act: what acts in the name of one that is gone must bounce,
        where `expect` would take its absence for what is wanted.
        """
        version = self._snapshot.version(key)
        self._expect[key] = _NEVER if version is ABSENT else version
        return self

    def holds(self, key: str) -> bool:
        """Whether the snapshot has ``key`` at all."""
        return self._snapshot.version(key) is not ABSENT

    def parsed(self, key: str, parse: Callable[[str, Document], T]) -> T | None:
        """What ``parse`` makes of the document that the snapshot has at ``key``; see `Snapshot.parsed`."""
        return self._snapshot.parsed(key, parse)

    def put(self, key: str, record: Record, *, loaded: bool = False) -> Change:
        """Write ``record``, derived from what the snapshot holds, as the next version.

        ``loaded`` says that it is made of loaded values only, so that loading it again gives the very same.
        """
        stamped = record.stamped(record.rev + 1, self._tx)
        self._write[key] = stamped.document()
        if loaded:
            self._records[key] = stamped
        return self._expect_as_seen(key)

    def delete(self, key: str) -> Change:
        """Remove ``key`` as it is in the snapshot."""
        self._write[key] = DELETE
        return self._expect_as_seen(key)

    def _expect_as_seen(self, key: str) -> Change:
        return self if key in self._expect else self.expect(key)

    def transaction(self, note: str, *, aside: bool = False) -> Transaction:
        """The finished transaction; ``note``, whatever texts went into it, is one line of the audit."""
        note = one_line(note, _MAX_NOTE)
        return Transaction(self._tx, self._expect, self._write, note, aside, self._records)


@dataclasses.dataclass(frozen=True, slots=True)
class Transactor:
    """A store together with what trying again needs: a clock, randomness and new ids."""

    store: Store
    clock: Clock
    rng: random.Random
    ids: IdSource
    #: Give up after this many seconds of a store that cannot be reached or a key that keeps moving.
    patience: float = 30.0
    #: How transactions are sent, where another thread does that; None for by `store` itself.
    send: Callable[[Sequence[Transaction]], Sequence[Outcome]] | None = None

    def commit(self, transactions: Sequence[Transaction]) -> Sequence[Outcome]:
        """See `Store.commit`."""
        return (self.send or self.store.commit)(transactions)

    def change(self, snapshot: Snapshot) -> Change:
        """A new, empty change on ``snapshot``."""
        return Change(snapshot, self.ids.ulid())

    def changes(self) -> Callable[[Snapshot], Change]:
        """What begins one change after the other of those that are decided on together."""
        ids = self.ids.ulids()
        return lambda snapshot: Change(snapshot, next(ids))

    def transact(self, decide: Callable[[Snapshot], tuple[Transaction | None, T]]) -> T:
        """Run ``decide`` until its transaction lands (or it wants none), and return its second value.

        ``decide`` must have no side effects: it runs again on fresh data after each conflict. Whatever it
        raises ends the loop. Raises `Unavailable` or `OutcomeUnknown` when the store stays away for
        `patience` seconds, `Conflict` when the keys keep moving, and `Rejected` when the store refuses.
        """
        pending: list[tuple[Transaction, T]] = []

        def attempt() -> T:
            if pending:
                # An outcome is open: the very same transaction is sent again, never a new decision.
                transaction, value = pending[0]
            else:
                wanted, value = decide(self.store.read())
                if wanted is None:
                    return value
                transaction = wanted
            try:
                (outcome,) = self.store.commit([transaction])
            except OutcomeUnknown:
                pending[:] = [(transaction, value)]
                raise
            pending.clear()
            if isinstance(outcome, Committed):
                return value
            if isinstance(outcome, Refused):
                raise Rejected(f"the store refused {transaction.note!r}: {outcome.reason}")
            raise _Moved(outcome.keys)

        try:
            return self.retrying()(attempt)
        except _Moved as moved:
            raise Conflict(f"{', '.join(moved.keys)} kept changing; try again") from moved

    def retrying(self) -> tenacity.Retrying:
        """The one retry policy: exponential with full jitter from 20 ms to 2 s, until `patience` is over."""
        started = self.clock.now()

        def pause(state: tenacity.RetryCallState) -> float:
            ceiling = min(2.0, 0.02 * 2 ** min(state.attempt_number - 1, 10))
            return self.rng.uniform(0.0, ceiling)

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((Unavailable, OutcomeUnknown, _Moved)),
            wait=pause,
            stop=lambda _: self.clock.now() - started >= self.patience,
            sleep=self.clock.sleep,
            reraise=True,
        )


class _Moved(Exception):
    def __init__(self, keys: tuple[str, ...]) -> None:
        self.keys = keys
        super().__init__(", ".join(keys))
