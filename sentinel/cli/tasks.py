"""The group ``sentinel tasks``."""

from __future__ import annotations

import click

from sentinel.cli.lazy import LazyGroup


@click.group(
    cls=LazyGroup,
    commands_at={
        "submit": ("sentinel.cli.task_submit:submit", "Hand in a task."),
        "list": ("sentinel.cli.task_read:list_tasks", "List tasks, the oldest first."),
        "show": ("sentinel.cli.task_read:show", "Show one task with its history."),
        "why": ("sentinel.cli.task_read:why", "Say why a task is where it is."),
        "logs": ("sentinel.cli.task_logs:logs", "Print what a task wrote."),
        "wait": ("sentinel.cli.task_change:wait", "Wait until tasks have ended."),
        "cancel": ("sentinel.cli.task_change:cancel", "Cancel a task that waits or runs."),
        "approve": ("sentinel.cli.task_change:approve", "Let a task from an issue run."),
        "retry": ("sentinel.cli.task_change:retry", "Run a failed, cancelled or dead task once more."),
    },
)
def tasks() -> None:
    """Submit tasks, follow them, and read what they gave.

    \b
    Examples:
      sentinel tasks submit shell --id hello --wait -- echo hello
      sentinel tasks list --state pending,running
      sentinel tasks logs hello
    """
