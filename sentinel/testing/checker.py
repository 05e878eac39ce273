"""Judges a history against the invariants of the design, on the true time line.

Whoever runs a fleet (the simulator, a test) tells the checker what *happened*: which transactions landed,
which register changed, which process began and ended, what was acknowledged to whom; each at its true time,
which no member of the fleet knows. The first thing that should not be raises `Violation`, naming the
invariant.
The state is judged as it grows, so the checker needs no history of it.

I12 (one comment per outbox entry) is judged by `sentinel.testing.checking.outbox`, which is shown both sides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sentinel.model import layout
from sentinel.model.codec import Document, encode
from sentinel.model.lease import GRACE
from sentinel.model.retention import Terms
from sentinel.model.task import ENDED
from sentinel.store.base import Transaction
from sentinel.testing.checking.leases import LeaseRules
from sentinel.testing.checking.records import RecordRules
from sentinel.testing.checking.truth import Sender, Truth, Violation

__all__ = ["Checker", "Sender", "Violation"]

#: States in which nothing more happens by itself.
AT_REST = ENDED | {"awaiting_approval"}


class Checker:
    """What is told here must be told in the order in which it happened. Every method raises `Violation`."""

    def __init__(self, retention: Terms | None = None) -> None:
        self._truth = Truth()
        self._records = RecordRules(self._truth, retention)
        self._leases = LeaseRules(self._truth)
        self._landed: dict[str, Transaction] = {}

    # -- the store -------------------------------------------------------------------------------------

    def committed(
        self, at: float, transactions: Sequence[Transaction], senders: Mapping[str, Sender]
    ) -> None:
        """One commit landed; ``senders`` tells by transaction id who had sent each."""
        for transaction in transactions:
            if transaction.id in self._landed:
                raise Violation("I3", at, f"transaction {transaction.id} landed twice: {transaction.note!r}")
            self._landed[transaction.id] = transaction
            self._records.landed(at, transaction, senders[transaction.id])

    def acknowledged(self, at: float, transaction: Transaction) -> None:
        """The store told somebody that this very transaction has landed."""
        found = self._landed.get(transaction.id)
        if found is None or found != transaction:
            raise Violation("I7", at, f"{transaction.note!r} was acknowledged and did not land")

    def published(
        self,
        at: float,
        name: str,
        document: Document | None,
        version: str | None,
        *,
        sent_at: float,
        sender: Sender,
    ) -> None:
        """A register changed, by a write that was sent at ``sent_at``; None for removed."""
        self._leases.published(at, name, document, version, sent_at=sent_at, sender=sender)

    def seal_sent(
        self,
        at: float,
        name: str,
        expected: str | None,
        document: Document,
        *,
        sender: Sender,
        seen_at: float | None,
    ) -> None:
        """Somebody asks for a seal; the store answered its last look at the registers at ``seen_at``."""
        self._leases.seal_sent(at, name, expected, document, sender=sender, seen_at=seen_at)

    # -- incarnations and their processes --------------------------------------------------------------

    def announced(self, incarnation: str, *, rate: float, max_tasks: int) -> None:
        """An incarnation is about to begin on a machine whose clock has this rate."""
        self._truth.announced[incarnation] = (rate, max_tasks)

    def excused(self, incarnation: str, until: float) -> None:
        """The supervisor of an incarnation could not act until then; the grace begins then."""
        life = self._truth.lives.get(incarnation)
        if life is not None:
            life.excused_until = max(life.excused_until, until + GRACE / life.rate)

    def dead(self, incarnation: str) -> None:
        """Daemon and supervisor are gone, and the supervisor had nothing left to kill."""
        self._truth.dead.add(incarnation)

    def started(
        self, at: float, incarnation: str, run: str, task: str, epoch: int, order: Mapping[str, Any]
    ) -> None:
        """A process of a task began; ``order`` is what it was told to do (``type``, ``args``)."""
        if self._records.claims.get((task, epoch)) != incarnation:
            raise Violation("I4", at, f"{incarnation} started {task} at epoch {epoch} without a claim")
        # A record leaves out what it does not have.
        approved: dict[str, Any] = {"args": {}, "positional": []} | self._records.claimed[task, epoch]
        differing = [name for name in order if encode(order[name]) != encode(approved[name])]
        if differing:
            raise Violation("I9", at, f"what runs of {task} differs from what was approved: {differing}")
        self._leases.started(at, incarnation, run, task, epoch)

    def started_under_lock(self, at: float, incarnation: str, run: str, lock: str, epoch: int) -> None:
        """A command that runs under a named lock began."""
        if self._records.acquired.get((lock, epoch)) != incarnation:
            raise Violation("I4", at, f"{incarnation} runs under {lock} at epoch {epoch} without having it")
        self._leases.started(at, incarnation, run, lock, epoch)

    def ended(self, at: float, incarnation: str, run: str) -> None:
        """The last process of a run is gone."""
        self._leases.ended(at, incarnation, run)

    # -- people ----------------------------------------------------------------------------------------

    def told_submitted(self, at: float, task: str) -> None:
        """Somebody was told that this task is handed in."""
        if self._find(task) is None and task not in self._records.pruned:
            raise Violation("I7", at, f"task {task} was acknowledged and is not there")

    def told_result(self, at: float, task: str, run: int, result: object) -> None:
        """Somebody was told that this run is done, with this result."""
        missing = object()
        if self._records.results.get((task, run), missing) != result:
            raise Violation("I7", at, f"the result of run {run} of {task} that was read is not the one kept")

    def at_rest(self, at: float) -> None:
        """The faults are long over: everything that was handed in has ended, and nothing was lost."""
        self._leases.at_rest(at)
        for task in self._records.submitted:
            document = self._find(task)
            if document is None:
                raise Violation("I7", at, f"task {task} is lost")
            if document["state"] not in AT_REST:
                raise Violation(
                    "liveness", at, f"task {task} is still {document['state']} at epoch {document['epoch']}"
                )

    @property
    def counts(self) -> dict[str, int]:
        """How much was judged, for people."""
        return {
            "tasks": len(self._records.submitted),
            "claims": len(self._records.claims),
            "results": len(self._records.results),
            "pruned": len(self._records.pruned),
            "dead": sum(document["state"] == "dead" for document in self._tasks()),
            "incarnations": len(self._truth.lives),
            "transactions": len(self._landed),
        }

    @property
    def waiting(self) -> list[str]:
        """Ids of the tasks that have not ended."""
        return [document["id"] for document in self._tasks() if document["state"] not in AT_REST]

    def _tasks(self) -> Iterator[Document]:
        for task in self._records.submitted:
            document = self._find(task)
            if document is not None:
                yield document

    def _find(self, task: str) -> Document | None:
        for key in (layout.task_key(task), layout.done_key(task)):
            known = self._truth.documents.get(key)
            if known is not None:
                return known.document
        return None
