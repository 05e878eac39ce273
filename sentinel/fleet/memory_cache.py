"""The entries of shared memory that a process keeps: the least recently used one goes first."""

from __future__ import annotations

import collections
import dataclasses
from typing import Any

from sentinel.model.memory import Entry


@dataclasses.dataclass(slots=True)
class Stats:
    """What one access to shared memory did so far."""

    #: Reads of an entry that needed no record, and those that did.
    hits: int = 0
    misses: int = 0
    #: Writes that landed, and the commits that were sent for all writes.
    writes: int = 0
    commits: int = 0
    #: Writes that were refused because the key had changed, queued ones among them.
    conflicts: int = 0
    #: Queued writes that were dropped, for whatever reason.
    dropped: int = 0

    @property
    def hit_rate(self) -> float:
        """The part of all reads that the cache answered, 0 to 1."""
        reads = self.hits + self.misses
        return self.hits / reads if reads else 0.0

    def row(self) -> dict[str, Any]:
        """All of it by name."""
        return {**dataclasses.asdict(self), "hit_rate": round(self.hit_rate, 4)}


class Cache:
    """At most ``size`` entries, each under the version of its record."""

    def __init__(self, size: int, stats: Stats) -> None:
        self._size = size
        self._stats = stats
        self._entries: collections.OrderedDict[str, tuple[str, Entry]] = collections.OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, name: str, version: str) -> Entry | None:
        """The entry of this version, if it is kept; counts a hit or a miss."""
        known = self._entries.get(name)
        if known is None or known[0] != version:
            self._stats.misses += 1
            return None
        self._stats.hits += 1
        self._entries.move_to_end(name)
        return known[1]

    def keep(self, name: str, version: str, entry: Entry) -> None:
        """Keep an entry in place of an older version of it."""
        self._entries[name] = (version, entry)
        self._entries.move_to_end(name)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def forget(self, name: str) -> None:
        """Let an entry go that is not there any more."""
        self._entries.pop(name, None)
