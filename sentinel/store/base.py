"""The store port: read a snapshot, land transactions, beat in registers, keep blobs.

Everything clever sits above this port, once. Four things hold for every store, and the conformance suite
(`sentinel.testing.conformance`) checks them:

* A `Transaction` is *data*. It lands on the newest state if, and only if, every version that it expects
  still holds, even when unrelated keys have moved; so unrelated work never conflicts.
* Transactions of one batch are judged in order, each against the state that those before it made, and
  share one commit. A batch is not atomic; each of its transactions is.
* `Store.commit` is idempotent by transaction id: sent again, after `OutcomeUnknown` or a lost reply, a
  transaction that landed says so and does not land twice.
* A version never comes back: every document carries the id of the transaction that wrote it.

What a store does not promise: that a snapshot is the newest when you look at it. Whoever must not act on
old data says so in ``expect``.
"""

from __future__ import annotations

import dataclasses
import enum
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeVar

from sentinel.clock import Event
from sentinel.model.codec import Document

T = TypeVar("T")


class Absence(enum.Enum):
    """The two marks that stand where a version or a document would."""

    ABSENT = "absent"
    DELETE = "delete"


#: How many parts a folder is gone through in.
PARTS: Final = 256
#: Expected "version" of a key that must not exist.
ABSENT: Final = Absence.ABSENT
#: Written "document" that removes a key.
DELETE: Final = Absence.DELETE

Version = str
Expected = Version | Literal[Absence.ABSENT]
Written = Document | Literal[Absence.DELETE]


@dataclasses.dataclass(frozen=True, slots=True)
class Transaction:
    """A change as data: what must still hold, and what to write if it does."""

    #: Unique for ever; a record's ``tx`` field and the commit's trailer repeat it.
    id: str
    #: Every key that is written must be here too: nothing is ever written blindly.
    expect: Mapping[str, Expected]
    write: Mapping[str, Written]
    #: One line for the audit, such as ``claim build-42 epoch 3 by worker-001``.
    note: str
    #: Whether it only keeps the books of what others in its batch do: it does not lead a commit's subject.
    aside: bool = False
    #: Of what is written, the records that loading it would give: a store may spare itself to load them.
    records: Mapping[str, Any] = dataclasses.field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.write.keys() <= self.expect.keys():
            blind = self.write.keys() - self.expect.keys()
            raise ValueError(f"transaction {self.note!r} writes {sorted(blind)} without expecting a version")
        # It is a line of a commit message: a NUL would cut the trailers off, and more than "\n" ends a line.
        if not self.note or not self.note.isprintable():
            raise ValueError(f"the note {self.note!r} is not one printable line")


@dataclasses.dataclass(frozen=True, slots=True)
class Committed:
    """The change landed; ``revision`` names the state that first held it."""

    revision: str


@dataclasses.dataclass(frozen=True, slots=True)
class Conflicted:
    """The change did not and will not land: these keys (or this register) had moved."""

    keys: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """The store will never accept this change (a hook, push protection, a size limit)."""

    reason: str


Outcome = Committed | Conflicted | Refused


