"""``sentinel tasks list``, ``show`` and ``why``."""

from __future__ import annotations

from typing import Any

import click

from sentinel.cli import task_rows
from sentinel.cli.context import Invocation, pass_invocation, warn_of_problems
from sentinel.cli.ending import plain
from sentinel.cli.output import Output, output_option, show_json, show_record, show_rows
from sentinel.cli.values import STATE_LIST, an_id
from sentinel.fleet.board import state_of, task_row
from sentinel.model.task import ENDED

#: How many workers `tasks why` shows on one screen.
_MOST_WORKERS = 12


@click.command("list")
@click.option("--state", "states", metavar="STATE,…", type=STATE_LIST, help="Only tasks in these states.")
@click.option("--type", "type", metavar="TYPE", type=an_id("task type"), help="Only tasks of this type.")
@click.option(
    "--worker", metavar="ID", type=an_id("worker id"), help="Only tasks that this worker owns or ended."
)
@output_option
@pass_invocation
def list_tasks(
    invocation: Invocation,
    states: tuple[str, ...] | None,
    type: str | None,
    worker: str | None,
    output: Output,
) -> None:
    """List tasks in all states, the oldest first.

    \b
    Examples:
      sentinel tasks list
      sentinel tasks list --state failed,dead -o wide
      sentinel tasks list --type word-count --worker worker-001 -o json
    """
    with invocation.client() as client:
        found = client.tasks(states, type, worker)
        view = client.view()
        if output == "json":
            rows = [task_rows.row(client, task, view) for task in found]
        else:
            rows = [task_row(task, view) for task in found]
        show_rows(rows, task_rows.COLUMNS, output, wide=task_rows.WIDE)
        # Ended tasks are many: those that were not asked for are not read to be counted.
        with_ended = states is None or not ENDED.isdisjoint(states)
        warn_of_problems(len(client.problems() if with_ended else view.problems))


@click.command()
@click.argument("id", type=an_id("task id"))
@output_option
@pass_invocation
def show(invocation: Invocation, id: str, output: Output) -> None:
    """Show the task ID with its history.

    \b
    Examples:
      sentinel tasks show build-42
      sentinel tasks show build-42 -o json
    """
    with invocation.client() as client:
        row = task_rows.document(client, client.get(id), client.view())
    show_record(row, task_rows.record_columns(wide=output == "wide"), output)
    if output != "json":
        click.echo("history:")
        for event in row["history"]:
            click.echo(f"  {_line(event)}")


@click.command()
@click.argument("id", type=an_id("task id"))
@output_option
@pass_invocation
def why(invocation: Invocation, id: str, output: Output) -> None:
    """Say why the task ID waits, where it runs, or how it ended: one reason.

    For a task that waits, each worker's own ground for not taking it follows.

    \b
    Examples:
      sentinel tasks why build-42
      sentinel tasks why build-42 -o json
    """
    with invocation.client() as client:
        task = client.get(id)
        reason = client.why(id)
        state = state_of(task, client.view())
    if output == "json":
        found: dict[str, Any] = {"id": id, "state": state, "code": reason.code, "reason": reason.text}
        found |= {"until": reason.until, "workers": [verdict.document() for verdict in reason.workers]}
        show_json(found)
        return
    click.echo(plain(f"{id} is {state}: {reason.text}"))
    shown = reason.workers if output == "wide" else reason.workers[:_MOST_WORKERS]
    for verdict in shown:
        click.echo(plain(f"  {verdict.worker}: {verdict.text}"))
    if len(shown) < len(reason.workers):
        click.echo(f"  and {len(reason.workers) - len(shown)} more workers; -o wide shows all")


def _line(event: dict[str, Any]) -> str:
    by = f" by {event['worker']}" if event["worker"] else ""
    note = f": {event['note']}" if event["note"] else ""
    at = f"{event['at'][:19].replace('T', ' ')}Z"
    return plain(f"{at}  {event['event']}{by} (epoch {event['epoch']}){note}")
