"""Says on GitHub what is due: the most wanted first, and no faster than the budget allows."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Mapping

from sentinel.clock import Clock
from sentinel.errors import BadRecord, StoreError
from sentinel.fleet.progress import report_of
from sentinel.github.errors import Limited
from sentinel.github.hub import Hub
from sentinel.github.material import material_of
from sentinel.github.mirror import Mirror, records_of
from sentinel.github.outbox import Outbox, Recognition, versions
from sentinel.github.place import Place
from sentinel.github.purse import Counting, Purse, Wish
from sentinel.github.records import IssueRecord, OutboxEntry
from sentinel.model.progress import Report
from sentinel.model.redaction import Redactor
from sentinel.model.task import Task
from sentinel.store.base import Register, Snapshot, Store

log = logging.getLogger(__name__)

#: Seconds that one step says things before it is looked again at what people do.
_SAYING = 10.0
#: Failures of single issues after which a step gives up.
_FAILURES = 3


@dataclasses.dataclass(slots=True)
class Said:
    """What one step said. It also holds after an error."""

    #: The newest entries of the issues on which something was said or tried.
    entries: list[OutboxEntry] = dataclasses.field(default_factory=list)
    #: Seconds until there is more to be said that is due already; infinite when all of it was said.
    more_in: float = math.inf


class Voice:
    """For one thread."""

    def __init__(
        self,
        hub: Hub,
        place: Place,
        store: Store,
        outbox: Outbox,
        purse: Purse,
        *,
        redactor: Redactor,
        clock: Clock,
    ) -> None:
        self._hub = hub
        self._place = place
        self._store = store
        self._outbox = outbox
        self._purse = purse
        self._redactor = redactor
        self._clock = clock
        #: Issues on which something could not be said when it was tried last; the others go first.
        self._unsaid: set[int] = set()
        #: Of what is due: in which state it was looked at, and why it is to be said.
        self._wishes: dict[int, tuple[tuple[str, int | None], Wish]] = {}
        #: The sessions as they were read last, and the progress that was shown of each issue's task.
        self._sessions: Mapping[str, Register] = {}
        self._shown: dict[int, tuple[int, float | str]] = {}

    def begin(self) -> None:
        """We deal with GitHub from now on, and somebody else did before."""
        self._purse.begin()
        self._sessions, self._shown = {}, {}

    def say(self, snapshot: Snapshot, recognition: Recognition, said: Said) -> None:
        """Say what is due and can be paid for. Raises store errors, when several issues failed."""
        self._purse.refill()
        until = self._clock.now() + _SAYING
        failures = 0
        for entry, wish in self._due(snapshot):
            wait = self._purse.wait(wish, creates=_creates(entry))
            if wait > 0:
                said.more_in = min(said.more_in, wait)
                continue
            if self._clock.now() >= until:
                said.more_in = 0.0
                break
            try:
                self._show(snapshot, recognition, entry, said)
            except BadRecord as problem:
                log.error("nothing can be said on issue %d: %s", entry.number, problem)
            except Limited as error:
                # What is left is said later, all at once; looking at issues goes on if that is free.
                log.warning("what is to be said on GitHub has to wait: %s", error)
                break
            except StoreError as error:
                self._unsaid.add(entry.number)
                failures += 1
                if failures >= _FAILURES:
                    raise
                log.warning("issue %d: %s; again later", entry.number, error)

    def say_progress(self, snapshot: Snapshot, recognition: Recognition, said: Said) -> None:
        """Show how far running tasks are where that has changed, as far as there is anything left for it.

        Raises store errors.
        """
        running = [entry for entry in self._outbox.newest(snapshot) if entry.label == "running"]
        numbers = {entry.number for entry in running}
        self._shown = {number: shown for number, shown in self._shown.items() if number in numbers}
        if not running or not self._purse.allows_progress():
            return
        self._sessions = self._store.published()
        until = self._clock.now() + _SAYING
        for entry in running:
            try:
                _, task = records_of(snapshot, entry.number)
            except BadRecord:
                continue
            report = self._report(task)
            if report is None or self._shown.get(entry.number) == (report.epoch, report.done):
                continue
            if not self._purse.allows_progress() or self._clock.now() >= until:
                return
            self._show(snapshot, recognition, entry, said, progress=True)

    def _show(
        self,
        snapshot: Snapshot,
        recognition: Recognition,
        entry: OutboxEntry,
        said: Said,
        *,
        progress: bool = False,
    ) -> None:
        record, task = records_of(snapshot, entry.number)
        hub = Counting(self._hub)
        mirror = Mirror(hub, self._place.path, recognition, entry)
        report = self._report(task)
        try:
            material = material_of(task, self._store, self._redactor, self._place, report)
            mirror.show(snapshot, record, task, material)
            if report is not None:
                self._shown[entry.number] = (report.epoch, report.done)
        finally:
            if progress:
                self._purse.spend_progress(hub.requests)
            else:
                self._purse.spend(hub.requests, hub.contents)
            if mirror.entry != entry:
                said.entries.append(mirror.entry)

    def _report(self, task: Task | None) -> Report | None:
        return None if task is None else report_of(task, self._sessions)

    def _due(self, snapshot: Snapshot) -> list[tuple[OutboxEntry, Wish]]:
        """What is due, the most wanted first."""
        due = self._outbox.due(snapshot)
        wishes = {entry.number: self._wish(snapshot, entry) for entry in due}
        # Of those alone that are due is anything kept.
        self._wishes = {number: self._wishes[number] for number in wishes}
        self._unsaid &= wishes.keys()
        found = [(entry, wishes[entry.number]) for entry in due]
        found.sort(key=self._rank)
        return found

    def _rank(self, item: tuple[OutboxEntry, Wish]) -> tuple[bool, Wish, bool, int]:
        entry, wish = item
        return entry.number in self._unsaid, wish, not _creates(entry), entry.number

    def _wish(self, snapshot: Snapshot, entry: OutboxEntry) -> Wish:
        # Of many that wait, hardly any has changed since it was looked at last.
        found = (versions(snapshot, entry.number), entry.comment)
        known = self._wishes.get(entry.number)
        if known is not None and known[0] == found:
            return known[1]
        try:
            wish = wish_of(entry, *records_of(snapshot, entry.number))
        except BadRecord:
            wish = Wish.CHANGE
        self._wishes[entry.number] = (found, wish)
        return wish


def _creates(entry: OutboxEntry) -> bool:
    """Whether saying it makes a comment."""
    return entry.comment is None


def wish_of(entry: OutboxEntry, record: IssueRecord, task: Task | None) -> Wish:
    """Why something is to be said on an issue."""
    if task is None or task.state == "awaiting_approval" or record.notices:
        return Wish.ANSWER
    if task.ended:
        return Wish.END
    return Wish.FIRST if entry.comment is None else Wish.CHANGE
