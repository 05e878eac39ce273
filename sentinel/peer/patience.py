"""Who was to take a task and let it lie, as far as one peer saw it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

from sentinel.model.task import Task

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

    def passed(self, waiting: Iterable[Task], now: float, *, grace: float) -> Mapping[str, AbstractSet[str]]:
        """Task id → who had ``grace`` seconds to take it and did not; ``now`` is when the look was sent."""
        revs = {task.id: task.rev for task in waiting}
        self._meant = {name: meant for name, meant in self._meant.items() if revs.get(name) == meant.rev}
        self._passed = {name: passed for name, passed in self._passed.items() if name in self._meant}
        for name, meant in self._meant.items():
            if now - meant.since >= grace:
                self._passed.setdefault(name, set()).add(meant.worker)
        return self._passed

    def still(self, assigned: Mapping[str, str], able: AbstractSet[str]) -> dict[str, str]:
        """Task id → whose it was before, if that was somebody else who is ``able`` and did not let it lie."""
        return {
            name: known.worker
            for name, worker in assigned.items()
            if (known := self._meant.get(name)) is not None
            and known.worker != worker
            and known.worker in able
            and known.worker not in self._passed.get(name, ())
        }

    def meant(self, intended: Mapping[str, str], waiting: Iterable[Task], now: float) -> None:
        """Take in whose each task is now; ``now`` is when the look was answered."""
        found: dict[str, _Meant] = {}
        for task in waiting:
            worker = intended.get(task.id)
            known = self._meant.get(task.id)
            if worker is None:
                # Nobody's for now, as when all slots are taken; what was found out before still counts.
                if known is not None and task.id in self._passed:
                    found[task.id] = known
            elif known is not None and (known.rev, known.worker) == (task.rev, worker):
                found[task.id] = known
            else:
                found[task.id] = _Meant(task.rev, worker, now)
        self._meant = found
