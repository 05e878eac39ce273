"""Reads what a comment shows of a task besides its record, from where it is stored."""

from __future__ import annotations

import re

from sentinel.github.comment import Material
from sentinel.github.place import Place
from sentinel.model.codec import decode
from sentinel.model.progress import Report
from sentinel.model.redaction import Redactor
from sentinel.model.task import Task
from sentinel.store.base import Store

#: Largest stored result that is shown, in bytes.
_MAX_RESULT = 64 * 1024
_OBJECT_ID = re.compile(r"[0-9a-f]{40}")


def material_of(
    task: Task | None, store: Store, redactor: Redactor, place: Place, report: Report | None = None
) -> Material:
    """Result and log of a task that has ended, and where its log is; ``report`` tells of one that has not.

    Raises store errors.
    """
    if task is None:
        return Material(redactor=redactor)
    page = _log_page(task, place)
    if not task.ended:
        return Material(redactor=redactor, log_page=page, report=report)
    result = task.result if task.result_blob is None else _large(task.result_blob, store)
    blob = (task.log or {}).get("blob")
    log = store.kept(str(blob)) if blob else None
    return Material(redactor=redactor, result=result, log=log, log_page=None if log is None else page)


def _log_page(task: Task, place: Place) -> str | None:
    """The page of the log of its last ended attempt; None where there is none, or its record does not say."""
    names = [str((task.log or {}).get(name)) for name in ("commit", "blob")]
    # Whoever can write to the store wrote them; a link leads nowhere else.
    return place.blob_page(*names) if all(map(_OBJECT_ID.fullmatch, names)) else None


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
