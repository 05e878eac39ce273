"""The reference store: everything in this process's memory. For tests, the simulator and ``Client`` alike.

A `MemoryFleet` is the shared state; each `MemoryStore` is one client of it. The fleet keeps its whole
history, so that a checker can judge the true sequence of changes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sentinel.errors import BadRecord
from sentinel.model.codec import Document, decode_document, encode_document
from sentinel.store.base import (
    ABSENT,
    DELETE,
    Committed,
    Conflicted,
    Entry,
    Expected,
    Outcome,
    Refused,
    Register,
    Snapshot,
    Store,
    Transaction,
    Written,
    land,
)


def _version(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:40]


@dataclasses.dataclass(frozen=True, slots=True)
class Commit:
    """One step of the true history: who landed what, and the state after it."""

    revision: int
    transactions: tuple[Transaction, ...]
    state: Mapping[str, bytes]


class MemoryFleet:
    """The state that several `MemoryStore` clients share."""

    def __init__(self) -> None:
        self.lock = threading.Condition()
        self.history: list[Commit] = [Commit(0, (), {})]
        #: Every value that every register ever had, oldest first: name, canonical bytes or None.
        self.register_history: list[tuple[str, bytes | None]] = []
        self.registers: dict[str, bytes] = {}
        self.blobs: dict[str, bytes] = {}
        #: Transaction id → revision that first held it.
        self.landed: dict[str, int] = {}

    @property
    def head(self) -> Commit:
        """The newest commit."""
        return self.history[-1]


class MemorySnapshot(Snapshot):
    """The state of a `MemoryFleet` at one revision."""

    def __init__(self, commit: Commit) -> None:
        self.revision = str(commit.revision)
        self._state = commit.state

    def get(self, key: str) -> Document | None:
        data = self._state.get(key)
        return None if data is None else decode_document(key, data)

    def list(self, prefix: str) -> Iterator[str]:
        return (key for key in self._state if key.startswith(prefix))

    def version(self, key: str) -> Expected:
        data = self._state.get(key)
        return ABSENT if data is None else _version(data)

    def changed(self, since: Snapshot) -> Iterable[str] | None:
        if not isinstance(since, MemorySnapshot):
            return None
        before, now = since._state, self._state
        # What a commit left alone is the same object in both.
        return [key for key in {**before, **now} if before.get(key) is not now.get(key)]


class MemoryStore(Store):
    """One client of a `MemoryFleet`."""

    def __init__(self, fleet: MemoryFleet | None = None) -> None:
        self.fleet = fleet if fleet is not None else MemoryFleet()
        self._seen = -1

    def read(self) -> MemorySnapshot:
        with self.fleet.lock:
            head = self.fleet.head
            self._seen = head.revision
            return MemorySnapshot(head)

    def commit(self, transactions: Sequence[Transaction]) -> list[Outcome]:
        if not transactions:
            return []
        with self.fleet.lock:
            return self._commit(transactions)

    def _commit(self, transactions: Sequence[Transaction]) -> list[Outcome]:
        fleet = self.fleet
        results: dict[str, Outcome] = {}
        fresh: list[Transaction] = []
        encoded: dict[str, dict[str, bytes | None]] = {}
        for tx in transactions:
            if tx.id in fleet.landed:
                results[tx.id] = Committed(str(fleet.landed[tx.id]))
                continue
            try:
                encoded[tx.id] = {
                    key: None if document is DELETE else encode_document(document)
                    for key, document in tx.write.items()
                }
            except ValueError as error:
                results[tx.id] = Refused(str(error))
                continue
            fresh.append(tx)
        landing = land(fresh, MemorySnapshot(fleet.head))
        for position, conflict in landing.conflicts.items():
            results[fresh[position].id] = conflict
        if landing.accepted:
            state = dict(fleet.head.state)
            for tx in landing.accepted:
                for key, data in encoded[tx.id].items():
                    if data is None:
                        state.pop(key, None)
                    else:
                        state[key] = data
            revision = fleet.head.revision + 1
            fleet.history.append(Commit(revision, landing.accepted, state))
            for tx in landing.accepted:
                fleet.landed[tx.id] = revision
                results[tx.id] = Committed(str(revision))
            fleet.lock.notify_all()
        return [results[tx.id] for tx in transactions]

    def publish(self, name: str, document: Written, expect: Expected) -> Committed | Conflicted:
        data = None if document is DELETE else encode_document(document)
        with self.fleet.lock:
            current = self.fleet.registers.get(name)
            version = ABSENT if current is None else _version(current)
            if version != expect:
                return Conflicted((name,))
            if data is None:
                self.fleet.registers.pop(name, None)
            else:
                self.fleet.registers[name] = data
            self.fleet.register_history.append((name, data))
            return Committed("" if data is None else _version(data))

    def published(self) -> dict[str, Register]:
        with self.fleet.lock:
            current = dict(self.fleet.registers)
        return {name: _register(name, data) for name, data in current.items()}

    def keep(self, blobs: Sequence[bytes]) -> list[str]:
        names = [_version(data) for data in blobs]
        with self.fleet.lock:
            self.fleet.blobs.update(zip(names, blobs, strict=True))
        return names

    def kept(self, name: str) -> bytes | None:
        with self.fleet.lock:
            return self.fleet.blobs.get(name)

    def audit(self, limit: int, after: str | None = None) -> list[Entry]:
        with self.fleet.lock:
            first = 1 if after is None else int(after) + 1
            # The initial state was committed by nobody.
            landed = [commit for commit in self.fleet.history[max(first, 1) :] if commit.transactions]
        return [
            Entry(
                revision=str(commit.revision),
                at=None,
                by="",
                notes=tuple(tx.note for tx in commit.transactions),
            )
            for commit in reversed(landed[-limit:] if limit > 0 else [])
        ]

    def wait(self, timeout: float) -> bool:
        with self.fleet.lock:
            return self.fleet.lock.wait_for(lambda: self.fleet.head.revision != self._seen, timeout)

    def close(self) -> None:
        """Nothing is held."""


def _register(name: str, data: bytes) -> Register:
    try:
        return Register(_version(data), decode_document(name, data))
    except BadRecord as error:
        return Register(_version(data), None, error.reason)
