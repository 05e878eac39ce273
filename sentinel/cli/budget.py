"""``sentinel budget``: what a fleet on GitHub will send, before there is one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from sentinel.cli.context import Invocation, pass_invocation
from sentinel.cli.output import Output, output_option, show_json, show_rows
from sentinel.cli.values import PER_HOUR

if TYPE_CHECKING:
    from sentinel.fleet.pacing import Forecast

#: Stands for a repository that nobody has named yet.
_SOMEWHERE = "github://owner/repo"
#: Seconds that one request takes, about.
ROUND_TRIP = 0.5


@click.command()
@click.option(
    "--workers",
    type=click.IntRange(1, 100_000),
    default=3,
    show_default=True,
    metavar="N",
    help="Workers in the fleet.",
)
@click.option(
    "--tasks-per-hour",
    type=PER_HOUR,
    default=0.0,
    show_default=True,
    metavar="T",
    help="Tasks that come in from issues.",
)
@output_option
@pass_invocation
def budget(invocation: Invocation, workers: int, tasks_per_hour: float, output: Output) -> None:
    """Predict what a fleet on GitHub sends, and how its heartbeats stretch to stay within the limits.

    Nothing is asked of anybody. Without a store on GitHub, the answer is for github://.

    \b
    Examples:
      sentinel budget --workers 10
      sentinel budget --workers 5 --tasks-per-hour 200 --store github+api://acme/fleet
      sentinel budget --workers 30 -o json
    """
    found = forecast(invocation, workers, tasks_per_hour)
    if output == "json":
        show_json(document(found))
        return
    rows = [row for row in document(found)["limits"] if row["predicted"] or output == "wide"]
    show_rows(
        rows,
        {
            "LIMIT": "name",
            "PREDICTED": lambda row: _short(row["predicted"]),
            "ALLOWED": lambda row: _short(row["allowed"]),
            "SHARE": lambda row: "-" if row["share"] is None else f"{row['share']:.0%}",
        },
        "table",
    )
    click.echo()
    click.echo(sentence(found))


def forecast(invocation: Invocation, workers: int, tasks_an_hour: float) -> Forecast:
    """The forecast for the configured store, or for ``github://`` where that has no limits."""
    url = invocation.settings().store
    found = (invocation.budget(url) if url else None) or invocation.budget(_SOMEWHERE)
    assert found is not None
    return found.forecast(workers, tasks_an_hour)


def sentence(found: Forecast) -> str:
    """What follows for heartbeats and takeovers, for people."""
    times = found.rhythm.times
    turns = "" if found.rhythm.push is None else f", a push of its own every {found.rhythm.push.every:.0f} s"
    fleet = "1 worker" if found.workers == 1 else f"{found.workers} workers"
    looks = f"a look every {found.rhythm.poll:.0f} s"
    return (
        f"Each of {fleet}: a beat every {times.interval:.0f} s, {looks}{turns}. "
        f"One is dead after {times.stale:.0f} s of silence; what it ran is free again within "
        f"{found.bound(ROUND_TRIP):.0f} s."
    )


def document(found: Forecast) -> dict[str, Any]:
    """The forecast as JSON."""
    times, push = found.rhythm.times, found.rhythm.push
    figures = {
        "pushes a minute": (found.pushes_a_minute, "pushes_a_minute"),
        "git reads a second": (found.reads_a_second, "reads_a_second"),
        "requests an hour": (found.requests_an_hour, "requests_an_hour"),
        "points a minute": (found.points_a_minute, "points_a_minute"),
        "content an hour": (found.contents_an_hour, "contents_an_hour"),
    }
    limits = []
    for name, (predicted, limit) in figures.items():
        allowed = found.limits[limit]
        limits.append(
            {
                "name": name,
                "predicted": round(predicted, 3),
                "allowed": None if math.isinf(allowed) else allowed,
                "share": None if math.isinf(allowed) else round(predicted / allowed, 4),
            }
        )
    return {
        "kind": found.kind,
        "workers": found.workers,
        "tasks_per_hour": found.tasks_an_hour,
        "interval": round(times.interval, 3),
        "ttl": round(times.stale, 3),
        "poll": round(found.rhythm.poll, 3),
        "push_every": None if push is None else round(push.every, 3),
        "takeover_bound": round(found.bound(ROUND_TRIP), 1),
        "limits": limits,
    }


def _short(value: float | None) -> str:
    if value is None:
        return "no limit"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
