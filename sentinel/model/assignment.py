"""What a coordinator wants one worker to take next: a hint, and no right to anything."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from sentinel.model.codec import Document, Fields, flat
from sentinel.model.record import Stored, stamp


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Assignment(Stored):
    """The hints for one worker, rewritten as a whole by whoever coordinates it."""

    worker: str
    #: Task → the epoch at which it was meant for this worker.
    tasks: Mapping[str, int] = dataclasses.field(default_factory=dict)
    #: Who wrote it, under which lock, for people.
    by: str = ""
    lock: str = ""

    def document(self) -> Document:
        return {**flat(self), "tasks": dict(self.tasks)}

    @classmethod
    def load(cls, key: str, document: Mapping[str, Any]) -> Assignment:
        """The hints stored under ``key``. Raises `BadRecord` when these are none, or another's."""
        fields = Fields(key, document)
        assignment = cls(
            worker=fields.id("worker"),
            tasks=fields.counts("tasks"),
            by=fields.text("by", ""),
            lock=fields.text("lock", ""),
            **stamp(fields),
        )
        if key.partition("/")[2] != assignment.worker:
            raise fields.bad(f"it says it is for worker {assignment.worker!r}")
        return assignment
