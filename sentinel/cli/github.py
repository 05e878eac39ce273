"""``sentinel github``: trying the connection, what is left of the limits, and setting up a repository."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import click

from sentinel.cli.context import Invocation, pass_invocation
from sentinel.cli.doctor import show_checks
from sentinel.cli.ending import plain
from sentinel.cli.lazy import LazyGroup
from sentinel.cli.output import Output, dry_run_option, output_option, show_rows


@click.group(
    cls=LazyGroup,
    commands_at={
        "test-connection": (
            "sentinel.cli.github:test_connection",
            "Try the credentials, each permission, and git.",
        ),
        "limits": ("sentinel.cli.github:limits", "Show the limits, and what is left of them."),
        "init": ("sentinel.cli.github:init", "Set up a repository: state branch, labels, a form for tasks."),
    },
)
def github() -> None:
    """Fleets on GitHub.

    \b
    Examples:
      sentinel github test-connection --store github://acme/fleet
      sentinel github limits --store github://acme/fleet
    """


@click.command("test-connection")
@output_option
@pass_invocation
def test_connection(invocation: Invocation, output: Output) -> None:
    """Try everything that a fleet needs of GitHub; what is missing comes with its fix. Changes nothing.

    Fails with 78 without usable credentials, and with 5 when GitHub cannot be reached or something is not
    allowed.

    \b
    Examples:
      sentinel github test-connection --store github://acme/fleet
      sentinel github test-connection --store github://acme/fleet -o json
    """
    from sentinel.fleet.access import examine

    url = invocation.store_url()
    show_checks(list(examine(url)(url, invocation.access())), output)


@click.command()
@output_option
@pass_invocation
def limits(invocation: Invocation, output: Output) -> None:
    """Show GitHub's limits: what this token has left of its hour, and what is published of the others.

    Asking is free of charge.

    \b
    Examples:
      sentinel github limits --store github://acme/fleet
      sentinel github limits --store github://acme/fleet -o json
    """
    from sentinel.fleet.access import limits as limits_of

    url = invocation.store_url()
    rows = [_row(dataclasses.asdict(limit)) for limit in limits_of(url)(url, invocation.access())]
    show_rows(
        rows,
        {
            "LIMIT": "name",
            "ALLOWED": lambda row: "no limit" if row["allowed"] is None else f"{row['allowed']:,.0f}",
            "LEFT": lambda row: "-" if row["left"] is None else f"{row['left']:,.0f}",
            "RESETS IN": lambda row: "-" if row["resets_in"] is None else f"{row['resets_in']:.0f} s",
            "UNIT": "unit",
        },
        output,
        wide={"KNOWN FROM": lambda row: "GitHub's answer" if row["told"] else "GitHub's documentation"},
    )


def _row(limit: dict[str, Any]) -> dict[str, Any]:
    allowed, used = limit["allowed"], limit["used"]
    known = None if math.isinf(allowed) else allowed
    return {**limit, "allowed": known, "left": None if used is None or known is None else known - used}


@click.command()
@dry_run_option
@pass_invocation
def init(invocation: Invocation, dry_run: bool) -> None:
    """Set up the repository that --store names: state branch, labels, a form for tasks. May be run again.

    \b
    Examples:
      sentinel github init --store github://acme/fleet
      sentinel github init --store github://acme/fleet --dry-run
    """
    from sentinel.cli.init import make

    for sentence in make(invocation, invocation.store_url(), dry_run=dry_run):
        click.echo(plain(sentence))
