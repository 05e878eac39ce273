"""Several accesses to one shared memory, on one clock, for tests."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from sentinel.fleet.memory_writing import Asked
from sentinel.fleet.shared_memory import MemoryOptions, SharedMemory
from sentinel.model.ids import IdSource
from sentinel.model.memory import Change, Entry, Wish
from sentinel.model.task import Fence
from sentinel.store.base import Snapshot
from sentinel.store.memory import MemoryFleet, MemoryStore
from sentinel.store.transact import Transactor
from sentinel.testing.clock import ManualClock
from sentinel.testing.faults import FaultyStore

FENCE = Fence(task="t", incarnation="inc1", run=1, epoch=1)


class Counting(FaultyStore):
    """A store that counts reads, and is as far away as it is told."""

    def __init__(self, fleet: MemoryFleet, *, near: bool) -> None:
        super().__init__(MemoryStore(fleet))
        self.hears = near
        self.reads = 0

    def read(self) -> Snapshot:
        self.reads += 1
        return super().read()


class Site:
    """Several accesses to one memory, on one clock."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.fleet = MemoryFleet()
        self.rng = random.Random(7)
        self.ids = IdSource(self.rng, self.clock.wall)

    def access(
        self, *, near: bool = True, patience: float = 1.0, stretched: float = 0.0, **options: Any
    ) -> Access:
        store = Counting(self.fleet, near=near)
        transactor = Transactor(store, self.clock, self.rng, self.ids, patience=patience)
        shared = SharedMemory(transactor, MemoryOptions(**options), stretched=lambda: stretched)
        return Access(shared, store)

    @property
    def commits(self) -> int:
        return len(self.fleet.history) - 1


class Access:
    """One process's access, in few words."""

    def __init__(self, shared: SharedMemory, store: Counting) -> None:
        self.shared = shared
        self.store = store

    def get(self, key: str = "k", max_age: float | None = None) -> Any:
        found = self.shared.read("ns", key, max_age)
        return None if found is None else found.value

    def put(self, value: Any, key: str = "k", **more: Any) -> Entry:
        written = self.shared.write(asked(value, key, **more))
        assert written is not None
        return written

    def queue(self, value: Any, key: str = "k", **more: Any) -> None:
        self.shared.queue(asked(value, key, **more))

    def dropped(self) -> list[str]:
        return [str(dropped.why) for dropped in self.shared.take_dropped()]

    def changes(self, known: Mapping[str, str], prefix: str = "") -> list[Change]:
        return self.shared.differences("ns", None, prefix, known)


def asked(value: Any, key: str = "k", fence: Fence | None = None, **more: Any) -> Asked:
    return Asked(Wish(namespace="ns", key=key, value=value, by="w", **more), fence)
