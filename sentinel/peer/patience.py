"""Who was to take a task and let it lie, as far as one peer saw it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from sentinel.fleet.queue import Queue

#: Stands for whoever assigns tasks, where a task is left to it.
ITS_COORDINATOR = ""


@dataclasses.dataclass(frozen=True, slots=True)
class _Meant:
    rev: int
    worker: str
    since: float


class Patience:
    """Remembers since when a waiting task has been somebody's; after some time others may have it."""

    def __init__(self) -> None:
        self._meant: dict[str, _Meant] = {}
        self._passed: dict[str, set[str]] = {}

    def passed(self, waiting: Queue, now: float, *, grace: float) -> Mapping[str, AbstractSet[str]]:
        """Task id → who had ``grace`` seconds to take it and did not; ``now`` is when the look was sent."""
        self._meant = {
            name: meant
            for name, meant in self._meant.items()
            if (task := waiting.get(name)) is not None and task.rev == meant.rev
        }
        self._passed = {name: passed for name, passed in self._passed.items() if name in self._meant}
        for name, meant in self._meant.items():
            if now - meant.since >= grace:
                self._passed.setdefault(name, set()).add(meant.worker)
        return self._passed

    def meant(self, intended: Mapping[str, str], waiting: Queue, now: float) -> None:
        """Take in whose each task is now; ``now`` is when the look was answered."""
        # Nobody's for now, as when all slots are taken; what was found out before still counts.
        found = {
            name: known
            for name, known in self._meant.items()
            if name not in intended and name in self._passed and name in waiting
        }
        for name, worker in intended.items():
            task, known = waiting.get(name), self._meant.get(name)
            if task is not None and known is not None and (known.rev, known.worker) == (task.rev, worker):
                found[name] = known
            elif task is not None:
                found[name] = _Meant(task.rev, worker, now)
        self._meant = found
