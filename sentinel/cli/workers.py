"""``sentinel workers list``, ``show``, ``cordon``, ``uncordon``, ``drain`` and ``remove``."""

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
    worker_status,
)
from sentinel.cli.values import DURATION, an_id
from sentinel.cli.worker_filters import fits, worker_filters

_COLUMNS: Columns = {
    "ID": "id",
    "STATUS": worker_status,
    "TASKS": lambda row: f"{row['active_tasks']}/{row['max_tasks']}",
    "HOST": "hostname",
    "LAST HEARTBEAT": moment("last_heartbeat"),
}
_WIDE: Columns = {
    "REGION": "region",
    "ROLE": "role",
    "LOAD": "load",
    "SCORE": "load_score",
    "CORES": "cpu_cores",
    "MEMORY MB": "memory_mb",
    "VERSION": "version",
    "TYPES": "types",
    "UNIMPLEMENTED": "unimplemented",
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
        "cordon": ("sentinel.cli.workers:cordon", "Let a worker take nothing new."),
        "uncordon": ("sentinel.cli.workers:uncordon", "Let a worker take tasks again."),
        "drain": ("sentinel.cli.workers:drain", "Let a worker end its work and leave."),
        "remove": ("sentinel.cli.workers:remove", "Forget a worker that does not run any more."),
    },
)
def workers() -> None:
    """List, show, cordon, drain and remove workers.

    \b
    Examples:
      sentinel workers list
      sentinel workers show worker-001 -o json
      sentinel workers drain worker-001 --deadline 10m --wait
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
      sentinel workers list --free --role follower -o json
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
def cordon(invocation: Invocation, id: str, dry_run: bool, output: Output) -> None:
    """Let the worker ID take nothing new, through restarts, until it is uncordoned. What it runs goes on.

    \b
    Examples:
      sentinel workers cordon worker-001
    """
    with invocation.client() as client:
        client.cordon_worker(id, dry_run=dry_run)
    _say(output, dry_run, f"cordoned worker {id}", f"would cordon worker {id}", id=id, cordoned=not dry_run)


@click.command()
@click.argument("id", type=an_id("worker id"))
@dry_run_option
@output_option
@pass_invocation
def uncordon(invocation: Invocation, id: str, dry_run: bool, output: Output) -> None:
    """Let the worker ID take tasks again.

    \b
    Examples:
      sentinel workers uncordon worker-001
    """
    with invocation.client() as client:
        client.uncordon_worker(id, dry_run=dry_run)
    done, would = f"uncordoned worker {id}", f"would uncordon worker {id}"
    _say(output, dry_run, done, would, id=id, uncordoned=not dry_run)


@click.command()
@click.argument("id", type=an_id("worker id"))
@click.option(
    "--deadline",
    type=DURATION,
    metavar="TIME",
    help="Hand back what still runs after this time, such as 10m; unless given, wait for it.",
)
@click.option("--wait", is_flag=True, help="Wait until it has left.")
@dry_run_option
@output_option
@pass_invocation
def drain(
    invocation: Invocation, id: str, deadline: float | None, wait: bool, dry_run: bool, output: Output
) -> None:
    """Let the worker ID end its work and leave: its daemon stops, as after SIGTERM.

    It stays cordoned, so that one that is started again takes nothing until it is uncordoned.

    \b
    Examples:
      sentinel workers drain worker-001
      sentinel workers drain worker-001 --deadline 10m --wait
    """
    with invocation.client() as client:
        leaving = client.drain_worker(id, deadline or 0.0, dry_run=dry_run)
        gone = leaving is None
        if wait and leaving is not None and not dry_run:
            client.wait_until_gone(leaving)
            gone = True
    done = f"worker {id} has left" if gone else f"worker {id} is draining"
    _say(output, dry_run, done, f"would drain worker {id}", id=id, draining=not (gone or dry_run), gone=gone)


def _say(output: Output, dry_run: bool, done: str, would: str, **document: object) -> None:
    if output == "json":
        show_json(dict(document))
    else:
        click.echo(would if dry_run else done)


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
