"""Frees entries of shared memory that were seen unchanged for their TTL, in small steps.

Each peer looks at times, not at each tick: a version that was there at two looks was there all the time
between, because none ever comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from sentinel.errors import BadRecord
from sentinel.fleet.memory import expire, load_entry
from sentinel.fleet.observer import Observer
from sentinel.model.layout import MEMORY
from sentinel.model.memory import Entry
from sentinel.store.base import ABSENT, Snapshot, Transaction
from sentinel.store.transact import Change

#: Entries that one step frees at most.
STEP = 20


class Expiry:
    """What one peer knows of entries with a TTL. ``every`` are seconds between two looks."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._looked = float("-inf")
        #: Store key → version and entry, None for one without a TTL or that cannot be read.
        self._known: dict[str, tuple[str, Entry | None]] = {}
        #: Whether something of the last look may still have to be freed.
        self._open = False

    @property
    def watched(self) -> list[str]:
        """The store keys whose silence counts."""
        return [name for name, (_, entry) in self._known.items() if entry is not None]

    def look(self, snapshot: Snapshot, now: float) -> Mapping[str, str]:
        """The versions of all entries with a TTL, for the observer; nothing when no look is due yet."""
        if now - self._looked < self._every:
            return {}
        self._looked, self._open = now, True
        known: dict[str, tuple[str, Entry | None]] = {}
        for name in snapshot.list(MEMORY):
            version = snapshot.version(name)
            if version is not ABSENT:
                before = self._known.get(name)
                if before is None or before[0] != version:
                    before = (version, _timed(snapshot, name))
                known[name] = before
        self._known = known
        return {name: version for name, (version, entry) in known.items() if entry is not None}

    def due(
        self, snapshot: Snapshot, begin: Callable[[], Change], observer: Observer, *, by: str
    ) -> Iterator[Transaction]:
        """Transactions that free some of what has expired, as far as ``snapshot`` still shows it.

        ``begin`` gives a new change on the snapshot.
        """
        if not self._open:
            return
        left = STEP
        for name, (version, entry) in self._known.items():
            silent = entry is not None and observer.silence(name, version) >= entry.ttl
            if silent and entry is not None and snapshot.version(name) == version:
                if not left:
                    # The rest is for the next step.
                    return
                left -= 1
                yield expire(begin(), name, entry, by=by)
        self._open = False


def _timed(snapshot: Snapshot, name: str) -> Entry | None:
    try:
        entry = load_entry(snapshot, name)
    except BadRecord:
        return None
    return entry if entry is not None and entry.ttl else None
