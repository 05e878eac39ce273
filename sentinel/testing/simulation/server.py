"""The truth of a simulation: the one state and the registers, of which every change is judged as it lands.

A `MemoryFleet` that remembers when each state came, for reads that lag. It can be moved back, as a branch
is by somebody's force.
"""

from __future__ import annotations

import bisect
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sentinel.errors import Rewound
from sentinel.model.codec import FORMAT, Document
from sentinel.store.base import (
    ABSENT,
    DELETE,
    Committed,
    Conflicted,
    Entry,
    Expected,
    Outcome,
    Register,
    Snapshot,
    Transaction,
    Written,
)
from sentinel.store.memory import Commit, MemoryFleet, MemoryStore
from sentinel.testing.checker import Checker, Sender
from sentinel.testing.simulation.baton import Baton
from sentinel.testing.simulation.trace import Trace

T = TypeVar("T")

#: How many states are kept for reads that lag.
_STATES = 400
#: How many parsed records are kept.
_PARSED = 20_000


class Seen(Snapshot):
    """A state whose versions are looked up instead of computed: fifty peers ask for each many times."""

    def __init__(self, server: Server, commit: Commit) -> None:
        self.revision = str(commit.revision)
        self.number = commit.revision
        self._server = server
        self._state = commit.state
        self._version_of = server.version_of
        self._listed = server.listed
        self._history = server.fleet.history
        self._parsed = server.parsed

    def get(self, key: str) -> Document | None:
        data = self._state.get(key)
        # Nobody writes past the port here, so what the port has checked is not checked again.
        return None if data is None else json.loads(data)

    def parsed(self, key: str, parse: Callable[[str, Document], T]) -> T | None:
        # Whoever reads a version gets the one frozen value.
        data = self._state.get(key)
        if data is None:
            return None
        known: T | None = self._parsed.get((key, data, parse))
        if known is None:
            if len(self._parsed) > _PARSED:
                self._parsed.clear()
            known = self._parsed[key, data, parse] = parse(key, json.loads(data))
        return known

    def list(self, prefix: str) -> Iterator[str]:
        found = self._listed.get((self.number, prefix))
        if found is None:
            found = self._listed[self.number, prefix] = [key for key in self._state if key.startswith(prefix)]
        return iter(found)

    def version(self, key: str) -> Expected:
        data = self._state.get(key)
        return ABSENT if data is None else self._version_of(data)

    def changed(self, since: Snapshot) -> Iterable[str] | None:
        if not isinstance(since, Seen) or not self._server.oldest <= since.number <= self.number:
            return None
        commits = self._history[since.number + 1 : self.number + 1]
        return {key: None for commit in commits for tx in commit.transactions for key in tx.write}


