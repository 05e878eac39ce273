"""The kill of a worker that leads others, and what it costs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sentinel.model import layout
from sentinel.testing.simulation.baton import Baton

#: Virtual seconds between two looks at whether the work of the dead is free.
_STEP = 0.05


class Loss:
    """Kills the first worker by id that holds a lock, and times what follows, in virtual seconds."""

    def __init__(
        self, baton: Baton, state: Callable[[], dict[str, bytes]], kill: Callable[[str], None]
    ) -> None:
        self._baton = baton
        self._state = state
        self._kill = kill
        self._at: float | None = None
        #: Tasks that were meant for somebody when it died, and those that it ran with their epochs.
        self._assigned: set[str] = set()
        self._held: dict[str, int] = {}
        #: From the kill to the next claim of a task that was not assigned yet.
        self.idle: float | None = None
        #: From the kill until all that it ran was free again.
        self.freed: float | None = None

    def strike(self) -> None:
        """Kill it now, if anybody leads."""
        holders = {lock["holder"] for lock in self._records(layout.LOCKS) if lock["holder"] is not None}
        if not holders:
            return
        victim = min(holders)
        self._at = self._baton.now
        for assignment in self._records(layout.ASSIGNMENTS):
            self._assigned |= set(assignment["tasks"])
        self._held = {
            task["id"]: task["epoch"]
            for task in self._records(layout.TASKS)
            if task["state"] == "running" and task["owner"] == victim
        }
        self._kill(victim)
        self._watch()

    def began(self, task: str) -> None:
        """A task was started somewhere."""
        if self._at is not None and self.idle is None and task not in self._assigned:
            self.idle = self._baton.now - self._at

    def _watch(self) -> None:
        assert self._at is not None
        state = self._state()
        for name, epoch in list(self._held.items()):
            data = state.get(layout.task_key(name))
            task = None if data is None else json.loads(data)
            if task is None or task["epoch"] != epoch or task["state"] != "running":
                del self._held[name]
        if not self._held:
            self.freed = self._baton.now - self._at
        else:
            self._baton.after(_STEP, self._watch)

    def _records(self, folder: str) -> list[dict[str, Any]]:
        return [json.loads(data) for key, data in self._state().items() if key.startswith(folder)]
