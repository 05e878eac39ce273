"""``--after``: what a waiting task still waits for. Blocked is derived at every look and never stored."""

from __future__ import annotations

from collections.abc import Callable

from sentinel.errors import BadRecord
from sentinel.model.task import Task

Lookup = Callable[[str], Task | None]


def waiting_for(task: Task, lookup: Lookup) -> list[str]:
    """Ids of the tasks that must still be done before ``task`` may start."""
    waiting = []
    for dependency in task.after:
        found = _find(dependency, lookup)
        if found is None or found.state != "done":
            waiting.append(dependency)
    return waiting


def failed_dependency(task: Task, lookup: Lookup) -> Task | None:
    """A dependency that ended without being done, if there is one."""
    for dependency in task.after:
        found = _find(dependency, lookup)
        if found is not None and found.ended and found.state != "done":
            return found
    return None


def public_state(task: Task, lookup: Lookup) -> str:
    """The state that people see: a pending task with open dependencies is ``blocked``."""
    return "blocked" if task.state == "pending" and waiting_for(task, lookup) else task.state


def _find(task_id: str, lookup: Lookup) -> Task | None:
    try:
        return lookup(task_id)
    except BadRecord:
        return None
