"""Transactions that count, beside those that do the work: one that fails to land loses a number only."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from sentinel.clock import rfc3339
from sentinel.fleet.view import load
from sentinel.model import layout
from sentinel.model.counts import Contention, Counts, Totals
from sentinel.store.base import Snapshot, Transaction
from sentinel.store.transact import Change


def end_of(
    change: Change,
    snapshot: Snapshot,
    *,
    worker: str,
    incarnation: str,
    counts: Counts,
    crashed: bool,
    forget: bool = False,
) -> Transaction | None:
    """Add what an incarnation counted to its worker's totals; it must still be live when this lands.

    To stand in a batch before the transaction that ends the incarnation. A worker that is to be forgotten
    counts together with all others like it. None when the totals cannot be read.
    """
    name = layout.FORGOTTEN if forget else worker
    key = layout.totals_key(name)
    before = load(snapshot, key, Totals.load) or Totals(worker=name)
    if not isinstance(before, Totals):
        return None
    change.expect_present(layout.incarnation_key(incarnation))
    change.put(key, before.with_ended(incarnation, counts, crashed=crashed))
    return change.transaction(f"count what {worker} did as {incarnation}", aside=True)


def fold(change: Change, snapshot: Snapshot, workers: Iterable[str]) -> None:
    """Have the totals of ``workers``, which are forgotten, count together with those of all others like it.

    What cannot be read stays as it is.
    """
    key = layout.totals_key(layout.FORGOTTEN)
    together = load(snapshot, key, Totals.load) or Totals(worker=layout.FORGOTTEN)
    if not isinstance(together, Totals):
        return
    before = together
    for worker in workers:
        found = load(snapshot, layout.totals_key(worker), Totals.load)
        if isinstance(found, Totals):
            together = dataclasses.replace(
                together,
                ended=together.ended + found.ended,
                crashed=together.crashed + found.crashed,
                counts=together.counts + found.counts,
            )
            change.delete(layout.totals_key(worker))
    if together != before:
        change.put(key, together)


def count_conflict(change: Change, snapshot: Snapshot, lock: str, *, refused: bool, wall: float) -> bool:
    """Note in ``change`` that an acquisition of ``lock`` met a holder; False when that cannot be noted."""
    key = layout.contention_key(lock)
    before = load(snapshot, key, Contention.load) or Contention(name=lock)
    if not isinstance(before, Contention):
        return False
    change.put(key, before.with_conflict(refused=refused, at=rfc3339(wall)))
    return True


def all_totals(snapshot: Snapshot) -> dict[str, Totals]:
    """Every readable totals record by worker."""
    found = {key: load(snapshot, key, Totals.load) for key in snapshot.list(layout.TOTALS)}
    return {key[len(layout.TOTALS) :]: record for key, record in found.items() if isinstance(record, Totals)}


def all_contention(snapshot: Snapshot) -> dict[str, Contention]:
    """Every readable contention record by lock."""
    found = {key: load(snapshot, key, Contention.load) for key in snapshot.list(layout.CONTENTION)}
    return {
        key[len(layout.CONTENTION) :]: record
        for key, record in found.items()
        if isinstance(record, Contention)
    }
