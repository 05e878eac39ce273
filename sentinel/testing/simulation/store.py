"""The store as the members of a simulated fleet reach it: late, not at all, or with the reply lost.

`Server` is the truth, a `MemoryFleet` whose every change goes to the checker at once. `SimulatedStore` is one
connection of one process. It keeps the contract of the port: a write that may have been sent and got no
answer in time is `OutcomeUnknown`, only what was refused at once is `Unavailable`, and what a connection
reads never falls behind what it read or wrote before.
"""

from __future__ import annotations

import bisect
import hashlib
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from sentinel.errors import OutcomeUnknown, Rewound, StoreError, Unavailable
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
    Rider,
    Rode,
    Snapshot,
    Store,
    Transaction,
    Written,
)
from sentinel.store.memory import Commit, MemoryFleet, MemoryStore
from sentinel.testing.checker import Checker, Sender, Violation
from sentinel.testing.simulation.baton import TIMED_OUT, Actor, Baton
from sentinel.testing.simulation.network import Link, Weather, passage
from sentinel.testing.simulation.trace import Trace

T = TypeVar("T")

#: Chance that the server applies a commit and not the beat that came along.
_LEFT_BEHIND = 0.05
#: How many states are kept for reads that lag.
_STATES = 400
#: Calls that reach the branch, and not the registers beside it.
_ON_THE_BRANCH = frozenset({"read", "commit"})
#: How many parsed records are kept.
_PARSED = 20_000


class Caller(Protocol):
    """The process that a connection belongs to."""

    @property
    def dead(self) -> bool:
        """Whether it does not exist any more."""

    @property
    def vigilant(self) -> bool:
        """Whether it is to raise an alarm when the state was moved back."""

    def sender(self) -> Sender:
        """Who it is now."""


class _Seen(Snapshot):
    """A state whose versions are looked up instead of computed: fifty peers ask for each many times."""

    def __init__(self, server: Server, commit: Commit) -> None:
        self.revision = str(commit.revision)
        self.number = commit.revision
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
        if not isinstance(since, _Seen) or since.number > self.number:
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
        self._newest = _Seen(self, self.fleet.head)
        self._commit_times = [0.0]
        self._register_times = [0.0]
        self._register_states: list[dict[str, Register]] = [{}]
        #: Called when the state has moved.
        self.moved: list[Callable[[], None]] = []
        #: The commit that somebody moved the branch back to, -1 when they deleted it; None when all is well.
        self.rewound_to: int | None = None

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

    def snapshot(self, lag: float, at_least: int) -> _Seen:
        """The newest state, or the one of ``lag`` seconds ago if the reader has not seen a later one."""
        wanted = bisect.bisect_right(self._commit_times, self._baton.now - lag) - 1 if lag else self.revision
        oldest = max(0, self.revision - _STATES + 1)
        number = max(wanted, at_least, oldest)
        if self._newest.number != number:
            shown = _Seen(self, self.fleet.history[number])
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
            self._trace.note(now, "store", f"register {name[:8]} {_shown(written)} from {sender.process}")
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


