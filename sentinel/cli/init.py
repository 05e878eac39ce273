"""``sentinel init``."""

from __future__ import annotations

import click

from sentinel.cli.context import Invocation, pass_invocation
from sentinel.cli.ending import plain
from sentinel.cli.output import dry_run_option
from sentinel.errors import BadInput


@click.command()
@click.option("--repo", metavar="OWNER/REPO", help="A repository on GitHub; not in this version.")
@click.option("--yes", is_flag=True, help="Answer every question with yes; a local store asks none.")
@dry_run_option
@pass_invocation
def init(invocation: Invocation, repo: str | None, yes: bool, dry_run: bool) -> None:  # noqa: ARG001 - GitHub asks
    """Make the store that --store names, or do nothing where there is one.

    \b
    Examples:
      sentinel init --store ./fleet.git
      sentinel init --store file:///srv/fleet.git --dry-run
    """
    from sentinel.client.identity import default_actor
    from sentinel.store.opener import StoreOptions, create_store

    if repo is not None:
        raise BadInput("--repo needs the GitHub store, which this version does not have; use --store PATH")
    url = invocation.store_url()
    settings = invocation.settings()
    options = StoreOptions(actor=default_actor(), fsync=settings.local.fsync)
    done = create_store(url, options, dry_run=dry_run)
    for sentence in done:
        click.echo(plain(sentence))
    if not done:
        click.echo(plain(f"{url} is a store already; nothing to do."))
    elif not dry_run:
        click.echo(plain(f"Start a worker with: sentinel worker start --store {url}"))
