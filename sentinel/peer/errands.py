"""What other threads of a daemon have to write, taken along with the pushes of its control loop.

Where pushes are counted, or requests are, no thread pushes for itself. A transaction is data, so it may as
well be sent by somebody else: whoever has one hands it in and waits; the control loop sends it in its next
turn, together with what it has itself.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence

from sentinel.clock import Clock, Event
from sentinel.errors import OutcomeUnknown, Unavailable
from sentinel.fleet.pacing import Rhythm
from sentinel.store.base import Outcome, Transaction

#: Seconds before a turn in which it is worth handing something in: reading and deciding come first.
_LEAD = 4.0
#: Seconds that whoever handed something in waits for it to be taken along; longer than `PATIENCE`.
_NO_TURN = 15.0


#: Seconds for which a store that is away is tried by whoever hands something in, and waits meanwhile.
PATIENCE = 10.0


class NoTurn(Unavailable):
    """The control loop did not come round to it: to be handed in again before its next turn."""


@dataclasses.dataclass(slots=True)
class _Errand:
    transactions: Sequence[Transaction]
    done: Event
    outcomes: dict[str, Outcome] = dataclasses.field(default_factory=dict)
    #: Whether the control loop has it: it may be on its way.
    taken: bool = False


class Errands:
    """Between the control loop and one other thread."""

    def __init__(self, clock: Clock, wake: Callable[[], None]) -> None:
        self._clock = clock
        # Wakes the control loop.
        self._wake = wake
        self._mutex = threading.Lock()
        self._waiting: list[_Errand] = []
        self._closed = False
        self._sent_at = float("-inf")
        #: How the worker goes on; the control loop replaces it as a whole.
        self.rhythm: Rhythm | None = None

    # -- for the other thread --------------------------------------------------------------------------

    def wait(self) -> float:
        """Seconds until something that is handed in then will go soon; zero for now."""
        rhythm = self.rhythm
        if rhythm is None:
            return _LEAD
        if rhythm.push is not None:
            return max(0.0, rhythm.push.until(self._clock.wall()) - _LEAD)
        return max(0.0, self._sent_at + rhythm.errands - self._clock.now())

    def stretched(self) -> float:
        """Seconds from one opportunity to the next."""
        rhythm = self.rhythm
        if rhythm is None:
            return 0.0
        return rhythm.errands if rhythm.push is None else rhythm.push.every

    def commit(self, transactions: Sequence[Transaction]) -> list[Outcome]:
        """See `Store.commit`. Raises `NoTurn`, too."""
        if not transactions:
            return []
        errand = _Errand(transactions, self._clock.event())
        with self._mutex:
            if self._closed:
                raise Unavailable("the worker is ending; nothing more is written")
            self._waiting.append(errand)
        self._wake()
        done = errand.done.wait(_NO_TURN)
        while not done:
            with self._mutex:
                if not errand.taken:
                    self._waiting.remove(errand)
                    raise NoTurn("it was not this worker's turn to push; again in its next one")
            # It may be on its way: what becomes of it must be known.
            done = errand.done.wait(_NO_TURN)
        if len(errand.outcomes) < len(transactions):
            raise OutcomeUnknown("the worker ended while this was on its way")
        return [errand.outcomes[transaction.id] for transaction in transactions]

    # -- for the control loop --------------------------------------------------------------------------

    def take(self) -> list[tuple[Transaction, Callable[[Outcome], None]]]:
        """What is to be sent, each with what is to be told of its outcome.

        What was taken before and has no outcome is taken again: it was certainly not applied, or the control
        loop would still be asking.
        """
        with self._mutex:
            found = []
            for errand in self._waiting:
                errand.taken = True
                found += [
                    (transaction, self._settle(errand, transaction)) for transaction in errand.transactions
                ]
            if found:
                self._sent_at = self._clock.now()
            return found

    def _settle(self, errand: _Errand, transaction: Transaction) -> Callable[[Outcome], None]:
        def settle(outcome: Outcome) -> None:
            with self._mutex:
                errand.outcomes[transaction.id] = outcome
                if len(errand.outcomes) == len(errand.transactions) and errand in self._waiting:
                    self._waiting.remove(errand)
                    errand.done.set()

        return settle

    def close(self) -> None:
        """The control loop takes nothing more. Idempotent."""
        with self._mutex:
            self._closed = True
            waiting, self._waiting = self._waiting, []
            for errand in waiting:
                errand.taken = True
                errand.done.set()
