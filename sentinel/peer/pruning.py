"""One peer's part in the retention: it makes the next mark when it is time, and prunes under its own mark.

Which of the peers makes a mark is drawn anew for each; the others wait a little longer each, so that there is
a mark though that one is gone.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from sentinel.clock import Clock
from sentinel.errors import BadRecord, StoreError
from sentinel.fleet import failover, names, retention
from sentinel.fleet.observer import Observer
from sentinel.fleet.retention import Age, Companions, Found, Over
from sentinel.fleet.view import View
from sentinel.model.layout import RETENTION
from sentinel.model.retention import Retention
from sentinel.peer.options import PeerOptions
from sentinel.store.base import PARTS, Snapshot, Store, Transaction, Version
from sentinel.store.transact import Change

log = logging.getLogger(__name__)

#: How much longer, in parts of a period, each of those waits whose turn comes later.
_LATER = 0.1
#: A sweep over all ended tasks is to take this part of a period.
_SWEEP = 0.8
#: Shortest pause in seconds between two steps.
_SHORTEST = 0.25


class Pruning:
    """What one incarnation does for the retention. For the control thread alone."""

    def __init__(self, options: PeerOptions, incarnation: str, clock: Clock, companions: Companions) -> None:
        self._options = options
        self._incarnation = incarnation
        self._clock = clock
        self._companions = companions
        #: The newest mark that was seen, and the state in which it was seen first.
        self._first_seen = (-1, "")
        #: The mark under which it sweeps, where the sweep is, and whether it came around.
        self._mark = 0
        self._part = 0
        self._left = 0
        self._ages: Counter[Age] = Counter()
        #: What the sweep has found to be over and not condemned yet.
        self._over: dict[str, Over] = {}
        #: What is to be done under this mark about names that nobody uses, in portions of one step each.
        self._names: list[list[str]] = []
        #: The age from which on ended tasks are kept by number, by the last whole sweep.
        self._oldest_kept: Age | None = None
        self._due = float("-inf")

    def reconfigure(self, options: PeerOptions) -> None:
        """Go on with these options."""
        self._options = options

    def watched(self, snapshot: Snapshot) -> dict[str, str]:
        """The mark, for the observer."""
        record = _record(snapshot)
        if record is not None and record.mark != self._first_seen[0]:
            self._first_seen = (record.mark, snapshot.revision)
        return {} if record is None or self._options.retention is None else retention.watched(record)

    def hand_on(
        self, snapshot: Snapshot, observer: Observer, begin: Callable[[], Change]
    ) -> Transaction | None:
        """What one that leaves has seen of how long the mark stands; None where that is nothing new."""
        record = _record(snapshot)
        if record is None or self._options.retention is None:
            return None
        return retention.hand_on(begin(), record, observer, by=self._options.worker)

    def act(
        self,
        view: View,
        observer: Observer,
        begin: Callable[[], Change],
        needed: Callable[[str], bool],
        store: Store,
    ) -> Iterator[Transaction]:
        """The next mark or the next step, when it is time for it and this peer's part; at most one of them.

        ``needed`` tells whether an active task is to run after that one. Raises store errors.
        """
        terms, snapshot = self._options.retention, view.snapshot
        record = _record(snapshot)
        if terms is None or record is None:
            return
        stood = retention.stood(record, observer)
        if stood >= terms.period:
            turn = failover.turn(view, f"{RETENTION} {record.mark}", self._incarnation)
            late = stood >= terms.period * (1 + turn * _LATER)
            # An idle fleet with nothing to prune counts no time, and writes nothing.
            if late and (
                snapshot.revision != self._first_seen[1]
                or retention.anything_ended(snapshot)
                or names.anything_idle(view)
            ):
                yield retention.make_mark(
                    begin(),
                    record,
                    _days(store),
                    worker=self._options.worker,
                    incarnation=self._incarnation,
                    wall=self._clock.wall(),
                )
                return
        if record.incarnation == self._incarnation:
            yield from self._sweep(view, record, begin, needed, store)

    def _sweep(
        self,
        view: View,
        record: Retention,
        begin: Callable[[], Change],
        needed: Callable[[str], bool],
        store: Store,
    ) -> Iterator[Transaction]:
        terms, now, snapshot = self._options.retention, self._clock.now(), view.snapshot
        assert terms is not None
        if record.mark != self._mark:
            self._mark = record.mark
            # Wherever a sweep ends because another peer goes on, all parts get their turn in the end.
            self._part, self._left = record.mark * 97 % PARTS, PARTS
            self._ages.clear()
            self._over.clear()
            self._names = names.due(view, record, terms)
            self._due = now
            _drop_days(store, retention.over_days(record, terms))
            store.keep_small(record.mark - terms.marks)
        if now < self._due:
            return
        if self._names:
            # What bounces here comes again under the next mark.
            self._due = now + _SHORTEST
            portion = self._names.pop(0)
            idle = names.step(begin(), snapshot, record, terms, portion, by=self._options.worker)
            if idle is not None:
                yield idle
            return
        if not (self._left or self._over or record.condemned):
            return
        parts = iter([(self._part + place) % PARTS for place in range(self._left)])
        found = retention.examine(snapshot, parts, record, terms, self._oldest_kept)
        unmarked, came_around = found.unmarked[: retention.STEP], not self._left
        if found.parts and len(unmarked) == len(found.unmarked):
            came_around = self._advance(found, terms.count)
            self._over.update({each.id: each for each in found.over})
        over: list[Over] = []
        # A commit costs as much however much is in it: what is over goes as many at a time as may.
        if came_around or len(self._over) >= retention.STEP:
            over = [self._over.pop(name) for name in list(self._over)[: retention.STEP]]
        transaction = retention.step(
            begin(), snapshot, record, over, unmarked, needed, self._companions, by=self._options.worker
        )
        pause = max(1, found.parts) * _SWEEP * terms.period / PARTS
        self._due = now + (_SHORTEST if over or unmarked else max(_SHORTEST, pause))
        if transaction is not None:
            yield transaction

    def _advance(self, found: Found, count: int) -> bool:
        """Go on behind what was looked at; whether all parts have been now."""
        self._part = (self._part + found.parts) % PARTS
        self._ages.update(found.ages)
        self._left -= found.parts
        if self._left:
            return False
        self._oldest_kept = retention.cut(self._ages, count)
        self._ages.clear()
        if self._oldest_kept is not None:
            self._left = PARTS
        return True


def _days(store: Store) -> Mapping[str, Version] | None:
    try:
        return store.days()
    except StoreError as error:
        # The day's tasks are no reason to stop for.
        log.warning("cannot tell which days have artifacts: %s", error)
        return None


def _drop_days(store: Store, over: Iterable[tuple[str, Version]]) -> None:
    try:
        for day, version in over:
            if store.drop_day(day, version):
                log.info("the artifacts of %s are kept no longer", day)
    except StoreError as error:
        log.warning("artifacts that were kept for long enough stay until the next mark: %s", error)


def _record(snapshot: Snapshot) -> Retention | None:
    """The retention's record, one without a mark where there is none, or None when it cannot be read."""
    try:
        return retention.retention_in(snapshot) or Retention()
    except BadRecord:
        return None
