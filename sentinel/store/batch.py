"""Lands many independent decisions with few commits: the compare-and-swap loop of `transact`, for a batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from sentinel.errors import BadRecord, Conflict, Rejected, SentinelError
from sentinel.store.base import Committed, Refused, Snapshot, Transaction
from sentinel.store.transact import Transactor

T = TypeVar("T")

#: Transactions that share one commit.
BATCH = 100
#: Longest pause in seconds before what met a conflict is decided on anew.
_PAUSE = 0.05


@dataclasses.dataclass(frozen=True, slots=True)
class Decision(Generic[T]):
    """One re-runnable decision, and the key that it writes or reads."""

    #: What a batch writes to a key, nobody else in it can expect: decisions on one key land one by one.
    key: str
    decide: Callable[[Snapshot], tuple[Transaction | None, T]]


def land_many(
    transactor: Transactor, decisions: Sequence[Decision[T]]
) -> tuple[list[T | SentinelError | BadRecord], int]:
    """What became of each decision, in order, and how many commits that took.

    What became of one is its second value once it landed (or wanted nothing), or what it raised.

    Raises `Unavailable` or `OutcomeUnknown` when the store stays away; then those of earlier rounds have
    landed all the same.
    """
    store, clock = transactor.store, transactor.clock
    ended: dict[int, T | SentinelError | BadRecord] = {}
    waiting = list(range(len(decisions)))
    give_up = clock.now() + transactor.patience
    moved: tuple[str, ...] = ()
    commits = 0
    while waiting:
        if moved:
            if clock.now() >= give_up:
                error = Conflict(f"{', '.join(moved)} kept changing; try again")
                ended.update(dict.fromkeys(waiting, error))
                break
            clock.sleep(transactor.rng.uniform(0.0, _PAUSE))
            moved = ()
        snapshot = transactor.retrying()(store.read)
        batch: list[tuple[int, Transaction, T]] = []
        later: list[int] = []
        touched: set[str] = set()
        for place in waiting:
            decision = decisions[place]
            if len(batch) == BATCH or decision.key in touched:
                later.append(place)
                touched.add(decision.key)
                continue
            try:
                transaction, value = decision.decide(snapshot)
            except (SentinelError, BadRecord) as error:
                ended[place] = error
                continue
            if transaction is None:
                ended[place] = value
            else:
                batch.append((place, transaction, value))
                touched.add(decision.key)
        commits += bool(batch)
        outcomes = transactor.retrying()(transactor.commit, [transaction for _, transaction, _ in batch])
        for (place, transaction, value), outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Committed):
                ended[place] = value
            elif isinstance(outcome, Refused):
                ended[place] = Rejected(f"the store refused {transaction.note!r}: {outcome.reason}")
            else:
                moved += outcome.keys
                later.append(place)
        waiting = sorted(later)
    return [ended[place] for place in range(len(decisions))], commits
