"""Shows on standard error how waited-for tasks come along, and how they ended."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from sentinel.cli.ending import plain
from sentinel.client.waiting import Changed
from sentinel.errors import TaskFailed
from sentinel.model.task import Task

if TYPE_CHECKING:
    from rich.status import Status

#: So many tasks are told of one by one; of more, only how many are in which state.
_ONE_BY_ONE = 5


@contextmanager
def progress(*, quiet: bool) -> Iterator[Changed | None]:
    """What to call with tasks that have changed: a moving line on a terminal, else a line for each change."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.text import Text

        with Console(stderr=True).status(Text("looking …")) as status:
            yield _on_terminal(status)
    else:
        yield _line_by_line()


def _on_terminal(status: Status) -> Changed:
    from rich.text import Text

    def changed(tasks: list[Task]) -> None:
        status.update(Text(plain(_summary(tasks))))

    return changed


def _line_by_line() -> Changed:
    said: dict[str, str] = {}

    def changed(tasks: list[Task]) -> None:
        lines = [_line(task) for task in tasks] if len(tasks) <= _ONE_BY_ONE else [_summary(tasks)]
        for place, line in enumerate(lines):
            if said.get(str(place)) != line:
                said[str(place)] = line
                click.echo(plain(line), err=True)

    return changed


def _summary(tasks: Sequence[Task]) -> str:
    if len(tasks) == 1:
        return _line(tasks[0])
    counts = Counter(task.state for task in tasks)
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))


def _line(task: Task) -> str:
    text = f"{task.id} {task.state}"
    if task.state == "running":
        return f"{text} on {task.owner} (attempt {task.attempt})"
    if task.state == "pending" and task.attempt:
        return f"{text} again (after attempt {task.attempt})"
    return text


def raise_unless_done(tasks: Sequence[Task]) -> None:
    """Raises `TaskFailed`, a sentence for each task that ended in another state than ``done``."""
    failed = [task for task in tasks if task.state != "done"]
    if failed:
        lines = [
            f"task {task.id} is {task.state}: {task.reason or 'no reason is recorded'}" for task in failed
        ]
        raise TaskFailed("\n".join(" ".join(line.split()) for line in lines))
