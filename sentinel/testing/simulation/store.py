"""The store as the members of a simulated fleet reach it: late, not at all, or with the reply lost.

`SimulatedStore` is one connection of one process to the `Server`. It keeps the contract of the port: a write
that may have been sent and got no answer in time is `OutcomeUnknown`, only what was refused at once is
`Unavailable`, and what a connection reads never falls behind what it read or wrote before.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from sentinel.errors import OutcomeUnknown, StoreError, Unavailable
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
from sentinel.testing.checker import Sender, Violation
from sentinel.testing.simulation.baton import TIMED_OUT, Actor, Baton
from sentinel.testing.simulation.network import Link, Weather, passage
from sentinel.testing.simulation.server import Seen, Server, shown
from sentinel.testing.simulation.trace import Trace

T = TypeVar("T")

#: Calls that reach the branch, and not the registers beside it.
_ON_THE_BRANCH = frozenset({"read", "commit"})


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
        joined: bool,
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
        self._joined = joined
        self._seen = 0
        self._seen_registers = 0
        #: How many alarms its user had raised when one more became due; None when none is due.
        self._alarm_due: int | None = None
        #: Who has a beat for the next commit.
        self._rider: Rider | None = None
        #: True time at which the store answered the last look at registers whose answer arrived.
        self._looked_at: float | None = None

    def read(self) -> Snapshot:
        found: Seen = self._call("read", False, lambda lag: self._server.snapshot(lag, self._seen))
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
        return self._with_ride("commit", lambda: self._server.commit(batch))

    def _with_ride(self, what: str, effect: Callable[[], T]) -> T:
        """A write, and what the rider wants to have taken along."""
        rider, self._rider = self._rider, None
        ride = None if rider is None else rider.ride()
        if rider is None or ride is None:
            alone: T = self._call(what, True, lambda _: effect())
            return alone
        sender, sent_at = self._caller.sender(), self._baton.now
        # Not atomically: as with two refs of one push, either may be applied without the other.
        left_behind = self._rng.random() < self._weather.left_behind

        def both(_: float) -> tuple[T, Committed | Conflicted | Rode]:
            result = effect()
            if left_behind:
                return result, Rode.NOT
            return result, self._server.publish(
                ride.name, ride.document, ride.expect, sent_at=sent_at, sender=sender
            )

        outcome: Committed | Conflicted | Rode = Rode.UNKNOWN
        try:
            result, outcome = self._call(what, True, both)
        except Unavailable:
            outcome = Rode.NOT
            raise
        finally:
            rider.rode(ride, outcome)
        return result

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
                f"register {name[:8]} was not what {shown(None if document is DELETE else document)} expects"
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

    def look(self) -> tuple[Snapshot, Mapping[str, Register]]:
        if not self._joined:
            return super().look()

        def both(lag: float) -> tuple[Seen, float, int, Mapping[str, Register]]:
            snapshot = self._server.snapshot(lag, self._seen)
            return snapshot, self._baton.now, *self._server.registers(lag, self._seen_registers)

        snapshot, self._looked_at, number, registers = self._call("look", False, both)
        self._saw(snapshot.number)
        self._seen_registers = max(self._seen_registers, number)
        return snapshot, registers

    def keep(self, blobs: Sequence[bytes]) -> list[str]:
        if not blobs:
            return []
        try:
            return self._with_ride("keep", lambda: self._server.keep(blobs))
        except OutcomeUnknown as error:
            # Kept or not, keeping once more does no harm.
            raise Unavailable(str(error)) from error

    def keep_and_carry(self, blobs: Sequence[bytes], rider: Rider) -> list[str]:
        self._rider = None if self.hears else rider
        try:
            return self.keep(blobs)
        finally:
            self._rider = None

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
