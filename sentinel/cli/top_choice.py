"""What the person at ``sentinel cluster top`` chose: which workers, in which order, by which keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sentinel.fleet.metrics import WorkerMetrics

#: What can be sorted by → the key, and whether the largest stand first.
SORTS: Mapping[str, tuple[Callable[[WorkerMetrics], Any], bool]] = {
    "load": (lambda worker: worker.utilization, True),
    "worker": (lambda worker: worker.id, False),
    "status": (lambda worker: (worker.healthy, worker.status), False),
    "done": (lambda worker: worker.tasks_done, True),
    "failed": (lambda worker: worker.tasks_failed, True),
    "crashes": (lambda worker: worker.crashes, True),
}
#: Which workers can be shown → whether one is among them.
SHOWS: Mapping[str, Callable[[WorkerMetrics], bool]] = {
    "all": lambda worker: worker.id != "",
    "healthy": lambda worker: worker.healthy,
    "busy": lambda worker: worker.active_tasks > 0,
    "problems": lambda worker: worker.expected and not worker.healthy,
}
#: Longest text that can be searched for.
_MAX_TEXT = 40


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the person at the keyboard chose."""

    sort: str = "load"
    reverse: bool = False
    show: str = "all"
    #: Only workers whose id, region or role holds this.
    text: str = ""
    #: Whether keys go into ``text`` now.
    typing: bool = False
    #: How many rows are scrolled past.
    offset: int = 0
    quit: bool = False

    def press(self, key: str) -> Choice:
        """The choice after a key: a character, ``up``, ``down``, ``enter``, ``escape`` or ``backspace``."""
        if self.typing:
            return self._typed(key)
        match key:
            case "q" | "Q" | "\x03":
                return dataclasses.replace(self, quit=True)
            case "s":
                return dataclasses.replace(self, sort=_next(SORTS, self.sort), reverse=False, offset=0)
            case "r":
                return dataclasses.replace(self, reverse=not self.reverse, offset=0)
            case "f":
                return dataclasses.replace(self, show=_next(SHOWS, self.show), offset=0)
            case "/":
                return dataclasses.replace(self, typing=True, text="", offset=0)
            case "escape":
                return dataclasses.replace(self, text="", show="all", offset=0)
            case "down" | "j":
                return dataclasses.replace(self, offset=self.offset + 1)
            case "up" | "k":
                return dataclasses.replace(self, offset=max(0, self.offset - 1))
        return self

    def _typed(self, key: str) -> Choice:
        if key == "\x03":
            return dataclasses.replace(self, quit=True)
        if key == "enter":
            return dataclasses.replace(self, typing=False)
        if key == "escape":
            return dataclasses.replace(self, typing=False, text="")
        if key == "backspace":
            return dataclasses.replace(self, text=self.text[:-1])
        if len(key) == 1 and key.isprintable() and len(self.text) < _MAX_TEXT:
            return dataclasses.replace(self, text=self.text + key)
        return self

    def of(self, workers: Sequence[WorkerMetrics]) -> list[WorkerMetrics]:
        """The workers that were chosen, in the order that was chosen."""
        wanted = self.text.lower()
        found = [
            worker
            for worker in workers
            if SHOWS[self.show](worker)
            and (not wanted or any(wanted in (text or "").lower() for text in _searched(worker)))
        ]
        key, descending = SORTS[self.sort]
        found.sort(key=lambda worker: worker.id)
        found.sort(key=key, reverse=descending is not self.reverse)
        return found


def _searched(worker: WorkerMetrics) -> tuple[str | None, ...]:
    return (worker.id, worker.region, worker.role)


def _next(names: Mapping[str, object], name: str) -> str:
    known = list(names)
    return known[(known.index(name) + 1) % len(known)]
