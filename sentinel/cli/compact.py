"""``sentinel compact``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sentinel.cli.context import Invocation, pass_invocation
from sentinel.cli.output import dry_run_option
from sentinel.errors import BadInput, Conflict
from sentinel.fleet.view import View

if TYPE_CHECKING:
    # Git is not loaded for whoever only asks for help.
    from sentinel.store.upkeep import Size


@click.command()
@click.option(
    "--keep",
    metavar="N",
    type=click.IntRange(min=1),
    default=1_000,
    show_default=True,
    help="Newest commits of the history that stay.",
)
@dry_run_option
@pass_invocation
def compact(invocation: Invocation, keep: int, dry_run: bool) -> None:
    """Make a local store as small as it can be, while no worker runs.

    Workers do this by themselves in small steps. This packs all objects at once and lets the history, which
    is the audit, begin at the N newest commits. Tasks, results and everything else that is stored stays.

    \b
    Examples:
      sentinel compact --store ./fleet.git --dry-run
      sentinel compact --store ./fleet.git --keep 100
    """
    import pygit2

    from sentinel.store import upkeep
    from sentinel.store.opener import kind_of, scheme_of
    from sentinel.store.repository import path_of_url

    url = invocation.store_url()
    if kind_of(url) != "local":
        raise BadInput(f"a store of kind {scheme_of(url)} is kept small by its server; compact it there")
    with invocation.client() as client:
        _refuse_while_live(client.view())
    path = path_of_url(url)
    with upkeep.alone(path) as turn:
        if turn is None:
            raise Conflict(f"{path} is being tidied up by somebody else now; try again when that is done")
        before = upkeep.size(path)
        beginning, older = upkeep.beginning_by_number(pygit2.Repository(str(path)), keep)
        if dry_run:
            click.echo(
                f"Would let go {older:,} of {before.commits:,} commits and pack {path}: {_told(before)}."
            )
            return
        upkeep.compact(path, beginning)
        turn.over(path)
        after = upkeep.size(path)
    click.echo(f"Let go {older:,} of {before.commits:,} commits and packed {path}.")
    click.echo(f"Before: {_told(before)}. Now: {_told(after)}.")
    if older:
        click.echo("What only they held goes with the next time, a day from now at the earliest.")


def _refuse_while_live(view: View) -> None:
    holders = sorted(record.worker for record in view.incarnations.values()) or sorted(view.living)
    if view.living:
        raise Conflict(
            f"{', '.join(holders[:5])} would be disturbed; stop every worker first, or wait until what is "
            "dead was failed over (`sentinel workers list` shows them)"
        )


def _told(size: Size) -> str:
    return (
        f"{size.loose + size.packed:,} objects in {size.loose:,} files and {size.packs:,} packs, "
        f"{size.kilobytes:,} KB"
    )