@dataclasses.dataclass(frozen=True, slots=True)
class Register:
    """A register as read. ``document`` is None when it cannot be read; ``problem`` then says why."""

    version: Version
    document: Document | None
    problem: str | None = None
    #: What readers made of the document, kept so that one that is read again and again is parsed once.
    parsed: dict[str, Any] = dataclasses.field(default_factory=dict, init=False, compare=False, repr=False)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One commit of the audit: transactions that landed together."""

    revision: str
    #: Seconds since 1970 by the clock of whoever committed it, for people; None where no time is kept.
    at: float | None
    #: Who committed it, as far as is known; for people.
    by: str
    #: The transactions' notes, in the order in which they landed.
    notes: tuple[str, ...]


class Rode(enum.Enum):
    """What is known of a ride that did not come to an outcome."""

    #: Certainly not applied.
    NOT = "not"
    #: It may have been applied, or may be yet.
    UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ride:
    """A write of one register that goes along with a commit."""

    name: str
    document: Document
    expect: Expected


class Rider(Protocol):
    """Whoever has a register written when something else is sent anyway; see `Store.carry`."""

    def ride(self) -> Ride | None:
        """What to take along, asked for just before it is sent; None when there is nothing now."""

    def rode(self, ride: Ride, outcome: Committed | Conflicted | Rode) -> None:
        """What became of it: told once for each ride, before `Store.carry` returns or raises."""


class Snapshot(ABC):
    """A consistent, immutable view of all documents at one revision."""

    revision: str

    @abstractmethod
    def get(self, key: str) -> Document | None:
        """The document at ``key``, the caller's own copy, or None. Raises `BadRecord` when unreadable."""

    def parsed(self, key: str, parse: Callable[[str, Document], T]) -> T | None:
        """What ``parse`` makes of the document at ``key``, or None when there is none. Raises what both do.

        A store may remember it for a version, so it must be a frozen value that follows from these two alone.
        """
        document = self.get(key)
        return None if document is None else parse(key, document)

    @abstractmethod
    def list(self, prefix: str) -> Iterator[str]:
        """All keys that begin with ``prefix`` (a folder such as ``tasks/``), in no stated order."""

    def part(self, prefix: str, number: int) -> Iterator[str]:
        """One of the `PARTS` parts of `list`, about equally large and together the whole, by its number.

        A store may find one without looking at the others. Which key is in which is the store's own matter.
        """
        return (key for key in self.list(prefix) if zlib.crc32(key.encode()) % PARTS == number)

    @abstractmethod
    def version(self, key: str) -> Expected:
        """The version of ``key``, or `ABSENT`. Unreadable records have versions too."""

    def changed(self, since: Snapshot) -> Iterable[str] | None:  # noqa: ARG002 - for those that can tell
        """All keys whose versions differ from those in ``since``, perhaps with some that do not.

        None when finding them would cost as much as looking at every key.
        """
        return None


class Store(ABC):
    """One client's connection to the fleet's state. Not shared between threads: each opens its own."""

    #: A folder on this host that all clients of this store on this host share, or None. Proof of death
    #: files live there; a store that other hosts reach has none.
    host_folder: Path | None = None

    #: Whether `wait` hears of changes at once, instead of asking now and then. Where it only asks, a thread
    #: that waits costs as many looks as it saves.
    hears: bool = True

    @abstractmethod
    def read(self) -> Snapshot:
        """The newest state that can be seen now; cheap when nothing moved.

        Raises `Unavailable` when the store cannot be reached and `NotAStore` when it holds no fleet.
        """

    @abstractmethod
    def commit(self, transactions: Sequence[Transaction]) -> list[Outcome]:
        """Try to land each transaction; one outcome each, in order. An empty batch costs nothing.

        Raises `Unavailable` (certainly nothing was applied) or `OutcomeUnknown` (send the very same
        transactions again to learn what became of them).
        """

    def carry(self, transactions: Sequence[Transaction], rider: Rider) -> list[Outcome]:
        """`commit`, and let ``rider`` have a register written on the same way, where every way costs.

        Never atomically: either may be applied without the other.
        """
        del rider  # a way that costs nothing is not shared
        return self.commit(transactions)

    @abstractmethod
    def publish(self, name: str, document: Written, expect: Expected) -> Committed | Conflicted:
        """Compare-and-swap one register; ``Committed.revision`` is its new version.

        A name is lower-case hexadecimal. Raises `Unavailable` or `OutcomeUnknown`.
        """

    @abstractmethod
    def published(self) -> Mapping[str, Register]:
        """All registers by name. Raises `Unavailable`."""

    def look(self) -> tuple[Snapshot, Mapping[str, Register]]:
        """`read` and then `published`, in one exchange where the store can. Raises what they raise."""
        return self.read(), self.published()

    @abstractmethod
    def keep(self, blobs: Sequence[bytes]) -> list[str]:
        """Store immutable blobs, durable before this returns, and give the name of each.

        To be called before the transaction that mentions the names. Raises `Unavailable`.
        """

    def keep_and_carry(self, blobs: Sequence[bytes], rider: Rider) -> list[str]:
        """`keep`, and let ``rider`` have a register written on the same way, as `carry` does."""
        del rider  # a way that costs nothing is not shared
        return self.keep(blobs)

    @property
    def kept_in(self) -> str | None:
        """The commit that holds what this connection stored with `keep` last; None where there are none."""
        return None

    @abstractmethod
    def kept(self, name: str) -> bytes | None:
        """A blob by the name that `keep` gave, or None when it was pruned or never existed."""

    def days(self) -> Mapping[str, Version]:
        """The days (``2026-11-22``) of which blobs are kept, each with a version that changes with them.

        Empty where blobs are not kept by the day. Raises `Unavailable`.
        """
        return {}

    def drop_day(self, day: str, version: Version) -> bool:  # noqa: ARG002 - for stores that keep by the day
        """Keep the blobs of ``day`` no longer, if it is as in ``version``; False when it is not.

        They can be read until the store collects what nothing holds. Raises `Unavailable` or
        `OutcomeUnknown`.
        """
        return False

    def keep_small(self, mark: int) -> None:  # noqa: ARG002 - for stores whose files are on this host
        """Begin to tidy up, and return at once; the history may end before the retention's mark ``mark``.

        To be called now and then by one client of all. Does nothing where that is the matter of a server.
        """
        return

    @abstractmethod
    def audit(self, limit: int, after: str | None = None) -> list[Entry]:
        """The newest ``limit`` commits, newest first; of those, the ones past the revision ``after``.

        Ends earlier where this connection's copy of the history does. Raises `Unavailable`.
        """

    @abstractmethod
    def wait(self, timeout: float) -> bool:
        """Block until the state may have moved, or ``timeout`` seconds passed; True if it may have.

        What this client wrote itself need not count.
        """

    def listen(self, wakeup: Event, told: Callable[[], None]) -> bool:  # noqa: ARG002 - for those that can
        """Let ``wakeup`` wake when the state may have moved beyond what this client has read or written.

        ``told`` is called by the waiting thread for every change of it. False where that cannot be, and
        somebody has to `wait`.
        """
        return False

    @abstractmethod
    def close(self) -> None:
        """Release what the connection holds. Idempotent."""


