"""``sentinel init``."""

from __future__ import annotations

from collections.abc import Iterator

import click

from sentinel.cli.context import Invocation, pass_invocation
from sentinel.cli.ending import plain
from sentinel.cli.output import dry_run_option


@click.command()
@click.option("--repo", metavar="OWNER/REPO", help="A repository on GitHub, for --store github://OWNER/REPO.")
@click.option("--yes", is_flag=True, help="Answer every question with yes; so far none is asked.")
@dry_run_option
@pass_invocation
def init(invocation: Invocation, repo: str | None, yes: bool, dry_run: bool) -> None:  # noqa: ARG001 - for scripts that say it already
    """Make the store that --store names, or do nothing where there is one.

    On GitHub that is the state branch, and with it labels and a form for tasks.

    \b
    Examples:
      sentinel init --store ./fleet.git
      sentinel init --store file:///srv/fleet.git --dry-run
      sentinel init --repo acme/fleet
    """
    if repo is not None and invocation.store_flag is not None:
        raise click.UsageError("give either --store or --repo")
    url = invocation.store_url() if repo is None else f"github://{repo}"
    for sentence in make(invocation, url, dry_run=dry_run):
        click.echo(plain(sentence))


def make(invocation: Invocation, url: str, *, dry_run: bool) -> Iterator[str]:
    """Make the store at ``url`` with all that belongs to it, and say what was done."""
    from sentinel.client.identity import default_actor
    from sentinel.fleet.access import furnish
    from sentinel.store.opener import StoreOptions, create_store

    settings = invocation.settings()
    options = StoreOptions(actor=default_actor(), fsync=settings.local.fsync)
    furnishing = furnish(url)
    # First of all: the first branch of an empty repository becomes its default one.
    done = [] if furnishing is None else furnishing(url, invocation.access(), dry_run=dry_run)
    yield from done
    made = create_store(url, options, dry_run=dry_run)
    yield from made
    if not made and not done:
        yield f"{url} is a store already; nothing to do."
    elif not dry_run:
        yield f"Start a worker with: sentinel worker start --store {url}"
