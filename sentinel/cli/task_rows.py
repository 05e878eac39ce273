"""What the task commands show of a task."""

from __future__ import annotations

import shlex
from typing import Any

from sentinel.cli.output import Columns, moment
from sentinel.client import Client
from sentinel.fleet.board import task_document, task_row
from sentinel.fleet.view import View
from sentinel.model.task import Task

COLUMNS: Columns = {
    "ID": "id",
    "TYPE": "type",
    "STATE": "state",
    "PRIORITY": "priority",
    "OWNER": "owner",
    "CREATED": moment("created_at"),
}
WIDE: Columns = {
    "ATTEMPT": "attempt",
    "STARTED": moment("started_at"),
    "FINISHED": moment("finished_at"),
    "RUN": "run",
    "EPOCH": "epoch",
    "LOSSES": "losses",
    "RETRIES LEFT": "retries_left",
    "REASON": "reason",
}
_RECORD: Columns = {
    "ID": "id",
    "Type": "type",
    "Args": "args",
    "Positional": lambda row: shlex.join(map(str, row["positional"])),
    "State": "state",
    "Reason": "reason",
    "Priority": "priority",
    "After": "after",
    "Timeout": lambda row: f"{row['timeout']:g} s",
    "Run": "run",
    "Attempt": "attempt",
    "Epoch": "epoch",
    "Owner": "owner",
    "Retries left": "retries_left",
    "Losses": lambda row: row["losses"] or None,
    "Created": moment("created_at"),
    "Started": moment("started_at"),
    "Finished": moment("finished_at"),
    "Exit code": "exit_code",
    "Result": "result",
    "From": lambda row: _source(row["source"]),
    "Specification": "spec",
    "Approved": lambda row: _approval(row["approval"]),
}
_WIDE_RECORD: Columns = {
    "Incarnation": "incarnation",
    "Submitted by": "submitted_by",
    "Affinity": "affinity",
    "Causes": "causes",
    "Cancel requested": "cancel_requested",
}


def _source(source: dict[str, Any] | None) -> str | None:
    if source is None:
        return None
    who = source["login"] or "somebody"
    return f"{source['kind']} {source['name']} by {who} ({source['author'] or 'number unknown'})"


def _approval(approval: dict[str, Any] | None) -> str | None:
    return None if approval is None else f"{approval['spec'][:12]} by {approval['by']} at {approval['at']}"


def record_columns(*, wide: bool) -> Columns:
    """The fields of one task, a line each."""
    return {**_RECORD, **_WIDE_RECORD} if wide else _RECORD


def row(client: Client, task: Task, view: View) -> dict[str, Any]:
    """The task without its history, its result read from where it is."""
    return task_row(task, view, result=client.result_of(task))


def document(client: Client, task: Task, view: View) -> dict[str, Any]:
    """The task with its history."""
    return task_document(task, view, result=client.result_of(task))
