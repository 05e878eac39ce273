"""``sentinel locks list``, ``show``, ``acquire``, ``renew`` and ``release``."""

from __future__ import annotations

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
from sentinel.cli.values import EPOCH, TTL, WAIT, an_id
from sentinel.fleet.board import lock_row

_COLUMNS: Columns = {
    "NAME": "name",
    "STATE": "state",
    "HOLDER": "holder",
    "EPOCH": "epoch",
    "TTL": "ttl",
    "ACQUIRED": moment("acquired_at"),
}
_WIDE: Columns = {
    "KIND": "kind",
    "RENEWED": moment("renewed_at"),
    "WORKER": "worker",
    "INCARNATION": "incarnation",
}


@click.group(
    cls=LazyGroup,
    commands_at={
        "list": ("sentinel.cli.locks:list_locks", "List all named locks."),
        "show": ("sentinel.cli.locks:show", "Show one lock."),
        "acquire": ("sentinel.cli.locks:acquire", "Take a lock and print its epoch."),
        "renew": ("sentinel.cli.locks:renew", "Start the time of a lock anew."),
        "release": ("sentinel.cli.locks:release", "Free a lock."),
        "stats": ("sentinel.cli.lock_stats:stats", "Show how often locks were wanted and not free."),
        "distribution": ("sentinel.cli.lock_stats:distribution", "Show who holds how many locks."),
        "run": ("sentinel.cli.lock_run:run", "Run a command while holding a lock."),
    },
)
def locks() -> None:
    """Take, keep and free named locks.

    \b
    Examples:
      sentinel locks run deploy -- ./deploy.sh
      sentinel locks acquire deploy --ttl 600 --wait 30
      sentinel locks release deploy --epoch 7
    """


@click.command("list")
@click.option("--worker", metavar="ID", type=an_id("worker id"), help="Only locks that this worker holds.")
@output_option
@pass_invocation
def list_locks(invocation: Invocation, worker: str | None, output: Output) -> None:
    """List all named locks, held and free.

    \b
    Examples:
      sentinel locks list
      sentinel locks list --worker worker-001 -o json
    """
    with invocation.client() as client:
        view = client.view()
        rows = [lock_row(lock, view) for lock in client.locks()]
        unreadable = len(client.view().problems)
    if worker is not None:
        rows = [row for row in rows if row["worker"] == worker]
    show_rows(rows, _COLUMNS, output, wide=_WIDE)
    warn_of_problems(unreadable)


@click.command()
@click.argument("name", type=an_id("lock name"))
@output_option
@pass_invocation
def show(invocation: Invocation, name: str, output: Output) -> None:
    """Show the lock NAME.

    \b
    Examples:
      sentinel locks show deploy
      sentinel locks show deploy -o json
    """
    with invocation.client() as client:
        row = lock_row(client.lock(name), client.view())
    show_record(row, {**_COLUMNS, **_WIDE}, output)


@click.command()
@click.argument("name", type=an_id("lock name"))
@click.option("--ttl", metavar="SECONDS", type=TTL, help="Its life without renewal.  [default: locking.ttl]")
@click.option(
    "--wait",
    metavar="SECONDS",
    type=WAIT,
    help="How long to wait for it.  [default: locking.retry_attempts × locking.retry_delay]",
)
@dry_run_option
@output_option
@pass_invocation
def acquire(
    invocation: Invocation, name: str, ttl: float | None, wait: float | None, dry_run: bool, output: Output
) -> None:
    """Take the lock NAME and print its epoch, which renews and releases it.

    No process stands behind it: it is free again when it was not renewed for its ttl. To hold a lock while
    a command runs, use `sentinel locks run`.

    \b
    Examples:
      sentinel locks acquire deploy
      sentinel locks acquire deploy --ttl 600 --wait 30 -o json
    """
    with invocation.client() as client:
        locking = invocation.settings().locking
        seconds = ttl if ttl is not None else locking.ttl
        patience = wait if wait is not None else locking.patience
        lock = client.acquire_lock(name, seconds, patience, dry_run=dry_run)
        if output == "json":
            show_json(lock_row(lock, client.view()))
            return
    click.echo(f"would take {name} at epoch {lock.epoch}" if dry_run else lock.epoch)


@click.command()
@click.argument("name", type=an_id("lock name"))
@click.option("--epoch", metavar="N", type=EPOCH, required=True, help="The epoch that acquire printed.")
@click.option("--ttl", metavar="SECONDS", type=TTL, help="A new ttl; without it the old one stays.")
@dry_run_option
@output_option
@pass_invocation
def renew(
    invocation: Invocation, name: str, epoch: int, ttl: float | None, dry_run: bool, output: Output
) -> None:
    """Start the time of the lock NAME anew, if it is still held at that epoch.

    \b
    Examples:
      sentinel locks renew deploy --epoch 7
      sentinel locks renew deploy --epoch 7 --ttl 600
    """
    with invocation.client() as client:
        lock = client.renew_lock(name, epoch, ttl, dry_run=dry_run)
        if output == "json":
            show_json(lock_row(lock, client.view()))
            return
    verb = "would renew" if dry_run else "renewed"
    click.echo(f"{verb} {name} at epoch {epoch} for {lock.ttl:g} s")


@click.command()
@click.argument("name", type=an_id("lock name"))
@click.option("--epoch", metavar="N", type=EPOCH, help="The epoch that acquire printed.")
@click.option("--force", is_flag=True, help="Free it whoever holds it.")
@dry_run_option
@output_option
@pass_invocation
def release(
    invocation: Invocation, name: str, epoch: int | None, force: bool, dry_run: bool, output: Output
) -> None:
    """Free the lock NAME, held at --epoch N, or by anyone with --force.

    \b
    Examples:
      sentinel locks release deploy --epoch 7
      sentinel locks release deploy --force
    """
    if (epoch is None) != force:
        raise click.UsageError("give either --epoch N or --force")
    with invocation.client() as client:
        lock = client.release_lock(name, epoch, force=force, dry_run=dry_run)
        if output == "json":
            show_json(lock_row(lock, client.view()))
            return
    click.echo(f"would release {name}" if dry_run else f"released {name}")
