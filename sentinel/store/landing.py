"""The landing loop of stores far away: judge a batch on the newest state, send it, know what became of it.

Whatever is particular to the way there is behind a small port, `Place`. Here it is decided, once for all such
stores, what may share a commit, what is refused and who pays for that, and what is still open:

* A transaction that cannot be stored at all is refused before anything is sent.
* What the place refuses as a whole is landed in halves, so that only the culprit is refused in the end.
* A refusal while a commit is *built* counts only when it is repeated on the newest state: it may come from a
  copy that has not got what the commit stands on.
* An outcome that is open stays so until the history past its base is seen, whoever asks for it, or nobody.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from sentinel.errors import OutcomeUnknown, Rejected, StoreError, Unavailable
from sentinel.model.codec import encode_document
from sentinel.store.base import DELETE, Committed, Outcome, Refused, Snapshot, Transaction, land
from sentinel.store.history import Range
from sentinel.store.tree import path_of

#: Landed transaction ids that are remembered; none is sent again after so many others.
_REMEMBERED = 100_000
#: Transactions with an open outcome that are remembered. One that is forgotten and sent again conflicts with
#: itself if it landed, and its records name it.
MOST_OPEN = 1_000


@dataclasses.dataclass(slots=True, kw_only=True)
class Sent:
    """A commit that was sent, or is about to be."""

    #: The revision that it stands on.
    base: str
    #: What the state is called once it is there.
    revision: str
    transactions: tuple[Transaction, ...]
    #: Whether sending it had no clear answer, so that it may land at any time while the head is `base`.
    doubtful: bool = False

    @property
    def ids(self) -> frozenset[str]:
        """The ids of its transactions."""
        return frozenset(tx.id for tx in self.transactions)

    def unknown(self, why: str) -> OutcomeUnknown:
        """The error for one whose fate is open."""
        return OutcomeUnknown(f"whether {self.transactions[0].note!r} landed is open: {why}")


@dataclasses.dataclass(frozen=True, slots=True)
class Landed:
    """It is there."""


@dataclasses.dataclass(frozen=True, slots=True)
class Elsewhere:
    """It did not land, and no copy of it is under way that could."""


Delivery = Landed | Elsewhere | Refused

_B = TypeVar("_B", bound=Snapshot)
_S = TypeVar("_S", bound=Sent)


class Place(Protocol[_B, _S]):
    """One connection to where commits land. All methods raise `Unavailable` when it cannot be reached."""

    @property
    def name(self) -> str:
        """The branch and the store, for messages."""

    def known(self) -> _B | None:
        """The newest state that was seen, if it can be built upon; asks nobody."""

    def newest(self) -> _B:
        """The newest state."""

    def build(self, base: _B, transactions: tuple[Transaction, ...]) -> _S:
        """A commit on ``base`` that nobody sees yet. Raises `Rejected` with the place's own words."""

    def deliver(self, sent: _S, *, again: bool) -> Delivery:
        """Send it until it is known what became of it; with ``again``, look for an earlier copy first.

        Raises `OutcomeUnknown`.
        """

    def search(self, head: _B, sent: _S) -> Range:
        """Look for it between its base and ``head``."""


class Landing(Generic[_B, _S]):
    """Lands batches at one place."""

    def __init__(self, place: Place[_B, _S], attempts: Callable[[], Iterator[None]]) -> None:
        self._place = place
        #: Yields for each try of one batch against competitors, with pauses between.
        self._attempts = attempts
        self._landed: dict[str, str] = {}
        #: Transactions whose fate is unknown → the commit that they were sent in; the oldest first.
        self._open: dict[str, _S] = {}
        #: The state that open outcomes were looked for in last.
        self._settled = ""

    @property
    def open(self) -> int:
        """Transactions whose fate is unknown."""
        return len(self._open)

    def commit(self, transactions: Sequence[Transaction]) -> list[Outcome]:
        """See `Store.commit`."""
        sent_before = {id(sent): sent for tx in transactions if (sent := self._open.get(tx.id)) is not None}
        for sent in sent_before.values():
            self._deliver(sent, again=True)
        results: dict[str, Outcome] = {}
        fresh: dict[str, Transaction] = {}
        for tx in transactions:
            problem = _unstorable(tx)
            if tx.id in self._landed:
                results[tx.id] = Committed(self._landed[tx.id])
            elif problem is not None:
                results[tx.id] = Refused(problem)
            else:
                fresh[tx.id] = tx
        if fresh:
            results.update(self._land(list(fresh.values())))
        return [results[tx.id] for tx in transactions]

    def settle(self, head: _B) -> None:
        """Find out about what nobody asks for any more, as far as ``head`` tells."""
        if not self._open or head.revision == self._settled:
            return
        self._settled = head.revision
        for sent in {id(sent): sent for sent in self._open.values() if sent.base != head.revision}.values():
            try:
                found = self._place.search(head, sent)
            except StoreError:
                continue
            if found is Range.FOUND:
                self._won(sent)
            elif found is Range.MISSING:
                self._forget(sent)

    def _land(self, batch: Sequence[Transaction]) -> dict[str, Outcome]:
        known = self._place.known()
        base, current = (known, False) if known is not None else (self._place.newest(), True)
        refused_before = False
        for _ in self._attempts():
            landing = land(batch, base)
            if landing.conflicts and not current:
                # What this connection saw last need not be the newest that the caller saw.
                base, current = self._place.newest(), True
                landing = land(batch, base)
            results: dict[str, Outcome] = {
                batch[position].id: conflict for position, conflict in landing.conflicts.items()
            }
            accepted = landing.accepted
            if not accepted:
                return results
            try:
                sent = self._place.build(base, accepted)
            except Rejected as error:
                if refused_before or len(accepted) > 1:
                    return results | self._split(accepted, str(error))
                refused_before, base, current = True, self._place.newest(), True
                continue
            match self._deliver(sent, again=False):
                case Landed():
                    return results | {tx.id: Committed(sent.revision) for tx in accepted}
                case Refused(reason):
                    return results | self._split(accepted, reason)
                case Elsewhere():
                    base, current = self._place.known() or self._place.newest(), True
        raise Unavailable(f"{self._place.name} was moved by others at every try; try again")

    def _split(self, refused: Sequence[Transaction], reason: str) -> dict[str, Outcome]:
        if len(refused) == 1:
            return {refused[0].id: Refused(reason)}
        half = len(refused) // 2
        return self._land(refused[:half]) | self._land(refused[half:])

    def _deliver(self, sent: _S, *, again: bool) -> Delivery:
        try:
            delivery = self._place.deliver(sent, again=again)
        except OutcomeUnknown:
            for tx in sent.transactions:
                self._open[tx.id] = sent
            while len(self._open) > MOST_OPEN:
                del self._open[next(iter(self._open))]
            raise
        if isinstance(delivery, Landed):
            self._won(sent)
        else:
            self._forget(sent)
        return delivery

    def _won(self, sent: _S) -> None:
        self._forget(sent)
        for tx in sent.transactions:
            self._landed[tx.id] = sent.revision
        while len(self._landed) > _REMEMBERED:
            del self._landed[next(iter(self._landed))]

    def _forget(self, sent: _S) -> None:
        for tx in sent.transactions:
            self._open.pop(tx.id, None)


def _unstorable(tx: Transaction) -> str | None:
    """Why a transaction can be stored nowhere."""
    try:
        for key, written in tx.write.items():
            path_of(key)
            if written is not DELETE:
                encode_document(written)
    except ValueError as error:
        return str(error)
    return None
