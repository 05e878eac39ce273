"""``sentinel cluster events``."""

from __future__ import annotations

import json

import click

from sentinel.cli.context import Invocation, pass_invocation
from sentinel.cli.ending import plain
from sentinel.cli.output import Columns, Output, moment, output_option, show_rows
from sentinel.cli.values import an_id
from sentinel.errors import BadInput
from sentinel.fleet.events import KINDS, SHOWN, Event
from sentinel.fleet.submission import nearest

_COLUMNS: Columns = {"TIME": moment("at"), "KIND": "kind", "EVENT": "text"}
_WIDE: Columns = {"BY": "by", "REVISION": "revision"}


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens from now on.")
@click.option(
    "-n",
    "--limit",
    metavar="N",
    type=click.IntRange(0, 100_000),
    default=100,
    show_default=True,
    help="The newest so many commits.",
)
@click.option("--kind", metavar="KIND,..", help=f"Only these: {', '.join(KINDS)}.")
@click.option("--worker", metavar="ID", type=an_id("worker id"), help="Only what names this worker.")
@output_option
@pass_invocation
def events(
    invocation: Invocation, *, follow: bool, limit: int, kind: str | None, worker: str | None, output: Output
) -> None:
    """Show what happened, oldest first, from the audit that every change of the fleet's state leaves.

    With --follow and -o json each event is one line.

    \b
    Examples:
      sentinel cluster events
      sentinel cluster events -f --kind failover,alert,scaling
      sentinel cluster events -n 1000 --worker worker-001 -o json
    """
    kinds = _kinds(kind)

    def wanted(event: Event) -> bool:
        return event.kind in kinds and (worker is None or worker in _words(event.text))

    with invocation.client() as client:
        if not follow:
            rows = [event.document() for event in client.events(limit) if wanted(event)]
            show_rows(rows, _COLUMNS, output, wide=_WIDE)
            return
        for event in filter(wanted, client.follow_events(limit)):
            if output == "json":
                click.echo(json.dumps(event.document(), ensure_ascii=False))
            else:
                at = moment("at")(event.document()) or "-"
                tail = f"  ({event.by or '-'}, {event.revision[:12]})" if output == "wide" else ""
                click.echo(f"{at:<20}  {event.kind:<8}  {plain(event.text)}{tail}")


def _kinds(text: str | None) -> frozenset[str]:
    if text is None:
        return frozenset(SHOWN)
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in KINDS:
            known = f"the nearest is {nearest(name, KINDS)}, all are {', '.join(KINDS)}"
            raise BadInput(f"kind {name[:40]!a} is not valid: {known}")
    return frozenset(names)


def _words(text: str) -> set[str]:
    return {word.strip("(),:;") for word in text.split()}
