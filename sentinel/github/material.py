"""Reads what a comment shows of an ended task, from where it is stored."""

from __future__ import annotations

from sentinel.github.comment import Material
from sentinel.model.codec import decode
from sentinel.model.redaction import Redactor
from sentinel.model.task import Task
from sentinel.store.base import Store

#: Largest stored result that is shown, in bytes.
_MAX_RESULT = 64 * 1024


def material_of(task: Task | None, store: Store, redactor: Redactor) -> Material:
    """Result and log of a task that has ended; nothing of another. Raises store errors."""
    if task is None or not task.ended:
        return Material(redactor=redactor)
    result = task.result if task.result_blob is None else _large(task.result_blob, store)
    blob = (task.log or {}).get("blob")
    return Material(redactor=redactor, result=result, log=store.kept(str(blob)) if blob else None)


def _large(blob: str, store: Store) -> object:
    data = store.kept(blob)
    if data is None:
        return "(it is not kept any more)"
    if len(data) > _MAX_RESULT:
        return f"({len(data):,} bytes, too large to be shown here)"
    try:
        return decode(data, limit=_MAX_RESULT)
    except ValueError:
        return "(it cannot be read)"
