"""``sentinel workers list``, ``show`` and ``remove``."""

from __future__ import annotations

from typing import Any

import click

from sentinel.cli.context import Invocation, pass_invocation, warn_of_problems
from sentinel.cli.lazy import LazyGroup
from sentinel.cli.output import (
    Columns,
    Output,
    dry_run_option,
    moment,
    output_option,
    show_json,
    show_record,
    show_rows,
)
from sentinel.cli.values import an_id
from sentinel.cli.worker_filters import fits, worker_filters

_COLUMNS: Columns = {
    "ID": "id",
    "STATUS": "status",
    "TASKS": lambda row: f"{row['active_tasks']}/{row['max_tasks']}",
    "HOST": "hostname",
    "LAST HEARTBEAT": moment("last_heartbeat"),
}
_WIDE: Columns = {
    "REGION": "region",
    "LOAD": "load",
    "VERSION": "version",
    "TYPES": "types",
    "CAPABILITIES": "capabilities",
    "INCARNATION": "incarnation",
    "ENDPOINT": "endpoint",
    "PROBLEM": "problem",
}


@click.group(
    cls=LazyGroup,
    commands_at={
        "list": ("sentinel.cli.workers:list_workers", "List all registered workers."),
        "show": ("sentinel.cli.workers:show", "Show one worker."),
        "capacity": ("sentinel.cli.worker_capacity:capacity", "Show what each worker can take."),
        "remove": ("sentinel.cli.workers:remove", "Forget a worker that does not run any more."),
    },
)
def workers() -> None:
    """List, show and remove workers.

    \b
    Examples:
      sentinel workers list
      sentinel workers show worker-001 -o json
      sentinel workers remove worker-001
    """


@click.command("list")
@worker_filters
@output_option
@pass_invocation
def list_workers(invocation: Invocation, /, output: Output, **filters: Any) -> None:
    """List all registered workers, one row each, or those that fit every filter.

    \b
    Examples:
      sentinel workers list
      sentinel workers list --status online,busy --region eu-west-1
      sentinel workers list --free 2 --role follower -o json
    """
    with invocation.client() as client:
        rows = [row.document() for row in client.workers() if fits(row, **filters)]
        unreadable = len(client.view().problems)
    show_rows(rows, _COLUMNS, output, wide=_WIDE)
    warn_of_problems(unreadable)


@click.command()
@click.argument("id", type=an_id("worker id"))
@output_option
@pass_invocation
def show(invocation: Invocation, id: str, output: Output) -> None:
    """Show the worker ID.

    \b
    Examples:
      sentinel workers show worker-001
      sentinel workers show worker-001 -o json
    """
    with invocation.client() as client:
        row = client.worker(id).document()
    show_record(row, {**_COLUMNS, **_WIDE}, output)


@click.command()
@click.argument("id", type=an_id("worker id"))
@dry_run_option
@output_option
@pass_invocation
def remove(invocation: Invocation, id: str, dry_run: bool, output: Output) -> None:
    """Forget the worker ID. One that is live is refused: stop it first, or let it be failed over.

    \b
    Examples:
      sentinel workers remove worker-001
      sentinel workers remove worker-001 --dry-run
    """
    with invocation.client() as client:
        client.remove_worker(id, dry_run=dry_run)
    if output == "json":
        show_json({"id": id, "removed": not dry_run})
    else:
        click.echo(f"would remove worker {id}" if dry_run else f"removed worker {id}")
