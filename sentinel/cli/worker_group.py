"""The group ``sentinel worker``."""

from __future__ import annotations

import click

from sentinel.cli.lazy import LazyGroup


@click.group(
    cls=LazyGroup,
    commands_at={"start": ("sentinel.cli.worker:start", "Start a worker and run tasks until it is stopped.")},
)
def worker() -> None:
    """Run a worker on this machine.

    \b
    Examples:
      sentinel worker start --store ./fleet.git
    """