@dataclasses.dataclass(frozen=True, slots=True)
class Landing:
    """What a batch comes to on a given state: the transactions that hold, and an outcome for the others."""

    accepted: tuple[Transaction, ...]
    #: By position in the batch; positions that were accepted are missing.
    conflicts: Mapping[int, Conflicted]

    @property
    def writes(self) -> dict[str, Written]:
        """The accepted writes together; a later transaction's write of a key replaces an earlier one's."""
        return {key: document for tx in self.accepted for key, document in tx.write.items()}


def land(batch: Sequence[Transaction], base: Snapshot) -> Landing:
    """Judge a batch, in order, against ``base`` and against each other. Pure; all stores land through it."""
    overlay: dict[str, Expected | None] = {}
    accepted: list[Transaction] = []
    conflicts: dict[int, Conflicted] = {}
    for position, tx in enumerate(batch):
        moved = tuple(
            key
            for key, expected in tx.expect.items()
            if (overlay[key] if key in overlay else base.version(key)) != expected
        )
        if moved:
            conflicts[position] = Conflicted(moved)
            continue
        accepted.append(tx)
        for key, written in tx.write.items():
            # What an earlier transaction of this batch wrote has no version yet: nobody can expect it.
            overlay[key] = ABSENT if written is DELETE else None
    return Landing(tuple(accepted), conflicts)


def outcomes(batch: Sequence[Transaction], landing: Landing, revision: str) -> list[Outcome]:
    """The outcomes of a batch whose accepted part landed at ``revision``."""
    return [landing.conflicts.get(position) or Committed(revision) for position in range(len(batch))]


#: Longest subject in characters that names every transaction of a commit; a longer one names the first.
_MAX_SUBJECT = 160


def message(transactions: Sequence[Transaction], nonce: str) -> str:
    """The commit message: the notes for people, then the nonce and transaction ids as trailers."""
    notes = [tx.note for tx in transactions]
    told = [tx.note for tx in transactions if not tx.aside] or notes
    subject = "; ".join(told)
    if len(subject) > _MAX_SUBJECT and len(told) > 1:
        subject = f"{told[0]} (and {len(told) - 1} more)"
    body = "" if len(notes) == 1 else "".join(f"{note}\n" for note in notes) + "\n"
    trailers = "".join(f"Sentinel-Tx: {tx.id}\n" for tx in transactions)
    return f"{subject}\n\n{body}Sentinel-Nonce: {nonce}\n{trailers}"


def notes(text: str) -> tuple[str, ...]:
    """The notes in a commit message that `message` made; the subject of any other message."""
    above, mark, _ = text.rpartition("\nSentinel-Nonce: ")
    subject, *body = [line for line in (above if mark else text).splitlines() if line]
    return tuple(body) if mark and body else (subject,)
