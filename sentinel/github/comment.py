"""The one comment on an issue, from what is stored of its task: pure, the same in, the same out.

Everything that a task or a stranger wrote passes the redactor first and is then made inert; nothing of the
title or the prose of the issue is repeated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from sentinel.github.block import EXAMPLE
from sentinel.github.markdown import as_json, block, code, plain
from sentinel.github.records import IssueRecord
from sentinel.model.origin import spec_hash, spec_of
from sentinel.model.progress import MAX_REPORT, Report
from sentinel.model.redaction import Redactor
from sentinel.model.task import Event, Task

#: GitHub takes no longer comment, in characters.
MAX_COMMENT = 65_536
#: Longest shares of it, in characters, of what may be long.
_MAX_JSON = 8_000
_MAX_SPEC = 40_000
_MAX_LOG = 24_000
#: Lines of the log, and attempts, that are shown.
_LOG_LINES = 200
_ATTEMPTS = 20

#: State of a task → the label that tells it; none for the others.
LABELS = {
    "awaiting_approval": "needs-approval",
    "pending": "pending",
    "running": "running",
    "done": "done",
    "failed": "failed",
    "dead": "dead",
}
_ENDS = frozenset({"finished", "failed", "requeued", "lost", "cancelled", "dead"})
_HEADS = {
    "awaiting_approval": "waits for an approval",
    "pending": "waits for a worker",
    "running": "is running",
    "done": "is done",
    "failed": "failed",
    "cancelled": "is cancelled",
    "dead": "is dead: worker after worker was lost while running it",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a comment is made of besides the records."""

    redactor: Redactor
    #: The result, read from where it is; None when there is none to show.
    result: Any = None
    #: The log of the last ended attempt as it is stored; None when there is none to show.
    log: bytes | None = None
    #: Where people read that log whole; None where it is on no page.
    log_page: str | None = None
    #: How far the running attempt says it is; None when it said nothing.
    report: Report | None = None


def compose(marker: str, record: IssueRecord, task: Task | None, material: Material) -> str:
    """The text of the comment, within `MAX_COMMENT` characters."""
    if task is None:
        parts = [*_refusal(record, material.redactor)]
    else:
        parts = [*_task(record, task, material)]
    text = "\n\n".join([marker, *parts, *_notices(record, material.redactor)])
    # Each part has a limit of its own, so this is for what nobody thought of.
    return text if len(text) <= MAX_COMMENT else f"{text[: MAX_COMMENT - 40]}\n\n(cut)"


def _refusal(record: IssueRecord, redactor: Redactor) -> Iterator[str]:
    problem = plain(redactor.text(record.problem or "it asks for nothing"), 500)
    yield f"**This issue is no task yet**: {problem}."
    yield f"Edit the issue so that it has one block like this, and it is looked at again:\n\n{_example()}"


def _example() -> str:
    return f"````markdown\n{EXAMPLE}\n````"


def _task(record: IssueRecord, task: Task, material: Material) -> Iterator[str]:
    redactor = material.redactor
    yield f"**`{task.id}` {_HEADS.get(task.state, task.state)}** ({_facts(task)})"
    if task.state == "awaiting_approval":
        yield from _approval(task, redactor)
    elif task.cancel_requested is not None:
        yield f"It is being cancelled: {plain(redactor.text(task.cancel_requested))}."
    if task.ended and task.reason and task.state != "done":
        yield f"Reason: {plain(redactor.text(task.reason))}"
    if task.state == "running" and material.report is not None:
        done = plain(redactor.text(material.report.text), MAX_REPORT)
        yield f"Progress: {done} (at {_moment(material.report.at)})"
    yield from _attempts(task, redactor)
    if task.error is not None:
        message = redactor.text(f"{task.error['kind']}: {task.error['message']}")
        yield f"Error of the last attempt:\n\n{block(_head(message, _MAX_JSON))}"
    if task.state == "done" and material.result is not None:
        yield f"Result:\n\n{_json(redactor.value(material.result))}"
    if task.ended and material.log:
        yield from _log(task, material.log, material.log_page, redactor)
    elif material.log_page is not None:
        yield f"[Log of the last attempt that ended]({material.log_page})"
    elif task.state == "running":
        yield f"Its log will be here; until then `sentinel tasks logs {task.id} -f` shows it on its worker."
    yield _next(record, task, redactor)


