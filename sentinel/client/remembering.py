"""Shared memory for programs: `Client.memory`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from sentinel.client.locking import LockCalls
from sentinel.clock import Clock
from sentinel.errors import BadRecord
from sentinel.fleet.memory import load_entry
from sentinel.fleet.memory_writing import Asked
from sentinel.fleet.shared_memory import SharedMemory
from sentinel.fleet.view import load
from sentinel.model.layout import MEMORY
from sentinel.model.memory import Change, Entry, Wish
from sentinel.model.memory_calls import Memory


class MemoryCalls(LockCalls):
    """Reads and writes shared memory."""

    _memory: tuple[SharedMemory, Memory] | None = None

    @property
    def memory(self) -> Memory:
        """Shared memory. Nothing runs in the background: what was written with ``behind`` lands with the
        first call after it is due, and when the client is closed."""
        if self._memory is None:
            _, observer = self._sightings()
            shared = SharedMemory(self._transactor, self._options.memory, observer)
            self._memory = shared, Memory(_Direct(shared, self._clock, self._actor))
        return self._memory[1]

    def problems(self) -> list[BadRecord]:
        """Records and sessions that cannot be read, those of shared memory among them."""
        snapshot = self._read()
        entries = (
            load(snapshot, key, lambda key, _: load_entry(snapshot, key)) for key in snapshot.list(MEMORY)
        )
        return [*super().problems(), *(entry for entry in entries if isinstance(entry, BadRecord))]

    def close(self) -> None:
        """Land what is queued, keep what was seen, and close the store if this client opened it. Idempotent.

        Raises store errors when what is queued could not land.
        """
        memory, self._memory = self._memory, None
        try:
            if memory is not None:
                shared = memory[0]
                kept, _ = self._sightings()
                if kept is not None and shared.timed:
                    kept.save(shared.timed)
                shared.flush()
        finally:
            super().close()


class _Direct:
    """Shared memory through the client's own store; see `sentinel.model.memory_calls.MemoryPort`."""

    def __init__(self, shared: SharedMemory, clock: Clock, actor: str) -> None:
        self._shared = shared
        self._clock = clock
        self._actor = actor

    def read(self, namespace: str, key: str, max_age: float | None) -> Entry | None:
        self._flush_if_due()
        return self._shared.read(namespace, key, max_age)

    def scan(self, namespace: str | None, prefix: str, max_age: float | None) -> list[Entry]:
        return self._shared.scan(namespace, prefix, max_age)

    def changes(
        self, namespace: str, key: str | None, prefix: str, known: Mapping[str, str], timeout: float
    ) -> list[Change]:
        return self._shared.changes(namespace, key, prefix, known, timeout)

    def write(self, wish: Wish, *, dry_run: bool) -> Entry | None:
        self._flush_if_due()
        return self._shared.write(self._asked(wish), dry_run=dry_run)

    def queue(self, wish: Wish) -> None:
        self._flush_if_due()
        self._shared.queue(self._asked(wish))

    def flush(self) -> Sequence[str]:
        self._shared.flush()
        return [str(dropped.why) for dropped in self._shared.take_dropped()]

    def stats(self) -> dict[str, Any]:
        return self._shared.stats.row()

    def _asked(self, wish: Wish) -> Asked:
        return Asked(dataclasses.replace(wish, by=self._actor))

    def _flush_if_due(self) -> None:
        due = self._shared.due
        if due is not None and self._clock.now() >= due:
            self._shared.flush()
