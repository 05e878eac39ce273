"""One process's access to shared memory: reads through a cache, and the writes of `memory_writing`.

For one thread. Reads go through a snapshot of the state that is at most so old as the caller allows, and a
cache of entries, each checked against its version in that snapshot.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence

from sentinel.errors import BadRecord, SentinelError
from sentinel.fleet import memory
from sentinel.fleet.memory_cache import Cache, Stats
from sentinel.fleet.memory_writing import Asked, Dropped, Ended, MemoryWriter, unreadable
from sentinel.fleet.observer import Observer
from sentinel.model import layout
from sentinel.model.memory import Change, Entry
from sentinel.model.task import Fence
from sentinel.store.base import ABSENT, Expected, Snapshot
from sentinel.store.transact import Transactor

log = logging.getLogger(__name__)

#: Longest pause in seconds between two looks of a watch; a store that tells of changes wakes it earlier.
_LOOK_EVERY = 5.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MemoryOptions:
    """The settings ``distributed.memorySync``."""

    #: Seconds within which a queued write lands. A read may be as old where a look is an exchange with a
    #: server: where the store does not hear of changes by itself.
    interval: float = 5.0
    #: Name of the rule for two writers of one key.
    policy: str = "last_write_wins"
    #: Entries that are kept; zero keeps none.
    cache_size: int = 1000


class SharedMemory:
    """See the module. ``observer`` times the silence of entries with a TTL.

    ``stretched`` gives the seconds that what is queued may have to wait where pushes have turns.

    Every method that reads or writes raises `StoreError` when the store cannot serve.
    """

    def __init__(
        self,
        transactor: Transactor,
        options: MemoryOptions,
        observer: Observer | None = None,
        stretched: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._transactor = transactor
        self._options = options
        #: Seconds that a read may be old unless it says otherwise.
        self.usual_age = 0.0 if transactor.store.hears else options.interval
        self._observer = observer if observer is not None else Observer()
        self.stats = Stats()
        self._cache = Cache(options.cache_size, self.stats)
        self._snapshot: Snapshot | None = None
        #: Sending and reply of the read that gave it, on this machine's clock.
        self._sent = self._reply = 0.0
        #: Store keys of the entries with a TTL that were looked at.
        self.timed: set[str] = set()
        self._writer = MemoryWriter(
            transactor,
            policy=options.policy,
            interval=options.interval,
            stretched=stretched,
            expired=lambda name, snapshot, entry: self._silent(name, snapshot.version(name), entry),
            stats=self.stats,
            written=self._forget_snapshot,
        )

    # -- reading -------------------------------------------------------------------------------------

    def read(self, namespace: str, key: str, max_age: float | None = None) -> Entry | None:
        """The entry, or None when there is none."""
        name = layout.memory_key(namespace, key)
        if self._writer.queued(name):
            self.flush()
        try:
            found = self._entry(self._look(max_age), name)
        except BadRecord as problem:
            raise unreadable(problem) from problem
        return None if found is None else _own(found)

    def scan(self, namespace: str | None, prefix: str, max_age: float | None = None) -> list[Entry]:
        """All entries whose key begins with ``prefix``, by namespace and key; None means all namespaces.

        Entries whose record cannot be read are left out.
        """
        self.flush()
        snapshot = self._look(max_age)
        folder = layout.MEMORY if namespace is None else layout.memory_folder(namespace)
        found = [_own(entry) for entry in self._entries(snapshot, snapshot.list(folder), prefix)]
        return sorted(found, key=lambda entry: (entry.namespace, entry.key))

    def changes(
        self, namespace: str, key: str | None, prefix: str, known: Mapping[str, str], timeout: float
    ) -> list[Change]:
        """What differs from the versions that are ``known`` by key, as soon as something does.

        Nothing when that was not within ``timeout`` seconds.
        """
        clock, store = self._transactor.clock, self._transactor.store
        until = clock.now() + timeout
        while True:
            found = self.differences(namespace, key, prefix, known)
            left = until - clock.now()
            if found or left <= 0:
                return found
            store.wait(min(left, _LOOK_EVERY))

    def differences(
        self, namespace: str, key: str | None, prefix: str, known: Mapping[str, str]
    ) -> list[Change]:
        """What differs now from the versions that are ``known`` by key."""
        self.flush()
        snapshot = self._look(0.0)
        names = (
            snapshot.list(layout.memory_folder(namespace))
            if key is None
            else iter([layout.memory_key(namespace, key)])
        )
        there = {entry.key: entry for entry in self._entries(snapshot, names, prefix)}
        found = [
            Change(namespace=namespace, key=name, entry=_own(entry))
            for name, entry in there.items()
            if known.get(name) != entry.version
        ]
        found += [Change(namespace=namespace, key=name, entry=None) for name in known.keys() - there.keys()]
        return sorted(found, key=lambda change: change.key)

    def _look(self, max_age: float | None) -> Snapshot:
        clock = self._transactor.clock
        allowed = self.usual_age if max_age is None else max_age
        sent = clock.now()
        if self._snapshot is None or sent - self._sent >= allowed:
            self._snapshot = self._transactor.retrying()(self._transactor.store.read)
            self._sent, self._reply = sent, clock.now()
        return self._snapshot

    def _forget_snapshot(self) -> None:
        self._snapshot = None

    def _entries(self, snapshot: Snapshot, names: Iterator[str], prefix: str) -> Iterator[Entry]:
        for name in names:
            try:
                entry = self._entry(snapshot, name)
            except BadRecord as problem:
                log.warning("%s", unreadable(problem))
                continue
            if entry is not None and entry.key.startswith(prefix):
                yield entry

    def _entry(self, snapshot: Snapshot, name: str) -> Entry | None:
        """The entry at a store key, or None. Raises `BadRecord`."""
        version = snapshot.version(name)
        if version is ABSENT:
            self._cache.forget(name)
            self._observer.forget(name)
            self.timed.discard(name)
            return None
        entry = self._cache.find(name, version)
        if entry is None:
            entry = memory.load_entry(snapshot, name)
            assert entry is not None
            self._cache.keep(name, version, entry)
        return None if self._expired(name, version, entry) else entry

    def _expired(self, name: str, version: str, entry: Entry) -> bool:
        if not entry.ttl:
            self.timed.discard(name)
            return False
        self.timed.add(name)
        self._observer.note(name, version, sent=self._sent, reply=self._reply)
        return self._silent(name, version, entry)

    def _silent(self, name: str, version: Expected, entry: Entry) -> bool:
        """Whether this process has seen the entry unchanged for its TTL."""
        return entry.ttl > 0 and self._observer.silence(name, version) >= entry.ttl

    def queued(self, namespace: str, key: str) -> bool:
        """Whether a write of this key is queued, which lands before it is read."""
        return self._writer.queued(layout.memory_key(namespace, key))

    # -- writing -------------------------------------------------------------------------------------

    def write(self, asked: Asked, *, dry_run: bool = False) -> Entry | None:
        """Land one write now; the entry as it then is or was deleted, or None when there was none to delete.

        Raises `Conflict` when the version is not the expected one or the policy yields, `ClaimLost`, and
        `BadInput` for an unknown policy or a full namespace.
        """
        if dry_run:
            return self._writer.rehearse(asked, self._look(0.0))
        (ended,) = self.write_many([asked])
        if isinstance(ended, SentinelError):
            raise ended
        return ended

    def write_many(self, asked: Sequence[Asked]) -> list[Ended]:
        """Land many writes with few commits, behind all that is queued; what became of each, in order."""
        return self._writer.write_many(asked)

    def queue(self, asked: Asked) -> None:
        """Land a write within the interval, at the next `flush` that is due; a later one takes its place.

        Whoever calls this also calls `flush` when `due` says so.
        """
        self._writer.queue(asked, self._readable)

    def _readable(self, name: str) -> Entry | None:
        """What is there, as far as it is known; None also for a record that cannot be read."""
        try:
            return self._entry(self._look(float("inf")), name)
        except BadRecord:
            return None

    @property
    def due(self) -> float | None:
        """When the queue must land, on this machine's clock; None when it is empty."""
        return self._writer.due

    def flush(self) -> None:
        """Land all that is queued. What cannot land is dropped; if the store is away, all is still queued."""
        self._writer.flush()

    def take_dropped(self, fence: Fence | None = None) -> list[Dropped]:
        """Queued writes under this claim that yielded or could not land, since this was last asked."""
        return self._writer.take_dropped(fence)

    def drop(self, fence: Fence) -> None:
        """Forget what is queued under a claim that is over."""
        self._writer.drop(fence)


def _own(entry: Entry) -> Entry:
    """The caller's own copy: what it does to the value must not reach the cache."""
    if isinstance(entry.value, dict | list):
        return dataclasses.replace(entry, value=copy.deepcopy(entry.value))
    return entry
