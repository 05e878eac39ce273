"""How far a running task says it is, as its worker's last beat told."""

from __future__ import annotations

from collections.abc import Mapping

from sentinel.fleet.view import load_session
from sentinel.model.layout import session_register
from sentinel.model.progress import Report
from sentinel.model.task import Task
from sentinel.store.base import Register


def report_of(task: Task, registers: Mapping[str, Register]) -> Report | None:
    """What the attempt that runs said last; None when it said nothing, or its worker has not beaten since."""
    if task.state != "running" or task.incarnation is None:
        return None
    name = session_register(task.incarnation)
    session = load_session(name, registers.get(name))
    if session is None:
        return None
    told = (report for report in session.progress if (report.task, report.epoch) == (task.id, task.epoch))
    return next(told, None)
