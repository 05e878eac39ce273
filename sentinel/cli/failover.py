"""``sentinel failover run``."""

from __future__ import annotations

import click

from sentinel.cli.context import Invocation, pass_invocation
from sentinel.cli.ending import plain
from sentinel.cli.lazy import LazyGroup
from sentinel.cli.output import Columns, Output, Row, dry_run_option, output_option, show_json, show_rows
from sentinel.cli.values import WAIT, an_id


@click.group(
    cls=LazyGroup,
    commands_at={"run": ("sentinel.cli.failover:run", "Take over for workers that are dead.")},
)
def failover() -> None:
    """Take over for dead workers by hand, where no other worker is there to do it.

    \b
    Examples:
      sentinel failover run --dry-run
    """


def _what(row: Row) -> str:
    match row["state"]:
        case "failed_over":
            return f"failed over: {row['ground']}"
        case "dead":
            return f"would be failed over: {row['ground']}"
        case "alive":
            return "beats"
    return f"cannot be told yet: dead if it stays silent for {row['needed']:.1f} s more"


_COLUMNS: Columns = {"WORKER": "worker", "RESULT": _what}
_WIDE: Columns = {"INCARNATION": "incarnation"}


@click.command()
@click.option("--worker", metavar="ID", type=an_id("worker id"), help="Only this worker.")
@click.option("--wait", metavar="SECONDS", type=WAIT, help="Look for at most so long.  [default: as needed]")
@dry_run_option
@output_option
@pass_invocation
def run(
    invocation: Invocation, *, worker: str | None, wait: float | None, dry_run: bool, output: Output
) -> None:
    """Fail over every worker that is dead, and free its tasks and locks. Workers do this by themselves.

    A worker is dead when its death is proven on this host, or when this machine has seen it silent for its
    whole stale threshold; earlier commands count. So this looks until it knows of every worker whether it
    beats; --dry-run looks once, and says how much longer it would take.

    \b
    Examples:
      sentinel failover run --dry-run
      sentinel failover run --worker worker-003
      sentinel failover run --wait 300 -o json
    """
    with invocation.client() as client:
        found = client.fail_over(worker, wait=wait, dry_run=dry_run)
    if output == "json":
        show_json(found.document())
        return
    rows = found.document()["workers"]
    if rows:
        show_rows(rows, _COLUMNS, output, wide=_WIDE)
    else:
        nobody = "no worker is live" if worker is None else f"worker {worker} is not live"
        click.echo(f"nothing would be failed over: {nobody}" if dry_run else nobody)
    for line in found.freed:
        click.echo(f"would {plain(line)}" if dry_run else plain(line))
