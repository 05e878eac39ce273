"""``sentinel workers capacity``."""

from __future__ import annotations

from typing import Any

import click

from sentinel.cli.context import Invocation, pass_invocation
from sentinel.cli.output import Columns, Output, output_option, show_rows, worker_status
from sentinel.cli.worker_filters import fits, free_slots, worker_filters
from sentinel.fleet.board import WorkerRow

_COLUMNS: Columns = {
    "WORKER": "id",
    "STATUS": worker_status,
    "SLOTS": "max_tasks",
    "ACTIVE": "active_tasks",
    "FREE": "free",
    "LOAD": lambda row: f"{row['load']:.0%}",
    "CORES": lambda row: row["cpu_cores"] or None,
    "MEMORY": lambda row: f"{row['memory_mb']} MiB" if row["memory_mb"] else None,
    "REGION": "region",
}
_WIDE: Columns = {"ROLE": "role", "SCORE": "load_score", "TYPES": "types", "CAPABILITIES": "capabilities"}
_TAKES = ("online", "busy")


@click.command()
@worker_filters
@output_option
@pass_invocation
def capacity(invocation: Invocation, /, output: Output, **filters: Any) -> None:
    """Show what each worker can take: its slots, those in use and free, and the size of its machine.

    The filters are those of `workers list`. A worker that takes nothing new has no slot free.

    \b
    Examples:
      sentinel workers capacity
      sentinel workers capacity --region eu-west-1 -o json
    """
    with invocation.client() as client:
        rows = [_row(row) for row in client.workers() if fits(row, **filters)]
    show_rows(rows, _COLUMNS, output, wide=_WIDE)
    if output != "json":
        takes = [row for row in rows if row["status"] in _TAKES]
        slots, free = sum(row["max_tasks"] for row in takes), sum(row["free"] for row in takes)
        whose = "1 worker that takes tasks" if len(takes) == 1 else f"{len(takes)} workers that take tasks"
        click.echo(f"{free} of {slots} slots free on {whose}")


def _row(row: WorkerRow) -> dict[str, Any]:
    names = (
        *("id", "status", "max_tasks", "active_tasks", "load", "load_score", "cpu_cores", "memory_mb"),
        *("cordoned", "region", "role", "types", "capabilities"),
    )
    document = row.document()
    return {
        **{name: document[name] for name in names},
        "free": free_slots(row) if row.status in _TAKES else 0,
    }
