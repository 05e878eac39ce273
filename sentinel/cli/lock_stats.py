"""``sentinel locks stats`` and ``distribution``."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from sentinel.cli.context import Invocation, pass_invocation
from sentinel.cli.output import Columns, Output, Row, output_option, show_json, show_rows

_METRICS = {
    "conflicts": "CONFLICTS",
    "refused": "REFUSED",
    "acquisitions": "ACQUIRED",
    "conflict_rate": "CONFLICT RATE",
}


def _rate(row: Row) -> str | None:
    return None if row["conflict_rate"] is None else f"{row['conflict_rate']:.1%}"


_COLUMNS: Columns = {
    "NAME": "name",
    "HELD": "held",
    "ACQUIRED": "acquisitions",
    "CONFLICTS": "conflicts",
    "REFUSED": "refused",
    "CONFLICT RATE": _rate,
}
_WIDE: Columns = {"HOLDER": "holder"}


@click.command()
@click.option("--metric", type=click.Choice(list(_METRICS)), help="Only this number, the largest first.")
@output_option
@pass_invocation
def stats(invocation: Invocation, metric: str | None, output: Output) -> None:
    """Show how often locks were wanted while another held them, and how often claims of tasks collided.

    A conflict is an acquisition that met a holder, once however long it waited; it was refused if it gave up.

    \b
    Examples:
      sentinel locks stats
      sentinel locks stats --metric conflicts
      sentinel locks stats -o json
    """
    with invocation.client() as client:
        locks = [lock.document() for lock in client.lock_metrics()]
        claims = client.metrics().document()["claims"]
    if metric is not None:
        locks.sort(key=lambda row: (-row[metric], row["name"]))
    if output == "json":
        show_json({"locks": locks, "claims": claims})
        return
    columns = _COLUMNS
    if metric is not None:
        columns = {"NAME": "name", _METRICS[metric]: _COLUMNS[_METRICS[metric]]}
    show_rows(locks, columns, output, wide=_WIDE)
    rate = claims["conflict_rate"]
    collided = "" if rate is None else f" ({rate:.1%})"
    click.echo(f"tasks: {claims['claimed']} claimed, {claims['lost']} lost to another worker{collided}")


_DISTRIBUTION: Columns = {
    "HOLDER": "holder",
    "LOCKS": "locks",
    "TASKS": "tasks",
    "OF ALL": lambda row: f"{row['share']:.0%}",
    "NAMES": "names",
}


@click.command()
@output_option
@pass_invocation
def distribution(invocation: Invocation, output: Output) -> None:
    """Show who holds how much: named locks, and the leases of the tasks that run.

    \b
    Examples:
      sentinel locks distribution
      sentinel locks distribution -o json
    """
    with invocation.client() as client:
        view = client.view()
    names: dict[str, list[str]] = {}
    for lock in sorted(view.locks.values(), key=lambda lock: lock.name):
        if lock.held:
            incarnation = view.incarnations.get(lock.incarnation or "")
            holder = incarnation.worker if incarnation is not None else lock.holder or ""
            names.setdefault(holder, []).append(lock.name)
    tasks = Counter(task.owner or "" for task in view.tasks.values() if task.state == "running")
    everything = sum(map(len, names.values())) + tasks.total()
    holders = sorted({*view.workers, *names, *tasks})
    rows: list[dict[str, Any]] = []
    for holder in holders:
        held = len(names.get(holder, [])) + tasks[holder]
        rows.append(
            {
                "holder": holder,
                "worker": holder in view.workers,
                "locks": len(names.get(holder, [])),
                "tasks": tasks[holder],
                "share": round(held / everything, 4) if everything else 0.0,
                "names": names.get(holder, []),
            }
        )
    show_rows(rows, _DISTRIBUTION, output)
