"""Looks at the files of the default branch, and says what becomes of each that is new, changed or gone."""

from __future__ import annotations

import dataclasses
import logging

from sentinel.clock import Clock
from sentinel.errors import BadRecord
from sentinel.github import files
from sentinel.github.branch import Branch
from sentinel.github.case import Rules
from sentinel.github.hub import Hub
from sentinel.github.records import Mark
from sentinel.github.tenure import Tenure
from sentinel.model import layout
from sentinel.store.base import Snapshot, Transaction

log = logging.getLogger(__name__)

#: Seconds between two looks for a branch that was not there.
_PAUSE = 300.0


class Merged:
    """What was merged, one look after another."""

    def __init__(self, hub: Hub, repository: str, tenure: Tenure, clock: Clock) -> None:
        self._hub = hub
        self._path = repository
        self._tenure = tenure
        self._clock = clock
        self._branch = Branch(hub, repository, clock)
        self._due = float("-inf")

    def look(self, snapshot: Snapshot, rules: Rules) -> list[Transaction]:
        """What to write, to be landed in one commit: the mark is raised with what it stands for.

        Raises `Lost` and store errors.
        """
        if self._clock.now() < self._due:
            return []
        try:
            mark = _stored_mark(snapshot)
        except BadRecord as problem:
            log.error("no file is taken in: %s", problem)
            return []
        listing = self._branch.read(mark.commit)
        if listing is None:
            if not mark.commit:
                self._due = self._clock.now() + _PAUSE
            return []
        batch: list[Transaction | None] = []
        if listing.commit != mark.commit:
            change = self._tenure.guarded(snapshot)
            change.put(layout.MARK, dataclasses.replace(mark, commit=listing.commit))
            batch.append(change.transaction(f"read the default branch at {listing.commit[:12]}", aside=True))
        known, wall = files.known_paths(snapshot), self._clock.wall()
        for path, sha in listing.files.items():
            # What is wrong with one may be right by now: a worker joined, or what it is to run after came.
            if path not in known or known[path].blob != sha or known[path].problem is not None:
                data = files.content(self._hub, self._path, sha)
                if data is None:
                    log.debug("GitHub does not show %s of %s yet", sha, path)
                    continue
                change = self._tenure.guarded(snapshot)
                batch.append(files.take_in(change, snapshot, path, sha, data, rules=rules, wall=wall))
        for path in sorted(known.keys() - listing.files.keys()) if listing.whole else ():
            batch.append(files.withdraw(self._tenure.guarded(snapshot), snapshot, path, wall=wall))  # noqa: PERF401
        return [transaction for transaction in batch if transaction is not None]


def _stored_mark(snapshot: Snapshot) -> Mark:
    document = snapshot.get(layout.MARK)
    return Mark() if document is None else Mark.load(layout.MARK, document)
