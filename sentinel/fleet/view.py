"""A snapshot as typed records. Unreadable ones are left out and reported, never fatal."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from sentinel.errors import BadRecord
from sentinel.model import layout
from sentinel.model.assignment import Assignment
from sentinel.model.codec import Document
from sentinel.model.lock import Lock
from sentinel.model.task import Task
from sentinel.model.worker import Incarnation, Session, Worker
from sentinel.store.base import ABSENT, Register, Snapshot

_LOADERS: Mapping[str, Callable[[str, Document], Any]] = {
    layout.TASKS: Task.load,
    layout.WORKERS: Worker.load,
    layout.INCARNATIONS: Incarnation.load,
    layout.LOCKS: Lock.load,
    layout.ASSIGNMENTS: Assignment.load,
}


class EndedTasks:
    """Ended tasks that were asked for, each version parsed once; what nobody asks for any more is forgotten.

    A task that runs after a thousand others asks for all of them at every look.
    """

    def __init__(self) -> None:
        self._now: dict[str, tuple[str, Task | BadRecord]] = {}
        self._before: dict[str, tuple[str, Task | BadRecord]] = {}

    def turn(self) -> None:
        """Forget what was not asked for since the last call."""
        self._before, self._now = self._now, {}

    def find(self, snapshot: Snapshot, task_id: str) -> Task | None:
        """The ended task in ``snapshot``, or None. Raises `BadRecord` when its record is unreadable."""
        key = layout.done_key(task_id)
        version = snapshot.version(key)
        if version is ABSENT:
            return None
        known = self._now.get(key) or self._before.get(key)
        if known is None or known[0] != version:
            known = (version, load(snapshot, key, Task.load))
        self._now[key] = known
        if isinstance(known[1], BadRecord):
            raise BadRecord(known[1].key, known[1].reason)
        return known[1]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Everything that decisions look at, of one revision."""

    snapshot: Snapshot
    tasks: Mapping[str, Task]
    workers: Mapping[str, Worker]
    incarnations: Mapping[str, Incarnation]
    locks: Mapping[str, Lock]
    assignments: Mapping[str, Assignment]
    problems: tuple[BadRecord, ...]
    #: Remembers across views; what it gives depends on the snapshot alone.
    ended: EndedTasks = dataclasses.field(default_factory=EndedTasks, compare=False)

    def live(self, incarnation: str) -> bool:
        """Whether the incarnation's record exists, readable or not."""
        return self.snapshot.version(layout.incarnation_key(incarnation)) is not ABSENT

    def task(self, task_id: str) -> Task | None:
        """The task, active or ended. Raises `BadRecord` when its record is unreadable."""
        found = self.tasks.get(task_id)
        if found is None and self.snapshot.version(layout.task_key(task_id)) is not ABSENT:
            return load_task(self.snapshot, task_id)
        return found or self.ended.find(self.snapshot, task_id)


class Reader:
    """Makes views, parsing each version of a record once."""

    def __init__(self) -> None:
        self._parsed: dict[str, tuple[str, Any]] = {}
        self._ended = EndedTasks()
        self._last: View | None = None

    def view(self, snapshot: Snapshot) -> View:
        """The typed view of ``snapshot``."""
        if self._last is not None and self._last.snapshot.revision == snapshot.revision:
            return self._last
        parsed: dict[str, tuple[str, Any]] = {}
        problems: list[BadRecord] = []
        folders: dict[str, dict[str, Any]] = {}
        for folder, loader in _LOADERS.items():
            records = folders[folder] = {}
            for key in snapshot.list(folder):
                if key == layout.LOCK_FLOOR:
                    continue
                record = self._load(snapshot, key, loader, parsed)
                if isinstance(record, BadRecord):
                    problems.append(record)
                elif record is not None:
                    records[key[len(folder) :]] = record
        self._parsed = parsed
        self._ended.turn()
        self._last = View(
            snapshot=snapshot,
            tasks=folders[layout.TASKS],
            workers=folders[layout.WORKERS],
            incarnations=folders[layout.INCARNATIONS],
            locks=folders[layout.LOCKS],
            assignments=folders[layout.ASSIGNMENTS],
            problems=tuple(problems),
            ended=self._ended,
        )
        return self._last

    def _load(
        self,
        snapshot: Snapshot,
        key: str,
        loader: Callable[[str, Document], Any],
        parsed: dict[str, tuple[str, Any]],
    ) -> Any:
        version = snapshot.version(key)
        if version is ABSENT:
            return None
        known = self._parsed.get(key)
        if known is None or known[0] != version:
            known = (version, load(snapshot, key, loader))
        parsed[key] = known
        return known[1]


def load(snapshot: Snapshot, key: str, loader: Callable[[str, Document], Any]) -> Any:
    """The record at ``key``, or None, or the `BadRecord` that says why it cannot be read."""
    try:
        document = snapshot.get(key)
        return None if document is None else loader(key, document)
    except BadRecord as problem:
        return problem


def load_task(snapshot: Snapshot, task_id: str) -> Task | None:
    """The task, active or ended, or None. Raises `BadRecord` when its record is unreadable."""
    for key in (layout.task_key(task_id), layout.done_key(task_id)):
        document = snapshot.get(key)
        if document is not None:
            return Task.load(key, document)
    return None


def load_lock(snapshot: Snapshot, name: str) -> Lock | None:
    """The named lock or None. Raises `BadRecord` when its record is unreadable."""
    key = layout.lock_key(name)
    document = snapshot.get(key)
    return None if document is None else Lock.load(key, document)


def load_session(name: str, register: Register | None) -> Session | None:
    """The session in a register, or None when it is missing, unreadable, or another's than its name says."""
    if register is None or register.document is None:
        return None
    try:
        session = Session.load(name, register.document)
    except BadRecord:
        return None
    return session if layout.session_register(session.incarnation) == name else None
