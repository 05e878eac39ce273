"""The group ``sentinel cluster``."""

from __future__ import annotations

import click

from sentinel.cli.lazy import LazyGroup


@click.group(
    cls=LazyGroup,
    commands_at={
        "status": ("sentinel.cli.cluster_status:status", "Say in a few lines how the fleet is."),
        "health": ("sentinel.cli.cluster_status:health", "List what is wrong, and each worker's health."),
        "metrics": ("sentinel.cli.cluster_status:metrics", "Show the fleet in numbers."),
        "load-distribution": ("sentinel.cli.cluster_load:load_distribution", "Show who carries how much."),
        "top": ("sentinel.cli.cluster_top:top", "Watch the fleet on a live board."),
        "rebalance": ("sentinel.cli.cluster_load:rebalance", "Move waiting tasks to idle workers."),
        "autoscale": ("sentinel.cli.cluster_scale:autoscale", "Start and drain workers as the load asks."),
        "events": ("sentinel.cli.cluster_events:events", "Show what happened, from the audit."),
    },
)
def cluster() -> None:
    """See how the whole fleet is and what it does.

    \b
    Examples:
      sentinel cluster status
      sentinel cluster top
      sentinel cluster events -f
    """