class Server:
    """The one true state; whatever changes it is told to the checker."""

    def __init__(
        self, baton: Baton, checker: Checker, trace: Trace, fleet: MemoryFleet | None = None
    ) -> None:
        self.fleet = fleet if fleet is not None else MemoryFleet()
        self.checker = checker
        self._baton = baton
        self._trace = trace
        self._store = MemoryStore(self.fleet)
        self._versions: dict[bytes, str] = {}
        #: (commit, folder) → its keys, for the newest commits.
        self.listed: dict[tuple[int, str], list[str]] = {}
        #: (key, bytes, function) → what the function made of it.
        self.parsed: dict[tuple[str, bytes, Callable[[str, Document], Any]], Any] = {}
        self._senders: dict[str, Sender] = {}
        self._newest = Seen(self, self.fleet.head)
        self._commit_times = [0.0]
        self._register_times = [0.0]
        self._register_states: list[dict[str, Register]] = [{}]
        #: Called when the state has moved.
        self.moved: list[Callable[[], None]] = []
        #: The commit that somebody moved the branch back to, -1 when they deleted it; None when all is well.
        self.rewound_to: int | None = None
        #: The history ends there: what was before is forgotten.
        self.oldest = 0

    def version_of(self, data: bytes) -> str:
        """The version of a document that consists of these bytes."""
        version = self._versions.get(data)
        if version is None:
            version = self._versions[data] = _hash(data)
        return version

    @property
    def revision(self) -> int:
        """The newest commit's number."""
        return self.fleet.head.revision

    def sent(self, transactions: Sequence[Transaction], sender: Sender) -> None:
        """Remember who first sent a transaction."""
        for transaction in transactions:
            self._senders.setdefault(transaction.id, sender)

    def snapshot(self, lag: float, at_least: int) -> Seen:
        """The newest state, or the one of ``lag`` seconds ago if the reader has not seen a later one."""
        wanted = bisect.bisect_right(self._commit_times, self._baton.now - lag) - 1 if lag else self.revision
        oldest = max(self.oldest, self.revision - _STATES + 1)
        number = max(wanted, at_least, oldest)
        if self._newest.number != number:
            shown = Seen(self, self.fleet.history[number])
            if number < self.revision:
                return shown
            self._newest = shown
        return self._newest

    def commit(self, transactions: Sequence[Transaction]) -> list[Outcome]:
        """Land a batch, and have it judged."""
        before = self.revision
        assert self.rewound_to is None
        outcomes = self._store.commit(transactions)
        now = self._baton.now
        if self.revision != before:
            landed = self.fleet.head.transactions
            self._commit_times.append(now)
            if len(self.listed) > _STATES:
                self.listed.clear()
            self._trace.note(now, "store", f"@{self.revision} " + "; ".join(tx.note for tx in landed))
            self.checker.committed(now, landed, self._senders)
            for tx in landed:
                del self._senders[tx.id]
            if before >= _STATES:
                # Old states would fill the memory, and nobody reads them any more.
                old = self.fleet.history[before - _STATES]
                self.fleet.history[before - _STATES] = Commit(old.revision, old.transactions, {})
            self._tell()
        return outcomes

    def _tell(self) -> None:
        for tell in list(self.moved):
            tell()

    def rewind(self, to: int) -> None:
        """Somebody moves the branch back to an older commit, or deletes it (-1)."""
        self.rewound_to = to
        self._tell()

    def repair(self) -> None:
        """Somebody puts the newest state back."""
        self.rewound_to = None
        self._trace.note(self._baton.now, "FAULT", "the branch is put back")
        self._tell()

    def compact(self, kept: float) -> int:
        """Forget the history older than ``kept`` seconds, as a store does; how many commits that were.

        With it goes what is known of the transactions in there: one that is sent again is judged anew.
        """
        boundary = bisect.bisect_right(self._commit_times, self._baton.now - kept) - 1
        for number in range(self.oldest, boundary):
            commit = self.fleet.history[number]
            for tx in commit.transactions:
                self.fleet.landed.pop(tx.id, None)
            self.fleet.history[number] = Commit(commit.revision, (), {})
        forgotten = max(0, boundary - self.oldest)
        self.oldest = max(self.oldest, boundary)
        return forgotten

    def alarm(self) -> Rewound:
        """What whoever saw a newer state gets to hear while the branch is moved back."""
        where = "is gone" if self.rewound_to == -1 else f"was moved back to @{self.rewound_to}"
        return Rewound(f"ALARM: the state was at @{self.revision} and {where}; nothing is claimed")

    def publish(
        self, name: str, document: Written, expect: Expected, *, sent_at: float, sender: Sender
    ) -> Committed | Conflicted:
        """Change a register, and have it judged."""
        outcome = self._store.publish(name, document, expect)
        if isinstance(outcome, Committed):
            now = self._baton.now
            written = None if document is DELETE else document
            self._register_times.append(now)
            registers = dict(self._register_states[-1])
            if written is None:
                registers.pop(name, None)
            else:
                registers[name] = Register(outcome.revision, {"format": FORMAT, **written})
            self._register_states.append(registers)
            if len(self._register_states) > _STATES:
                self._register_states[-_STATES - 1] = {}
            version = outcome.revision or None
            self._trace.note(now, "store", f"register {name[:8]} {shown(written)} from {sender.process}")
            self.checker.published(now, name, written, version, sent_at=sent_at, sender=sender)
        return outcome

    def registers(self, lag: float, at_least: int) -> tuple[int, Mapping[str, Register]]:
        """The number of a register state, and that state."""
        newest = len(self._register_times) - 1
        wanted = bisect.bisect_right(self._register_times, self._baton.now - lag) - 1 if lag else newest
        number = max(wanted, at_least, newest - _STATES + 1, 0)
        return number, self._register_states[number]

    def keep(self, blobs: Sequence[bytes]) -> list[str]:
        """Store blobs."""
        return self._store.keep(blobs)

    def kept(self, name: str) -> bytes | None:
        """A stored blob."""
        return self._store.kept(name)

    def audit(self, limit: int, after: str | None) -> list[Entry]:
        """The newest commits."""
        return self._store.audit(limit, after)


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:40]


def shown(document: Document | None) -> str:
    """A register's document, for the trace."""
    if document is None:
        return "removal"
    if document.get("sealed_by") is not None:
        return f"seal of {document['worker']} by {document['sealed_by']} ({document['sealed_because']})"
    return f"beat {document['seq']} of {document['worker']}"
