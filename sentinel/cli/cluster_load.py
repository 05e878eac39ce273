"""``sentinel cluster load-distribution`` and ``rebalance``."""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any

import click

from sentinel.cli.context import Invocation, pass_invocation
from sentinel.cli.output import Columns, Output, dry_run_option, output_option, show_json, show_rows

_COLUMNS: Columns = {
    "WORKER": "id",
    "STATUS": "status",
    "TASKS": lambda row: f"{row['active_tasks']}/{row['max_tasks']}",
    "LOAD": lambda row: bar(row["load"]),
    "OF ALL TASKS": lambda row: f"{row['share']:.0%}",
    "OF ALL SLOTS": lambda row: f"{row['capacity_share']:.0%}",
    "FROM MEAN": lambda row: f"{row['deviation']:+.0%}",
}
_WIDE: Columns = {"SCORE": "load_score", "REGION": "region", "ROLE": "role", "TYPES": "types"}
#: Loads further apart than this are worth a remark.
_SPREAD = 0.5


@click.command("load-distribution")
@output_option
@pass_invocation
def load_distribution(invocation: Invocation, output: Output) -> None:
    """Show who carries how much: each worker's load, its share of all tasks and slots, and the spread.

    \b
    Examples:
      sentinel cluster load-distribution
      sentinel cluster load-distribution -o json
    """
    from sentinel.fleet.metrics import HEALTHY

    with invocation.client() as client:
        rows = [row.document() for row in client.workers() if row.status in HEALTHY]
        waiting = client.metrics().tasks.queue_length
    loads = [row["load"] for row in rows]
    mean = statistics.fmean(loads) if loads else 0.0
    active, slots = sum(row["active_tasks"] for row in rows), sum(row["max_tasks"] for row in rows)
    workers = [_shared(row, mean, active, slots) for row in rows]
    spread = max(loads) - min(loads) if loads else 0.0
    if output == "json":
        show_json(
            {
                "workers": workers,
                "mean_load": round(mean, 4),
                "min_load": min(loads, default=0.0),
                "max_load": max(loads, default=0.0),
                "spread": round(spread, 4),
                "deviation": round(statistics.pstdev(loads), 4) if loads else 0.0,
                "queue_length": waiting,
            }
        )
        return
    show_rows(workers, _COLUMNS, output, wide=_WIDE)
    click.echo(f"mean {mean:.0%}, spread {spread:.0%}, {waiting} waiting")
    if spread > _SPREAD and waiting:
        click.echo("some are full while others idle: `sentinel tasks why ID` tells what keeps a task away")


def _shared(row: dict[str, Any], mean: float, active: int, slots: int) -> dict[str, Any]:
    names = ("id", "status", "active_tasks", "max_tasks", "load", "load_score", "region", "role", "types")
    return {
        **{name: row[name] for name in names},
        "share": round(row["active_tasks"] / active, 4) if active else 0.0,
        "capacity_share": round(row["max_tasks"] / slots, 4) if slots else 0.0,
        "deviation": round(row["load"] - mean, 4),
    }


def bar(load: float, width: int = 10) -> str:
    """A load of 0 to 1 as a bar that every terminal can draw."""
    full = min(width, round(load * width))
    return f"[{'#' * full}{'.' * (width - full)}] {load:.0%}"


_MOVES: Columns = {"TASK": "task", "FROM": "before", "TO": "after"}


@click.command()
@dry_run_option
@output_option
@pass_invocation
def rebalance(invocation: Invocation, dry_run: bool, output: Output) -> None:
    """Move waiting tasks that are meant for overloaded workers to idle ones, now; running tasks never move.

    Coordinators and leaders do so by themselves every `rebalanceIntervalMs`. In the pattern peer_to_peer
    nothing is meant for anybody ahead: whoever has a slot free takes what waits.

    \b
    Examples:
      sentinel cluster rebalance --dry-run
      sentinel cluster rebalance -o json
    """
    chosen = invocation.settings().load_balancer
    with invocation.client() as client:
        moves = client.rebalance(chosen.pattern, chosen.group_by, dry_run=dry_run)
    rows = [dataclasses.asdict(move) for move in moves]
    if output == "json":
        show_json(rows)
    elif rows:
        show_rows(rows, _MOVES, output)
    elif chosen.pattern == "peer_to_peer":
        click.echo("nothing would move: among peers nothing is meant for anybody ahead")
    else:
        click.echo("nothing would move: nobody has more to do than slots while another idles")
