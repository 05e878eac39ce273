"""What a coordinator wants one worker to take next: a hint, and no right to anything."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from sentinel.model.codec import Document, Fields, flat


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The hints for one worker, rewritten as a whole by whoever coordinates it."""

    worker: str
    #: Task → the epoch at which it was meant for this worker.
    tasks: Mapping[str, int] = dataclasses.field(default_factory=dict)
    #: Who wrote it, under which lock, for people.
    by: str = ""
    lock: str = ""

    rev: int = 0
    tx: str = ""
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def stamped(self, rev: int, tx: str) -> Self:
        return dataclasses.replace(self, rev=rev, tx=tx)

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
            rev=fields.count("rev"),
            tx=fields.text("tx"),
            extra=fields.rest(),
        )
        if key.partition("/")[2] != assignment.worker:
            raise fields.bad(f"it says it is for worker {assignment.worker!r}")
        return assignment
