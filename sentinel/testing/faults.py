"""A store that fails on purpose: out of reach, reply lost, old data, or a write that lands much later.

The late write is the one that leases must survive: it was sent by an incarnation that lived, and arrives
when that incarnation is dead.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
import random
from collections.abc import Callable, Mapping, Sequence

from sentinel.errors import OutcomeUnknown, Unavailable
from sentinel.store.base import (
    Committed,
    Conflicted,
    Entry,
    Expected,
    Outcome,
    Register,
    Snapshot,
    Store,
    Transaction,
    Version,
    Written,
)


class Fault(enum.Enum):
    """What goes wrong with one call."""

    #: Nothing reaches the store: `Unavailable`.
    UNAVAILABLE = "unavailable"
    #: The store does it, and the caller gets `OutcomeUnknown`. For ``commit`` and ``publish``.
    REPLY_LOST = "reply lost"
    #: The caller gets `OutcomeUnknown`, and the store gets it when the test releases it. For both too.
    DELAYED = "delayed"
    #: ``read`` gives the snapshot that it gave before.
    STALE = "stale"


#: Asked before each call with the operation's name, such as ``commit``.
Plan = Callable[[str], Fault | None]

_POSSIBLE: Mapping[str, frozenset[Fault]] = {
    "read": frozenset({Fault.UNAVAILABLE, Fault.STALE}),
    "commit": frozenset({Fault.UNAVAILABLE, Fault.REPLY_LOST, Fault.DELAYED}),
    "publish": frozenset({Fault.UNAVAILABLE, Fault.REPLY_LOST, Fault.DELAYED}),
    "published": frozenset({Fault.UNAVAILABLE}),
    "keep": frozenset({Fault.UNAVAILABLE}),
    "kept": frozenset({Fault.UNAVAILABLE}),
    "days": frozenset({Fault.UNAVAILABLE}),
    "drop_day": frozenset({Fault.UNAVAILABLE}),
    "audit": frozenset({Fault.UNAVAILABLE}),
}


def seeded(rng: random.Random, chances: Mapping[Fault, float]) -> Plan:
    """A plan that draws each fault with its chance (0 to 1) at each call to which it can happen."""

    def plan(operation: str) -> Fault | None:
        for fault, chance in chances.items():
            # Drawn whether or not it applies, so that one seed means one sequence.
            if rng.random() < chance and fault in _POSSIBLE[operation]:
                return fault
        return None

    return plan


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """A write that was sent and has not arrived."""

    operation: str
    #: For people: the notes of its transactions, or the register's name.
    what: str
    _arrive: Callable[[], list[Outcome]]

    def release(self) -> list[Outcome]:
        """Let it arrive now; what the store answers, which nobody but the test hears."""
        return self._arrive()


class FaultyStore(Store):
    """``inner`` with faults, from a ``plan`` or injected one by one.

    A released write goes through ``inner``, so `Held.release` belongs to the thread that ``inner`` does.
    """

    def __init__(self, inner: Store, plan: Plan | None = None) -> None:
        self.inner = inner
        self.host_folder = inner.host_folder
        self.hears = inner.hears
        #: Writes that wait to be released, oldest first. A test may also throw them away.
        self.held: list[Held] = []
        self._plan = plan
        self._injected: dict[str, collections.deque[Fault]] = collections.defaultdict(collections.deque)
        self._last: Snapshot | None = None

    def inject(self, operation: str, fault: Fault, *, times: int = 1) -> None:
        """Let the next ``times`` calls of ``operation`` that have no fault yet meet ``fault``."""
        if fault not in _POSSIBLE[operation]:
            raise ValueError(f"{fault} does not happen to {operation}")
        self._injected[operation].extend([fault] * times)

    def release(self) -> list[list[Outcome]]:
        """Let every held write arrive, in the order in which they were sent."""
        held, self.held = self.held, []
        return [write.release() for write in held]

    def _fault(self, operation: str) -> Fault | None:
        injected = self._injected[operation]
        fault = injected.popleft() if injected else self._plan(operation) if self._plan else None
        if fault is Fault.UNAVAILABLE:
            raise Unavailable(f"{operation}: out of reach, as the test wants it")
        return fault

    def _write(self, operation: str, what: str, arrive: Callable[[], list[Outcome]]) -> list[Outcome]:
        fault = self._fault(operation)
        if fault is Fault.DELAYED:
            self.held.append(Held(operation, what, arrive))
            raise OutcomeUnknown(f"{operation}: sent and not arrived, as the test wants it")
        outcomes = arrive()
        if fault is Fault.REPLY_LOST:
            raise OutcomeUnknown(f"{operation}: the reply was lost, as the test wants it")
        return outcomes

    def read(self) -> Snapshot:
        fault = self._fault("read")
        if fault is not Fault.STALE or self._last is None:
            self._last = self.inner.read()
        return self._last

    def commit(self, transactions: Sequence[Transaction]) -> list[Outcome]:
        if not transactions:
            return []
        batch = tuple(transactions)
        return self._write("commit", "; ".join(tx.note for tx in batch), lambda: self.inner.commit(batch))

    def publish(self, name: str, document: Written, expect: Expected) -> Committed | Conflicted:
        (outcome,) = self._write("publish", name, lambda: [self.inner.publish(name, document, expect)])
        assert isinstance(outcome, Committed | Conflicted)
        return outcome

    def published(self) -> Mapping[str, Register]:
        self._fault("published")
        return self.inner.published()

    def keep(self, blobs: Sequence[bytes]) -> list[str]:
        self._fault("keep")
        return self.inner.keep(blobs)

    @property
    def kept_in(self) -> str | None:
        return self.inner.kept_in

    def kept(self, name: str) -> bytes | None:
        self._fault("kept")
        return self.inner.kept(name)

    def days(self) -> Mapping[str, Version]:
        self._fault("days")
        return self.inner.days()

    def keep_small(self, mark: int) -> None:
        self.inner.keep_small(mark)

    def drop_day(self, day: str, version: Version) -> bool:
        self._fault("drop_day")
        return self.inner.drop_day(day, version)

    def audit(self, limit: int, after: str | None = None) -> list[Entry]:
        self._fault("audit")
        return self.inner.audit(limit, after)

    def wait(self, timeout: float) -> bool:
        return self.inner.wait(timeout)

    def close(self) -> None:
        self.inner.close()
