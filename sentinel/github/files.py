"""Files as tasks: ``.sentinel/tasks/*.json`` on the default branch. What is merged is approved.

Whoever may merge to the default branch has said so by merging: review is GitHub's own, by pull request and
branch protection. A file that changes is a new run, of the new text; one that is removed is withdrawn. From
which commit files are read, `sentinel.github.branch` says.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import logging
import re
from collections.abc import Mapping

from sentinel.clock import rfc3339
from sentinel.errors import BadInput, BadRecord, NotFound
from sentinel.fleet.tasks import write_task
from sentinel.fleet.view import load_task
from sentinel.github.block import MAX_BLOCK, draft, read_file
from sentinel.github.case import Rules
from sentinel.github.errors import Missing
from sentinel.github.hub import Hub
from sentinel.github.records import FileRecord
from sentinel.model import approval, layout
from sentinel.model import task as transitions
from sentinel.model.origin import Source, spec_hash
from sentinel.model.task import Task
from sentinel.store.base import Snapshot, Transaction
from sentinel.store.transact import Change

log = logging.getLogger(__name__)

_RESERVED = re.compile(r"issue-[0-9]+")


def content(hub: Hub, repository: str, sha: str) -> bytes | str | None:
    """The bytes of a file by git's name for them, or why they are no task. Raises store errors.

    None when GitHub does not show them yet.
    """
    try:
        body = hub.get(f"{repository}/git/blobs/{sha}").body
    except Missing:
        return None
    if not isinstance(body, Mapping) or body.get("encoding") != "base64":
        return "its content cannot be read"
    size = body.get("size")
    if isinstance(size, int) and size > MAX_BLOCK:
        return f"it has {size:,} bytes, and {MAX_BLOCK:,} are the limit"
    try:
        return base64.b64decode(str(body.get("content", "")))
    except (binascii.Error, ValueError):
        return "its content cannot be read"


def record_of(snapshot: Snapshot, path: str) -> FileRecord | None:
    """What is known of a file; None when that is nothing, or cannot be read."""
    key = layout.file_key(path)
    try:
        document = snapshot.get(key)
        return None if document is None else FileRecord.load(key, document)
    except BadRecord as problem:
        log.error("%s", problem)
        return None


def take_in(
    change: Change, snapshot: Snapshot, path: str, sha: str, data: bytes | str, *, rules: Rules, wall: float
) -> Transaction | None:
    """What becomes of a file with this content; None when that was dealt with, or waits for a run's end.

    One that was refused is looked at again: it is merged, and nobody would think of merging it anew.
    """
    record = record_of(snapshot, path) or FileRecord(path=path)
    if record.blob == sha and record.problem is None:
        return None
    try:
        wanted = _draft(snapshot, path, data, rules=rules, wall=wall)
        task = load_task(snapshot, wanted.id)
        if task is not None and not _from(task, path):
            raise BadInput(f"the id {wanted.id} was given to another task already")
        if record.task is not None and record.task != wanted.id and not _over(snapshot, record.task):
            raise BadInput(f"its task {record.task} has not ended, so it cannot become {wanted.id} yet")
    except (BadInput, NotFound, BadRecord) as error:
        if (record.blob, record.problem) == (sha, str(error)):
            return None
        log.warning("%s asks for no task: %s", path, error)
        change.put(layout.file_key(path), dataclasses.replace(record, blob=sha, problem=str(error)))
        return change.transaction(f"refuse the file {path}: {error}")
    if task is not None and task.state == "running":
        return None
    after = _approved(task, wanted, path, sha, wall=wall)
    if after is not None:
        write_task(change, after)
    change.put(layout.file_key(path), dataclasses.replace(record, blob=sha, task=wanted.id, problem=None))
    return change.transaction(f"take in {wanted.id} from the file {path} ({sha[:12]})")


def withdraw(change: Change, snapshot: Snapshot, path: str, *, wall: float) -> Transaction | None:
    """A file is gone: what it asked for is cancelled, unless it has ended."""
    record = record_of(snapshot, path)
    if record is None or not record.blob:
        return None
    task = None
    try:
        task = None if record.task is None else load_task(snapshot, record.task)
    except BadRecord as problem:
        log.error("%s", problem)
    if task is not None and _from(task, path) and not task.ended:
        write_task(change, transitions.cancel(task, wall=wall, reason=f"its file {path} was removed"))
    if task is None:
        # With a task it goes when that is pruned, and until then the file may come back.
        change.delete(layout.file_key(path))
    else:
        change.put(layout.file_key(path), dataclasses.replace(record, blob="", problem=None))
    return change.transaction(f"withdraw the file {path}")


def _draft(snapshot: Snapshot, path: str, data: bytes | str, *, rules: Rules, wall: float) -> Task:
    if isinstance(data, str):
        raise BadInput(data)
    asked = read_file(data)
    task_id = asked.submission.id or ""
    if _RESERVED.fullmatch(task_id):
        raise BadInput(f"the id {task_id} is for the task of an issue; choose another")
    wanted = draft(
        asked,
        task_id=task_id,
        created_at=rfc3339(wall),
        submitted_by=path,
        types=rules.types,
        registered=rules.registered(snapshot),
        default_timeout=rules.timeout,
        default_retries=rules.retries,
    )
    for dependency in wanted.after:
        if load_task(snapshot, dependency) is None:
            raise NotFound(f"it is to run after {dependency}, and there is no such task")
    return wanted


def _approved(task: Task | None, wanted: Task, path: str, sha: str, *, wall: float) -> Task | None:
    if task is None:
        task = approval.take_in(wanted, Source(kind="file", name=path), wall=wall)
    elif spec_hash(task) == spec_hash(wanted):
        # The same in other words; or it was removed, and is back.
        if task.state != "cancelled":
            return None
        return transitions.retry(task, wall=wall, note=f"{path} was merged again")
    else:
        task = approval.respecify(task, wanted, wall=wall, why=f"{path} was changed")
    return approval.approve(task, by=f"merge of {sha[:12]}", by_id=None, wall=wall)


def _from(task: Task, path: str) -> bool:
    source = task.source
    return source is not None and source.kind == "file" and source.name == path


def _over(snapshot: Snapshot, task_id: str) -> bool:
    task = load_task(snapshot, task_id)
    return task is None or task.ended


def known_paths(snapshot: Snapshot) -> dict[str, FileRecord]:
    """Path → record of each file that is known; unreadable records are left out."""
    found: dict[str, FileRecord] = {}
    for key in snapshot.list(layout.FILES):
        try:
            document = snapshot.get(key)
            if document is not None:
                record = FileRecord.load(key, document)
                found[record.path] = record
        except BadRecord as problem:
            log.error("%s", problem)
    return found
