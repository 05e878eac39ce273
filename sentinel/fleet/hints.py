"""What coordinators want whom to take: hints, which claims decide on.

A hint is for a task as it was then: once somebody has claimed it, the epoch has moved on and the hint is
void.
"""

from __future__ import annotations

from sentinel.fleet.view import View


def hints(view: View) -> dict[str, str]:
    """Task id → worker id, for waiting tasks that a coordinator meant for a worker."""
    found: dict[str, str] = {}
    for worker in sorted(view.assignments):
        for task_id, epoch in view.assignments[worker].tasks.items():
            task = view.tasks.get(task_id)
            if task is not None and task.state == "pending" and task.epoch == epoch:
                found.setdefault(task_id, worker)
    return found
