"""Records with every field filled in, and a small fleet in memory to put them into."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping
from typing import Any, Protocol

from sentinel.fleet.observer import Observer
from sentinel.fleet.view import Reader, View
from sentinel.model import layout
from sentinel.model import task as transitions
from sentinel.model.codec import Document, decode, encode
from sentinel.model.ids import IdSource
from sentinel.model.lock import Lock
from sentinel.model.task import Ending, Task
from sentinel.model.worker import Incarnation, Session, Worker
from sentinel.store.base import ABSENT, Committed, Expected, Outcome, Register, Snapshot, Transaction
from sentinel.store.memory import Commit, MemoryFleet, MemoryStore
from sentinel.store.transact import Change, Record, Transactor
from sentinel.testing.clock import ManualClock

WALL = 1_795_000_000.0
AT = "2026-11-18T11:06:40.000000Z"
#: Session TTL and stale threshold of everything built here, in seconds.
STALE = 10.0

OK = Ending(cause=None)
FAILED = Ending(cause="error", message="it broke")


def task(id: str = "build", **fields: Any) -> Task:
    """A task that was submitted and waits."""
    fields.setdefault("type", "work")
    fields.setdefault("created_at", AT)
    return transitions.submit(Task(id=id, **fields), wall=WALL)


def claimed(task: Task, *, worker: str = "w1", incarnation: str = "inc1") -> Task:
    """The task, running on a worker."""
    return transitions.claim(task, worker=worker, incarnation=incarnation, wall=WALL)


def running(id: str = "build", *, worker: str = "w1", incarnation: str = "inc1", **fields: Any) -> Task:
    """A task that runs on a worker."""
    return claimed(task(id, **fields), worker=worker, incarnation=incarnation)


def ended(id: str = "build", ending: Ending = OK, **fields: Any) -> Task:
    """A task whose only attempt ended."""
    return transitions.end_attempt(running(id, **fields), ending, wall=WALL)


def worker(id: str = "w1", incarnation: str = "inc1", **fields: Any) -> Worker:
    """A registered worker."""
    fields.setdefault("types", ("work",))
    fields.setdefault("max_tasks", 2)
    return Worker(id=id, incarnation=incarnation, hostname=f"host-of-{id}", **fields)


def incarnation(id: str = "inc1", worker: str = "w1", **fields: Any) -> Incarnation:
    """An incarnation that is live once its record is stored."""
    fields.setdefault("ttl", STALE)
    fields.setdefault("interval", 2.0)
    return Incarnation(id=id, worker=worker, **fields)


def session(incarnation: str = "inc1", worker: str = "w1", seq: int = 1, **fields: Any) -> Session:
    """One beat."""
    fields.setdefault("ttl", STALE)
    fields.setdefault("interval", 2.0)
    return Session(incarnation=incarnation, worker=worker, seq=seq, sent_at=AT, **fields)


def held_lock(name: str = "deploy", *, incarnation: str | None = None, ttl: float = 60.0) -> Lock:
    """A lock in somebody's hands: an incarnation's, or a ticket."""
    return Lock(name=name).acquire(holder="alice", incarnation=incarnation, ttl=ttl, at=AT)


def key_of(record: Record) -> str:
    """Where a record belongs."""
    match record:
        case Task():
            return layout.done_key(record.id) if record.ended else layout.task_key(record.id)
        case Worker():
            return layout.worker_key(record.id)
        case Incarnation():
            return layout.incarnation_key(record.id)
        case Lock():
            return layout.lock_key(record.name)
    raise TypeError(f"{record!r} has no key")


class Bench:
    """One client of a fleet in memory, with a clock that stands still."""

    def __init__(self, fleet: MemoryFleet | None = None) -> None:
        self.clock = ManualClock()
        self.fleet = fleet if fleet is not None else MemoryFleet()
        self.store = MemoryStore(self.fleet)
        rng = random.Random(7)
        self.ids = IdSource(rng, self.clock.wall)
        self.transactor = Transactor(self.store, self.clock, rng, self.ids)
        self.observer = Observer()

    def snapshot(self) -> Snapshot:
        """The newest state."""
        return self.store.read()

    def view(self) -> View:
        """The newest state as records."""
        return Reader().view(self.store.read())

    def change(self, snapshot: Snapshot | None = None) -> Change:
        """A change on the newest state, or on ``snapshot``."""
        return self.transactor.change(snapshot if snapshot is not None else self.store.read())

    def commit(self, transaction: Transaction | None) -> Outcome:
        """What becomes of one transaction."""
        assert transaction is not None
        (outcome,) = self.store.commit([transaction])
        return outcome

    def lands(self, transaction: Transaction | None) -> bool:
        """Whether the transaction lands."""
        return isinstance(self.commit(transaction), Committed)

    def put(self, *records: Record) -> None:
        """Store records, whatever was there."""
        for record in records:
            snapshot = self.snapshot()
            version = snapshot.version(key_of(record))
            if version is not ABSENT:
                self.drop(key_of(record))
            assert self.lands(self.change().put(key_of(record), record).transaction("put"))

    def drop(self, *keys: str) -> None:
        """Delete records."""
        for key in keys:
            assert self.lands(self.change().delete(key).transaction("drop"))

    def tear(self, key: str, data: bytes = b"{") -> None:
        """Put bytes where a record belongs, as a stray program would."""
        head = self.fleet.head
        self.fleet.history.append(Commit(head.revision + 1, (), {**head.state, key: data}))

    def stored_task(self, id: str = "build") -> Task:
        """The task as stored, wherever it is."""
        found = self.view().task(id)
        assert found is not None
        return found

    def document(self, key: str) -> Document:
        """The document at ``key``."""
        found = self.snapshot().get(key)
        assert found is not None
        return found

    def join(self, id: str = "w1", incarnation_id: str = "inc1", **fields: Any) -> None:
        """Make a worker live that has beaten once."""
        self.put(worker(id, incarnation_id, **fields), incarnation(incarnation_id, id))
        self.beat(session(incarnation_id, id))

    def beat(self, beaten: Session) -> str:
        """Overwrite a session's register; its new version."""
        name = layout.session_register(beaten.incarnation)
        outcome = self.store.publish(name, beaten.document(), self.register_version(name))
        assert isinstance(outcome, Committed)
        return outcome.revision

    def register_version(self, name: str) -> Expected:
        """The version of a register."""
        found = self.store.published().get(name)
        return ABSENT if found is None else found.version

    def registers(self) -> Mapping[str, Register]:
        """All registers."""
        return self.store.published()


class Stored(Protocol):
    """Anything that has a document."""

    def document(self) -> Document:
        """It as JSON."""


def as_stored(record: Stored) -> Document:
    """The document of a record as a store gives it back."""
    document: Document = decode(encode(record.document()))
    return document


def without(document: Document, *names: str) -> Document:
    """The document without some of its fields."""
    return {name: value for name, value in document.items() if name not in names}


def evolve(task: Task, **fields: Any) -> Task:
    """The task with other fields, for states that no transition leads to at once."""
    return dataclasses.replace(task, **fields)
