"""A snapshot as typed records. Unreadable ones are left out and reported, never fatal."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

from sentinel.errors import BadRecord
from sentinel.fleet.sharded import Sharded
from sentinel.model import layout
from sentinel.model.assignment import Assignment
from sentinel.model.codec import Document
from sentinel.model.lock import Lock
from sentinel.model.task import Task
from sentinel.model.worker import Incarnation, Session, Worker
from sentinel.store.base import ABSENT, Expected, Register, Snapshot

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class View:
    """Everything that decisions look at, of one revision. What follows from it is found out once."""

    snapshot: Snapshot
    tasks: Mapping[str, Task]
    #: Those of them that some incarnation holds.
    running: Mapping[str, Task]
    workers: Mapping[str, Worker]
    incarnations: Mapping[str, Incarnation]
    locks: Mapping[str, Lock]
    assignments: Mapping[str, Assignment]
    #: Key → why its record cannot be read.
    unreadable: Mapping[str, BadRecord]
    #: Counts the views of one reader.
    number: int
    #: Ids of the active tasks that are not as they were in the reader's view before, or were in it alone.
    moved: frozenset[str]
    #: Ids of the ended tasks that may not be as they were in the view before; None for any of them.
    ended_moved: frozenset[str] | None
    #: Remembers across views; what it gives depends on the snapshot alone.
    ended: EndedTasks = dataclasses.field(default_factory=EndedTasks, compare=False)

    @property
    def problems(self) -> tuple[BadRecord, ...]:
        """Why what is left out was left out."""
        return tuple(self.unreadable.values())

    @functools.cached_property
    def living(self) -> Mapping[str, str]:
        """All live incarnations, readable or not, with the register that each beats in."""
        unreadable = [
            key[len(layout.INCARNATIONS) :] for key in self.unreadable if key.startswith(layout.INCARNATIONS)
        ]
        return {name: layout.session_register(name) for name in (*self.incarnations, *unreadable)}

    def live(self, incarnation: str) -> bool:
        """Whether the incarnation's record exists, readable or not."""
        return incarnation in self.living

    def task(self, task_id: str) -> Task | None:
        """The task, active or ended. Raises `BadRecord` when its record is unreadable."""
        found = self.tasks.get(task_id)
        if found is not None:
            return found
        problem = self.unreadable.get(layout.task_key(task_id))
        if problem is not None:
            raise BadRecord(problem.key, problem.reason)
        return self.ended.find(self.snapshot, task_id)


class Reader:
    """Makes views of one store's snapshots: what did not change since the last one is not looked at again."""

    def __init__(self) -> None:
        self._versions: dict[str, str] = {}
        #: Folder → name → record, as in the last view.
        self._records: dict[str, Mapping[str, Any]] = {
            folder: Sharded[Task]() if folder == layout.TASKS else {} for folder in _LOADERS
        }
        self._running: Mapping[str, Task] = {}
        self._ended = EndedTasks()
        self._last: View | None = None

    def view(self, snapshot: Snapshot) -> View:
        """The typed view of ``snapshot``."""
        last = self._last
        if last is not None and last.snapshot.revision == snapshot.revision:
            return last
        moved, ended = self._moved(snapshot)
        changes: dict[str, dict[str, Any]] = {}
        unreadable = {} if last is None else {k: v for k, v in last.unreadable.items() if k not in moved}
        for key, version in moved.items():
            folder, name = _parts(key)
            record = None if version is ABSENT else load(snapshot, key, _LOADERS[folder])
            if isinstance(record, BadRecord):
                unreadable[key] = record
                record = None
            changes.setdefault(folder, {})[name] = record
        # Not before all of it has been read: a store may fail in the middle.
        # Views share what did not change, and none ever changes itself.
        for folder, changed in changes.items():
            self._records[folder] = _updated(self._records[folder], changed)
        tasks = changes.get(layout.TASKS, {})
        self._running = _updated(
            self._running,
            {
                name: task if task is not None and task.state == "running" else None
                for name, task in tasks.items()
            },
        )
        for key, version in moved.items():
            if version is ABSENT:
                del self._versions[key]
            else:
                self._versions[key] = version
        self._ended.turn()
        records = self._records
        self._last = View(
            snapshot=snapshot,
            tasks=records[layout.TASKS],
            running=self._running,
            workers=records[layout.WORKERS],
            incarnations=records[layout.INCARNATIONS],
            locks=records[layout.LOCKS],
            assignments=records[layout.ASSIGNMENTS],
            unreadable=unreadable,
            number=1 if last is None else last.number + 1,
            moved=frozenset(tasks),
            ended_moved=ended,
            ended=self._ended,
        )
        return self._last

    def _moved(self, snapshot: Snapshot) -> tuple[dict[str, Expected], frozenset[str] | None]:
        """Every key whose version is not the one of the last view, with the one that it has now.

        And the ended tasks that may have moved, None for any of them.
        """
        changed = None if self._last is None else snapshot.changed(self._last.snapshot)
        ended: frozenset[str] | None = None
        if changed is None:
            listed = (key for folder in _LOADERS for key in snapshot.list(folder))
            changed = [*self._versions, *(key for key in listed if key not in self._versions)]
        else:
            changed = list(changed)
            ended = frozenset(key[len(layout.DONE) :] for key in changed if key.startswith(layout.DONE))
        known = self._versions
        moved = {
            key: version
            for key in changed
            if _parts(key)[0] in _LOADERS
            and key != layout.LOCK_FLOOR
            and (version := snapshot.version(key)) != known.get(key, ABSENT)
        }
        return moved, ended


def _updated(records: Mapping[str, Any], changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """``records`` with ``changes``, None for what goes; the same object where nothing does."""
    if isinstance(records, Sharded):
        return records.updated(changes)
    if all(records.get(name) is record for name, record in changes.items()):
        return records
    merged = {**records, **changes}
    return {name: record for name, record in merged.items() if record is not None}


def _parts(key: str) -> tuple[str, str]:
    folder, slash, name = key.partition("/")
    return folder + slash, name


def load(snapshot: Snapshot, key: str, loader: Callable[[str, Document], Any]) -> Any:
    """The record at ``key``, or None, or the `BadRecord` that says why it cannot be read."""
    try:
        return snapshot.parsed(key, loader)
    except BadRecord as problem:
        return problem


def load_task(snapshot: Snapshot, task_id: str) -> Task | None:
    """The task, active or ended, or None. Raises `BadRecord` when its record is unreadable."""
    for key in (layout.task_key(task_id), layout.done_key(task_id)):
        task = snapshot.parsed(key, Task.load)
        if task is not None:
            return task
    return None


def load_lock(snapshot: Snapshot, name: str) -> Lock | None:
    """The named lock or None. Raises `BadRecord` when its record is unreadable."""
    return snapshot.parsed(layout.lock_key(name), Lock.load)


def load_session(name: str, register: Register | None) -> Session | None:
    """The session in a register, or None when it is missing, unreadable, or another's than its name says."""
    if register is None or register.document is None:
        return None
    if name not in register.parsed:
        register.parsed[name] = _parse_session(name, register.document)
    session: Session | None = register.parsed[name]
    return session


def _parse_session(name: str, document: Document) -> Session | None:
    try:
        session = Session.load(name, document)
    except BadRecord:
        return None
    return session if layout.session_register(session.incarnation) == name else None
