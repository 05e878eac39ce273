"""``sentinel cluster status``, ``health`` and ``metrics``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from sentinel.cli.context import Invocation, pass_invocation
from sentinel.cli.ending import plain
from sentinel.cli.output import (
    Columns,
    Output,
    moment,
    output_option,
    show_json,
    show_record,
    show_rows,
    worker_status,
)
from sentinel.errors import StoreError

if TYPE_CHECKING:
    from sentinel.client.fleetwide import Health
    from sentinel.fleet.health import Verdict
    from sentinel.fleet.metrics import Metrics

#: Exit status by verdict.
_STATUS = {"healthy": 0, "degraded": 1, "down": 5}


@click.command()
@output_option
@pass_invocation
def status(invocation: Invocation, output: Output) -> None:
    """Say in a few lines how the fleet is.

    Succeeds while it is healthy; fails with 1 when it is degraded (something critical, such as a worker that
    is silent) and with 5 when it is down (no worker beats, or the store cannot be reached).

    \b
    Examples:
      sentinel cluster status
      sentinel cluster status -o json
    """
    with _told_as_down(output):
        found = _health(invocation)
    document = _summary(found)
    if output == "json":
        show_json(document)
    else:
        show_record(document, _SUMMARY, output)
        _show_conditions(found)
    _end(found.verdict)


@click.command()
@output_option
@pass_invocation
def health(invocation: Invocation, output: Output) -> None:
    """List what is wrong, and the health of each worker. The exit status is that of `cluster status`.

    \b
    Examples:
      sentinel cluster health
      sentinel cluster health -o json
    """
    with _told_as_down(output):
        found = _health(invocation)
    workers = [_worker_health(worker) for worker in found.metrics.workers]
    if output == "json":
        show_json({"status": found.verdict, "conditions": found.documents(), "workers": workers})
    else:
        click.echo(f"status: {found.verdict}")
        _show_conditions(found)
        show_rows(workers, _HEALTH, output, wide=_HEALTH_WIDE)
    _end(found.verdict)


@click.command()
@output_option
@pass_invocation
def metrics(invocation: Invocation, output: Output) -> None:
    """Show the fleet in numbers: workers, capacity, tasks, locks, failovers.

    \b
    Examples:
      sentinel cluster metrics
      sentinel cluster metrics -o json
    """
    with invocation.client() as client:
        found = client.metrics()
    if output == "json":
        show_json(found.document())
        return
    show_record(_flat(found), {name: name for name in _flat(found)}, output)
    click.echo()
    show_rows(found.document()["workers"], _WORKERS, output, wide=_WORKERS_WIDE)


def _health(invocation: Invocation) -> Health:
    limits = invocation.limits()
    with invocation.client() as client:
        return client.health(limits)


@contextmanager
def _told_as_down(output: Output) -> Iterator[None]:
    """A store that cannot be reached is what ``down`` means: a script finds the status all the same."""
    try:
        yield
    except StoreError as error:
        if output == "json":
            show_json({"status": "down", "problem": str(error)})
        raise


def _end(verdict: Verdict) -> None:
    raise click.exceptions.Exit(_STATUS[verdict])


_SUMMARY: Columns = {
    "Status": "status",
    "Workers": lambda row: f"{row['healthy_workers']} of {row['expected_workers']} healthy",
    "Slots": lambda row: (
        f"{row['utilized_capacity']} of {row['total_capacity']} in use ({row['avg_utilization']:.0%})"
    ),
    "Queue": lambda row: f"{row['queue_length']} waiting, {row['blocked']} blocked, {row['running']} running",
    "Ended": lambda row: f"{row['done']} done, {row['failed']} failed, {row['dead']} dead",
    "Locks": lambda row: f"{row['locks_held']} held",
    "Failovers": "failovers",
}


def _summary(found: Health) -> dict[str, Any]:
    metrics = found.metrics
    states = metrics.tasks.by_state
    return {
        "status": found.verdict,
        "expected_workers": len(metrics.expected),
        "healthy_workers": len(metrics.healthy),
        "total_workers": len(metrics.workers),
        "total_capacity": metrics.capacity,
        "utilized_capacity": metrics.used,
        "avg_utilization": round(metrics.utilization, 4),
        "queue_length": metrics.tasks.queue_length,
        **{state: states[state] for state in ("blocked", "running", "done", "failed", "dead")},
        "locks_held": sum(lock.held for lock in metrics.locks),
        "failovers": metrics.failovers,
        "conditions": found.documents(),
    }


def _show_conditions(found: Health) -> None:
    for condition in found.conditions:
        since = found.since.get(condition.key)
        told = "" if since is None else f" (alert since {since[:19].replace('T', ' ')}Z)"
        click.echo(f"{condition.severity}: {plain(condition.message)}{told}")


_HEALTH: Columns = {
    "WORKER": "id",
    "HEALTHY": "healthy",
    "STATUS": worker_status,
    "LAST HEARTBEAT": moment("last_heartbeat"),
    "SILENT": lambda row: seconds(row["seconds_since_heartbeat"]),
    "PROBLEM": "problem",
}
_HEALTH_WIDE: Columns = {
    "UPTIME": lambda row: seconds(row["uptime_seconds"]),
    "CRASHES": "crashes",
    "CPU": lambda row: percent(row["cpu_percent"]),
    "MEMORY": lambda row: percent(row["memory_percent"]),
    "DISK": lambda row: percent(row["disk_percent"]),
    "CONNECTIONS": "connections",
}


def _worker_health(worker: Any) -> dict[str, Any]:
    names = (
        *("id", "healthy", "expected", "status", "last_heartbeat", "seconds_since_heartbeat"),
        *("uptime_seconds", "crashes", "cpu_percent", "memory_percent", "disk_percent", "connections"),
        *("cordoned", "problem"),
    )
    return {name: getattr(worker, name) for name in names}


_WORKERS: Columns = {
    "WORKER": "id",
    "STATUS": worker_status,
    "TASKS": lambda row: f"{row['active_tasks']}/{row['max_tasks']}",
    "DONE": "tasks_done",
    "FAILED": "tasks_failed",
    "SUCCESS": lambda row: percent(None if row["success_rate"] is None else row["success_rate"] * 100),
    "MEAN RUN": lambda row: seconds(row["mean_run_seconds"]),
    "LOST CLAIMS": "lost_claims",
    "CRASHES": "crashes",
}
_WORKERS_WIDE: Columns = {
    "CLAIMED": "claimed",
    "FAILOVERS": "failovers",
    "STALE RESULTS": "stale_results",
    "LOCKS": "locks_held",
    "STARTS": "starts",
    **{heading: column for heading, column in _HEALTH_WIDE.items() if heading != "CRASHES"},
    "REGION": "region",
    "ROLE": "role",
}


def _flat(found: Metrics) -> dict[str, Any]:
    """What the table shows of the whole fleet, a line each."""
    document = found.document()
    tasks, locks, claims = document["tasks"], document["locks"], document["claims"]
    return {
        "workers": f"{document['healthy_workers']} of {document['expected_workers']} healthy, "
        f"{document['total_workers']} registered",
        "slots": f"{document['utilized_capacity']} of {document['total_capacity']} in use "
        f"({document['avg_utilization']:.0%})",
        "tasks": _counted(tasks["by_state"]) or "none",
        "queue": _counted(tasks["queue_by_priority"]) or "empty",
        "oldest waiting": seconds(tasks["oldest_waiting_seconds"]),
        "mean run": seconds(tasks["mean_run_seconds"]),
        "mean response": seconds(tasks["mean_response_seconds"]),
        "success rate": percent(None if tasks["success_rate"] is None else tasks["success_rate"] * 100),
        "locks": f"{locks['held']} of {locks['total']} held, {locks['conflicts']} conflicts",
        "claims": f"{claims['claimed']} claimed, {claims['lost']} lost to another",
        "stale results": document["counts"]["stale_results"],
        "failovers": document["failovers"],
        "unreadable": document["unreadable_records"] or None,
    }


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def seconds(number: float | None) -> str | None:
    """A duration for people."""
    if number is None:
        return None
    if number < 100:
        return f"{number:.1f} s"
    if number < 6000:
        return f"{number / 60:.0f} min"
    return f"{number / 3600:.1f} h"


def percent(number: float | None) -> str | None:
    """A part of a hundred for people."""
    return None if number is None else f"{number:.0f}%"