def _facts(task: Task) -> str:
    facts = [f"type {code(task.type)}", f"run {task.run}"]
    if task.attempt:
        facts.append(f"attempt {task.attempt}")
    if task.owner is not None:
        facts.append(f"worker {code(task.owner)}")
    if task.exit_code is not None:
        facts.append(f"exit status {task.exit_code}")
    return ", ".join(facts)


def _approval(task: Task, redactor: Redactor) -> Iterator[str]:
    asked = [event.note for event in task.history if event.event in ("approval_needed", "approval_void")]
    spec = spec_hash(task)
    why = plain(redactor.text(asked[-1])) if asked and asked[-1] else "it was not approved"
    yield f"It does not run: {why}."
    shown = _specification(task, redactor)
    if shown is None:
        yield f"What would run is too long to be shown; `sentinel tasks show {task.id} -o json` shows it."
    else:
        yield f"What would run, and nothing else (SHA-256 `{spec}`):\n\n{shown}"
    named = spec if shown is None else spec[:12]
    yield f"Somebody who may can comment `/approve {named}`. An edit of the issue makes an approval void."


def shown_whole(task: Task, redactor: Redactor) -> bool:
    """Whether the comment has room for all that would run, so that who approves it can have read it."""
    return _specification(task, redactor) is not None


def _specification(task: Task, redactor: Redactor) -> str | None:
    """What would run, all of it; None when that is too long."""
    wanted = redactor.value(spec_of(task))
    for text in (as_json(wanted), as_json(wanted, indent=None)):
        if len(text) <= _MAX_SPEC:
            return text
    return None


def _attempts(task: Task, redactor: Redactor) -> Iterator[str]:
    rows = _rows(task.history)
    if not rows:
        return
    lines = ["| epoch | worker | began | ended | as |", "| --- | --- | --- | --- | --- |"]
    for began, ended in rows[-_ATTEMPTS:]:
        note = "running" if ended is None else ended.event
        if ended is not None and ended.note:
            note = f"{ended.event}: {plain(redactor.text(ended.note), 160)}"
        until = "" if ended is None else _moment(ended.at)
        lines.append(
            f"| {began.epoch} | {code(began.worker or '')} | {_moment(began.at)} | {until} | {note} |"
        )
    yield "\n".join(lines)


def _rows(history: Sequence[Event]) -> list[tuple[Event, Event | None]]:
    """Each claim, with how its attempt ended."""
    rows: list[tuple[Event, Event | None]] = []
    for event in history:
        if event.event == "claimed":
            rows.append((event, None))
        elif event.event in _ENDS and rows and rows[-1][1] is None:
            rows[-1] = (rows[-1][0], event)
    return rows


def _moment(at: str) -> str:
    return plain(at[:19].replace("T", " "), 20)


def _json(value: Any) -> str:
    text = as_json(value)
    return text if len(text) <= _MAX_JSON else block(f"{_head(text, _MAX_JSON)}\n(cut)")


def _log(task: Task, data: bytes, page: str | None, redactor: Redactor) -> Iterator[str]:
    text = redactor.text(data.decode("utf-8", "replace"))
    lines = text.split("\n")
    tail = "\n".join(lines[-_LOG_LINES:])[-_MAX_LOG:]
    if not tail.strip():
        return
    whole = len(tail) == len(text) and not (task.log or {}).get("truncated")
    where = "" if page is None else f"[on a page of its own]({page}), or "
    yield (
        f"{'Log' if whole else 'End of the log'} (all that is kept: {where}`sentinel tasks logs {task.id}`):"
    )
    yield block(tail)


def _next(record: IssueRecord, task: Task, redactor: Redactor) -> str:
    if task.state == "done":
        return "Done is final. For another run, open another issue."
    if not task.ended:
        return "To cancel it, close the issue or comment `/cancel`. `/why` asks why it is where it is."
    again = "To run it again, comment `/retry`, or close and open the issue."
    if record.problem is None:
        return again
    problem = plain(redactor.text(record.problem), 500)
    return f"{again} Its text asks for nothing that can be run now: {problem}."


def _notices(record: IssueRecord, redactor: Redactor) -> Iterator[str]:
    if record.notices:
        lines = [
            f"- {_moment(notice['at'])}: {plain(redactor.text(notice['text']), 500)}"
            for notice in record.notices
        ]
        yield "\n".join(lines)


def _head(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"
