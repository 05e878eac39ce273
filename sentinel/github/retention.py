"""What is kept of issues and files, and for how long: about as long as of their tasks, and then one bit.

The record of an issue and its entry in the outbox go with its ended task, in one transaction, so that
nothing is said on the issue once more. That it was dealt with is noted before (`sentinel.github.past`): an
old issue never becomes a task again, whatever is edited or said there. Issues that never became a task are
kept by number. The record of a file stays while the file does, or it would be taken in anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from sentinel.errors import BadRecord
from sentinel.github.files import record_of
from sentinel.github.past import Past, is_past
from sentinel.github.records import IssueRecord
from sentinel.model import layout
from sentinel.model.task import Task
from sentinel.store.base import ABSENT, Snapshot, Transaction
from sentinel.store.transact import Change

#: Issues that never became a task and are remembered all the same, so that an edit is looked at.
MOST_WITHOUT_TASK = 1_000
#: Transactions of one step.
_STEP = 100


def companions(snapshot: Snapshot, task: Task) -> Sequence[str] | None:
    """The keys of what goes with an ended task when that is pruned; None while it is needed.

    For `sentinel.fleet.retention`.
    """
    source = task.source
    if source is None:
        return ()
    if source.kind == "file":
        record = record_of(snapshot, source.name)
        gone = record is not None and not record.blob and record.task == task.id
        return (layout.file_key(source.name),) if gone else ()
    number = _number(task.id.removeprefix("issue-"))
    if number is None or task.id != layout.issue_task(number):
        return ()
    try:
        if not is_past(snapshot, number):
            return None
    except BadRecord:
        return None
    keys = (layout.issue_key(number), layout.outbox_key(number))
    return tuple(key for key in keys if snapshot.version(key) is not ABSENT)


def step(snapshot: Snapshot, change: Callable[[], Change]) -> list[Transaction]:
    """What there is to do now and then, each time for another change; nothing where nothing is.

    Raises `BadRecord` when it cannot be read which issues were dealt with.
    """
    found = (_number(key.removeprefix(layout.ISSUES)) for key in snapshot.list(layout.ISSUES))
    numbers = sorted(number for number in found if number is not None)
    return [*_note(snapshot, change, numbers), *_forget(snapshot, change, numbers)]


def _note(snapshot: Snapshot, change: Callable[[], Change], numbers: Sequence[int]) -> Iterator[Transaction]:
    """Note of each issue that it was dealt with."""
    parts: dict[int, list[int]] = {}
    for number in numbers:
        if not is_past(snapshot, number):
            parts.setdefault(Past.part_of(number), []).append(number)
    for part, new in parts.items():
        key = layout.past_key(part)
        past = snapshot.parsed(key, Past.load) or Past(part=part)
        told = f"issue {new[0]}" + (f" and {len(new) - 1} more" if len(new) > 1 else "")
        noting = change().put(key, past.added(new))
        yield noting.transaction(f"note as dealt with: {told}", aside=True)


def _forget(
    snapshot: Snapshot, change: Callable[[], Change], numbers: Sequence[int]
) -> Iterator[Transaction]:
    """Forget issues that never became a task: closed ones first, and the oldest first."""
    alone = [number for number in numbers if not any(map(_there(snapshot), _tasks(number)))]
    over = len(alone) - MOST_WITHOUT_TASK
    if over <= 0:
        return
    for number in sorted(alone, key=lambda number: (_open(snapshot, number), number))[: min(over, _STEP)]:
        if not is_past(snapshot, number):
            continue
        forgetting = change().delete(layout.issue_key(number))
        if forgetting.holds(layout.outbox_key(number)):
            forgetting.delete(layout.outbox_key(number))
        for key in _tasks(number):
            forgetting.expect_absent(key)
        yield forgetting.transaction(f"forget issue {number}, which never became a task", aside=True)


def _tasks(number: int) -> tuple[str, str]:
    task = layout.issue_task(number)
    return layout.task_key(task), layout.done_key(task)


def _there(snapshot: Snapshot) -> Callable[[str], bool]:
    return lambda key: snapshot.version(key) is not ABSENT


def _open(snapshot: Snapshot, number: int) -> bool:
    try:
        record = snapshot.parsed(layout.issue_key(number), IssueRecord.load)
    except BadRecord:
        return False
    return record is not None and record.open


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
