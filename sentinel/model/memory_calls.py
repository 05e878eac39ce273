"""The calls on shared memory, the same for programs and for tasks, over whatever reaches it.

A program reaches it through its client's store (`sentinel.Client.memory`), a task through its worker
(`sentinel.memory`). What is checked, remembered and returned is here, once.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from sentinel.errors import BadInput, Conflict
from sentinel.model.memory import (
    ANY,
    DEFAULT_NAMESPACE,
    Change,
    Entry,
    Wish,
    check_key,
    check_namespace,
    check_prefix,
    check_ttl,
    check_value,
)

#: Keys whose last read version is remembered for the policy ``compare_and_swap``.
_REMEMBERED = 10_000
#: Tries of `Memory.update` against others that write the same key.
_TRIES = 1_000
#: Seconds that one request of a watch waits.
_WATCH_EVERY = 10.0


class MemoryPort(Protocol):
    """What the calls need. Every method raises `StoreError` when the store cannot serve."""

    def read(self, namespace: str, key: str, max_age: float | None) -> Entry | None:
        """The entry, at most ``max_age`` seconds old; None for as old as is usual here."""

    def scan(self, namespace: str | None, prefix: str, max_age: float | None) -> list[Entry]:
        """All entries that begin with ``prefix``, by namespace and key."""

    def changes(
        self, namespace: str, key: str | None, prefix: str, known: Mapping[str, str], timeout: float
    ) -> list[Change]:
        """What differs from the versions that are ``known`` by key; waits for it for ``timeout`` seconds."""

    def write(self, wish: Wish, *, dry_run: bool) -> Entry | None:
        """Land a write now; what is there then, or was deleted."""

    def queue(self, wish: Wish) -> None:
        """Land a write soon."""

    def flush(self) -> Sequence[str]:
        """Land what is queued now; a sentence for each queued write that was dropped."""

    def stats(self) -> dict[str, Any]:
        """Counters of the cache and of writes."""


class Memory:
    """Values by namespace and key, shared by the whole fleet.

    Keys are 1 to 256 characters, namespaces ids, values JSON of at most 64 KiB; what is not raises
    `BadInput`. Every call raises `StoreError` when the store cannot serve.
    """

    def __init__(self, port: MemoryPort) -> None:
        self._port = port
        #: (namespace, key) → the version that was read or written last; None for no such key.
        self._read: collections.OrderedDict[tuple[str, str], str | None] = collections.OrderedDict()

    # -- reading -------------------------------------------------------------------------------------

    def get(
        self,
        key: str,
        namespace: str = DEFAULT_NAMESPACE,
        default: Any = None,
        *,
        max_age: float | None = None,
    ) -> Any:
        """The value of ``key``, or ``default`` when there is none.

        On a store of this host it is the newest value. On a remote one it may be as old as
        ``memorySync.intervalMs``; ``max_age`` in seconds asks for another limit, and 0 for the newest. What
        this program or task has written itself it always sees.
        """
        found = self.entry(key, namespace, max_age=max_age)
        return default if found is None else found.value

    def entry(
        self, key: str, namespace: str = DEFAULT_NAMESPACE, *, max_age: float | None = None
    ) -> Entry | None:
        """The value of ``key`` with its version, TTL and writer, or None when there is none."""
        check_namespace(namespace)
        check_key(key)
        found = self._port.read(namespace, key, _age(max_age))
        self._remember(namespace, key, found)
        return found

    def list(
        self, namespace: str | None = None, prefix: str = "", *, max_age: float | None = None
    ) -> list[Entry]:
        """All entries of a namespace, or of all, whose key begins with ``prefix``; by namespace and key."""
        if namespace is not None:
            check_namespace(namespace)
        found = self._port.scan(namespace, check_prefix(prefix), _age(max_age))
        for entry in found:
            self._remember(entry.namespace, entry.key, entry)
        return found

    # -- writing -------------------------------------------------------------------------------------

    def set(
        self,
        key: str,
        value: Any,
        namespace: str = DEFAULT_NAMESPACE,
        *,
        ttl: float | None = None,
        policy: str | None = None,
        behind: bool = False,
        dry_run: bool = False,
    ) -> Entry | None:
        """Write ``value``, by the rule that is configured, or the ``policy`` of that name.

        When it returns, the value has landed; with ``behind`` it is queued, lands within
        ``memorySync.intervalMs`` together with others, and None is returned. ``ttl`` is in seconds; without
        one the value stays. Raises `Conflict` when the policy refuses the write.
        """
        wish = self._wish(key, namespace, value=value, ttl=ttl, policy=policy)
        if behind and not dry_run:
            self._port.queue(wish)
            # Whatever version it will have, it is no older one.
            self._read.pop((namespace, key), None)
            return None
        return self._write(wish, dry_run=dry_run)

    def delete(
        self,
        key: str,
        namespace: str = DEFAULT_NAMESPACE,
        *,
        version: str | None = None,
        policy: str | None = None,
        dry_run: bool = False,
    ) -> bool:
        """Remove ``key``, if it has this ``version`` (None: whatever it has); whether it was there.

        Raises `Conflict` when it has another version, or when the policy refuses it.
        """
        expect = ANY if version is None else _version(version)
        wish = self._wish(key, namespace, delete=True, policy=policy, expect=expect)
        return self._write(wish, dry_run=dry_run) is not None

    def compare_and_swap(
        self,
        key: str,
        version: str | None,
        value: Any,
        namespace: str = DEFAULT_NAMESPACE,
        *,
        ttl: float | None = None,
        dry_run: bool = False,
    ) -> Entry:
        """Write ``value`` if ``key`` still has this ``version``; None means that there is no such key.

        The new entry. Raises `Conflict` when it has another version.
        """
        expect = None if version is None else _version(version)
        wish = self._wish(key, namespace, value=value, ttl=ttl, expect=expect)
        written = self._write(wish, dry_run=dry_run)
        assert written is not None
        return written

    def update(
        self,
        key: str,
        change: Callable[[Any], Any],
        namespace: str = DEFAULT_NAMESPACE,
        default: Any = None,
        *,
        ttl: float | None = None,
    ) -> Entry:
        """Write what ``change`` makes of the present value (``default`` when there is none).

        ``change`` is called again when somebody else was faster, so nobody's update is lost. Raises
        `Conflict` when others are faster all the time.
        """
        for _ in range(_TRIES):
            found = self.entry(key, namespace, max_age=0.0)
            value = change(default if found is None else found.value)
            try:
                version = None if found is None else found.version
                return self.compare_and_swap(key, version, value, namespace, ttl=ttl)
            except Conflict:
                continue
        raise Conflict(f"{namespace}/{key} kept changing; try again")

    def flush(self) -> Sequence[str]:
        """Land what was written with ``behind`` now; a sentence for each such write that was dropped.

        One is dropped when it had waited too long and found the key changed, or its namespace full, or its
        task no more under its claim.
        """
        return self._port.flush()

    # -- watching ------------------------------------------------------------------------------------

    def watch(
        self,
        key: str | None = None,
        namespace: str = DEFAULT_NAMESPACE,
        prefix: str = "",
        *,
        since: Mapping[str, str] | None = None,
    ) -> Watch:
        """Follow one key, or all of a namespace that begin with ``prefix``; see `Watch`.

        ``since`` is the `Watch.position` of an earlier watch to go on from, also in another process; ``{}``
        begins with all that is there, and None with what changes from now on.
        """
        check_namespace(namespace)
        if key is not None:
            check_key(key)
            if prefix:
                raise BadInput("watch one key, or all that begin with a prefix; give one of the two")
        return Watch(self._port, namespace, key, check_prefix(prefix), since)

    def stats(self) -> dict[str, Any]:
        """``hits``, ``misses`` and ``hit_rate`` of the cache; ``writes`` and the ``commits`` that they took;
        writes that met ``conflicts``, and queued ones that were ``dropped``. A task's are its worker's."""
        return self._port.stats()

    def _wish(
        self,
        key: str,
        namespace: str,
        *,
        value: Any = None,
        delete: bool = False,
        ttl: float | None = None,
        policy: str | None = None,
        expect: str | None = ANY,
    ) -> Wish:
        check_namespace(namespace)
        check_key(key)
        return Wish(
            namespace=namespace,
            key=key,
            value=None if delete else check_value(f"{namespace}/{key}", value),
            delete=delete,
            ttl=check_ttl(ttl),
            expect=expect,
            read=self._read.get((namespace, key)),
            policy=policy,
        )

    def _write(self, wish: Wish, *, dry_run: bool) -> Entry | None:
        written = self._port.write(wish, dry_run=dry_run)
        if not dry_run:
            self._remember(wish.namespace, wish.key, None if wish.delete else written)
        return written

    def _remember(self, namespace: str, key: str, found: Entry | None) -> None:
        self._read.pop((namespace, key), None)
        self._read[namespace, key] = None if found is None else found.version
        if len(self._read) > _REMEMBERED:
            self._read.popitem(last=False)


class Watch:
    """The changes of one key or namespace. An iterator that waits for the next one, and never ends by itself.

    It tells the newest state: of changes that follow one another quickly only the last may be seen, and what
    was deleted and made again in between looks like a change. Nothing that stays is missed, however long
    nobody looked.
    """

    def __init__(
        self,
        port: MemoryPort,
        namespace: str,
        key: str | None,
        prefix: str,
        since: Mapping[str, str] | None,
    ) -> None:
        self._port = port
        self._place = (namespace, key, prefix)
        self._waiting: collections.deque[Change] = collections.deque()
        #: Key → version of all that was told so far, or was there at the beginning: where to go on from.
        self.position: dict[str, str] = dict(since or {})
        if since is None:
            for change in self._port.changes(*self._place, {}, 0.0):
                self._tell(change)

    def __iter__(self) -> Iterator[Change]:
        return self

    def __next__(self) -> Change:
        while (found := self.next(_WATCH_EVERY)) is None:
            pass
        return found

    def next(self, timeout: float) -> Change | None:
        """The next change, or None when there was none within ``timeout`` seconds."""
        if not self._waiting:
            self._waiting.extend(self._port.changes(*self._place, self.position, timeout))
        return self._tell(self._waiting.popleft()) if self._waiting else None

    def _tell(self, change: Change) -> Change:
        if change.entry is None:
            self.position.pop(change.key, None)
        else:
            self.position[change.key] = change.entry.version
        return change


def _age(max_age: float | None) -> float | None:
    if max_age is not None and not max_age >= 0:
        raise BadInput(f"max_age {max_age!r:.40} is not valid: use seconds, 0 or more")
    return max_age


def _version(version: object) -> str:
    if not isinstance(version, str) or version == ANY:
        raise BadInput(f"version {version!r:.40} is not valid: use the one that was read")
    return version