class SimulatedStore(Store):
    """One connection. Every call gives up the baton, and comes back when the reply is there or never came."""

    def __init__(
        self,
        *,
        server: Server,
        baton: Baton,
        trace: Trace,
        rng: random.Random,
        weather: Weather,
        link: Link,
        caller: Caller,
        timeout: float,
        watched: bool,
    ) -> None:
        self._server = server
        self._baton = baton
        self._trace = trace
        self._rng = rng
        self._weather = weather
        self._link = link
        self._caller = caller
        #: Seconds after which a call that was not answered is given up.
        self._timeout = timeout
        # Otherwise `wait` looks at times, as over a network.
        self.hears = watched
        self._seen = 0
        self._seen_registers = 0
        #: How many alarms its user had raised when one more became due; None when none is due.
        self._alarm_due: int | None = None
        #: Who has a beat for the next commit.
        self._rider: Rider | None = None
        #: True time at which the store answered the last look at registers whose answer arrived.
        self._looked_at: float | None = None

    def read(self) -> Snapshot:
        found: _Seen = self._call("read", False, lambda lag: self._server.snapshot(lag, self._seen))
        self._saw(found.number)
        return found

    def _saw(self, number: int) -> None:
        self._seen = max(self._seen, number)
        self._link.seen = max(self._link.seen, number)

    def commit(self, transactions: Sequence[Transaction]) -> list[Outcome]:
        if not transactions:
            return []
        batch = tuple(transactions)
        self._baton.check()
        self._server.sent(batch, self._caller.sender())
        outcomes = self._commit(batch)
        for transaction, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Committed):
                self._saw(int(outcome.revision))
                self._judge(partial(self._server.checker.acknowledged, self._baton.now, transaction))
            else:
                self._note(f"not landed: {transaction.note} ({outcome})")
        return outcomes

    def carry(self, transactions: Sequence[Transaction], rider: Rider) -> list[Outcome]:
        # A store whose every way costs is one on another host, which does not tell of changes.
        self._rider = None if self.hears else rider
        try:
            return self.commit(transactions)
        finally:
            self._rider = None

    def _commit(self, batch: Sequence[Transaction]) -> list[Outcome]:
        rider, self._rider = self._rider, None
        ride = None if rider is None else rider.ride()
        if rider is None or ride is None:
            return self._call("commit", True, lambda _: self._server.commit(batch))
        sender, sent_at = self._caller.sender(), self._baton.now
        # Not atomically: as with two refs of one push, either may be applied without the other.
        left_behind = self._rng.random() < _LEFT_BEHIND

        def both(_: float) -> tuple[list[Outcome], Committed | Conflicted | Rode]:
            outcomes = self._server.commit(batch)
            if left_behind:
                return outcomes, Rode.NOT
            return outcomes, self._server.publish(
                ride.name, ride.document, ride.expect, sent_at=sent_at, sender=sender
            )

        outcome: Committed | Conflicted | Rode = Rode.UNKNOWN
        try:
            outcomes, outcome = self._call("commit", True, both)
        except Unavailable:
            outcome = Rode.NOT
            raise
        finally:
            rider.rode(ride, outcome)
        return outcomes

    def publish(self, name: str, document: Written, expect: Expected) -> Committed | Conflicted:
        self._baton.check()
        sender, sent_at = self._caller.sender(), self._baton.now
        if document is not DELETE and document.get("sealed_by") is not None:
            expected = None if expect is ABSENT else expect
            asked = document
            self._judge(
                lambda: self._server.checker.seal_sent(
                    sent_at, name, expected, asked, sender=sender, seen_at=self._looked_at
                )
            )
        outcome: Committed | Conflicted = self._call(
            "publish",
            True,
            lambda _: self._server.publish(name, document, expect, sent_at=sent_at, sender=sender),
        )
        if isinstance(outcome, Conflicted):
            self._note(
                f"register {name[:8]} was not what {_shown(None if document is DELETE else document)} expects"
            )
        return outcome

    def published(self) -> Mapping[str, Register]:
        def look(lag: float) -> tuple[float, int, Mapping[str, Register]]:
            number, registers = self._server.registers(lag, self._seen_registers)
            return self._baton.now, number, registers

        at, number, registers = self._call("published", False, look)
        self._seen_registers = max(self._seen_registers, number)
        self._looked_at = at
        return registers

    def keep(self, blobs: Sequence[bytes]) -> list[str]:
        if not blobs:
            return []
        return self._call("keep", False, lambda _: self._server.keep(blobs))

    def kept(self, name: str) -> bytes | None:
        return self._call("kept", False, lambda _: self._server.kept(name))

    def audit(self, limit: int, after: str | None = None) -> list[Entry]:
        found: list[Entry] = self._call("audit", False, lambda _: self._server.audit(limit, after))
        return found

    def wait(self, timeout: float) -> bool:
        self._baton.check()
        if not self.hears:
            self._baton.sleep(max(0.0, timeout))
            return self._server.revision != self._seen
        wake = self._baton.current.waker()

        def tell() -> None:
            # As with every other message: it takes its time, and a broken link does not carry it.
            if self._baton.now >= self._link.replies_cut_until:
                self._baton.after(self._rng.uniform(0.001, 0.02), lambda: wake(True))

        if self._server.revision != self._seen:
            tell()
        self._server.moved.append(tell)
        try:
            return self._baton.wait(max(0.0, timeout), wake) is True
        finally:
            self._server.moved.remove(tell)

    def close(self) -> None:
        """Nothing is held."""

    def _call(self, what: str, write: bool, effect: Callable[[float], T]) -> T:
        self._baton.check()
        self._expect_an_alarm()
        baton, now = self._baton, self._baton.now
        way = passage(self._rng, self._weather, self._link, now)
        if way.refused is not None:
            baton.sleep(way.request or 0.0)
            raise Unavailable(f"{what}: {way.refused}")
        wake: Callable[[Any], Actor | None] = baton.current.waker()

        def arrive() -> Actor | None:
            result: T | StoreError | None = None
            if what in _ON_THE_BRANCH and self._server.rewound_to is not None:
                result = self._server.alarm()
            elif way.garbled != "before":
                result = effect(way.lag)
            if way.reply is not None:
                baton.after(way.reply, lambda: wake((result,)))
            return None

        if way.request is not None:
            baton.after(way.request, arrive)
        # Whether the answer comes in time is settled already.
        in_time = (
            way.request is not None and way.reply is not None and way.request + way.reply < self._timeout
        )
        answer = baton.wait(None if in_time else self._timeout, wake)
        if answer is TIMED_OUT:
            self._note(f"{what}: no answer")
            if write:
                raise OutcomeUnknown(f"{what}: no answer within {self._timeout:g} s")
            raise Unavailable(f"{what}: no answer within {self._timeout:g} s")
        if way.garbled is not None:
            self._note(f"{what}: what came back is no answer")
            raise (OutcomeUnknown if write else Unavailable)(f"{what}: what answered is not the store")
        found: T = answer[0]
        if isinstance(found, StoreError):
            if self._caller.vigilant and baton.current.name.endswith(".control"):
                self._alarm_due = self._trace.alarms[baton.current.name]
            raise found
        return found

    def _expect_an_alarm(self) -> None:
        """Whoever was told that the state was moved back has said so before it goes on."""
        due, self._alarm_due = self._alarm_due, None
        who = self._baton.current.name
        if due is not None and self._trace.alarms[who] == due:
            self._baton.fail(Violation("alarm", self._baton.now, f"{who} keeps to itself what happened"))

    def _judge(self, judge: Callable[[], None]) -> None:
        """Have something judged that is seen in the middle of the product's code, which may not catch it."""
        try:
            judge()
        except Exception as violation:  # noqa: BLE001 - it goes to whoever runs the simulation
            self._baton.fail(violation)

    def _note(self, what: str) -> None:
        self._trace.note(self._baton.now, self._baton.current.name, what)


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:40]


def _shown(document: Document | None) -> str:
    if document is None:
        return "removal"
    if document.get("sealed_by") is not None:
        return f"seal of {document['worker']} by {document['sealed_by']} ({document['sealed_because']})"
    return f"beat {document['seq']} of {document['worker']}"
