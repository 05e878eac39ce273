"""Reads task records, parsing each version of one once."""

from __future__ import annotations

from collections.abc import Sequence

from sentinel.errors import BadRecord, StoreError
from sentinel.fleet.tasks import existing
from sentinel.fleet.view import Reader, View, load
from sentinel.model import layout
from sentinel.model.task import Task
from sentinel.store.base import Expected, Snapshot


class Records:
    """What one client has read so far. Not shared between threads."""

    def __init__(self) -> None:
        self._reader = Reader()
        self._ended: dict[str, tuple[Expected, Task | BadRecord]] = {}
        self._followed: dict[str, tuple[tuple[Expected, Expected], Task]] = {}

    def view(self, snapshot: Snapshot) -> View:
        """The typed view of ``snapshot``."""
        return self._reader.view(snapshot)

    def ended(self, snapshot: Snapshot) -> tuple[list[Task], list[BadRecord]]:
        """All ended tasks that are kept, and those whose record cannot be read."""
        found: dict[str, tuple[Expected, Task | BadRecord]] = {}
        for key in snapshot.list(layout.DONE):
            version = snapshot.version(key)
            known = self._ended.get(key)
            if known is None or known[0] != version:
                known = (version, load(snapshot, key, Task.load))
            found[key] = known
        self._ended = found
        records = [record for _, record in found.values()]
        tasks = [record for record in records if isinstance(record, Task)]
        return tasks, [record for record in records if isinstance(record, BadRecord)]

    def follow(self, snapshot: Snapshot, ids: Sequence[str]) -> list[Task]:
        """The tasks of these ids, active or ended, in their order. Raises `NotFound` and `StoreError`."""
        found = {}
        for task_id in ids:
            versions = (
                snapshot.version(layout.task_key(task_id)),
                snapshot.version(layout.done_key(task_id)),
            )
            known = self._followed.get(task_id)
            if known is None or known[0] != versions:
                known = (versions, find(snapshot, task_id))
            found[task_id] = known
        self._followed = found
        return [found[task_id][1] for task_id in ids]


def find(snapshot: Snapshot, task_id: str) -> Task:
    """The task, active or ended. Raises `NotFound`, and `StoreError` when its record cannot be read."""
    try:
        return existing(snapshot, task_id)
    except BadRecord as problem:
        raise unreadable(problem) from problem


def unreadable(problem: BadRecord) -> StoreError:
    """The error for a person who asked for a record that cannot be read."""
    return StoreError(f"the record {problem}; `sentinel doctor` lists all such records")
