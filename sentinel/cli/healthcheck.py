"""``sentinel healthcheck``."""

from __future__ import annotations

import socket

import click

from sentinel.cli.context import Invocation, pass_invocation
from sentinel.cli.output import Output, output_option, show_json
from sentinel.cli.values import an_id
from sentinel.client import Client
from sentinel.errors import SentinelError
from sentinel.fleet.board import WorkerRow
from sentinel.fleet.metrics import HEALTHY


@click.command()
@click.option(
    "--worker", metavar="ID", type=an_id("worker id"), help="This worker, not the one of this host."
)
@output_option
@pass_invocation
def healthcheck(invocation: Invocation, worker: str | None, output: Output) -> None:
    """Succeed if a worker beats: the one given, the configured one, or any of this host. For containers.

    \b
    Examples:
      sentinel healthcheck --store /srv/fleet.git
      sentinel healthcheck --worker worker-001
    """
    settings = invocation.settings()
    with invocation.client() as client:
        found = _rows(client, worker or settings.worker.id, settings.worker.hostname or socket.gethostname())
    best = next((row for row in found if row.status in HEALTHY), found[0])
    if output == "json":
        show_json(best.document())
    elif best.status in HEALTHY:
        click.echo(f"{best.id} is {best.status}, last heartbeat {best.last_heartbeat or 'to come'}")
    if best.status not in HEALTHY:
        raise SentinelError(
            f"worker {best.id} is {best.status}{_because(best)}; see its log, and start it again with "
            "`sentinel worker start`"
        )


def _because(row: WorkerRow) -> str:
    if row.status == "offline":
        # Its session went with it, so when it last beat is not known any more.
        return ": it left, or was failed over"
    if row.problem is not None:
        return f": {row.problem}"
    return f", last heartbeat {row.last_heartbeat or 'never: it has joined, and not beaten since'}"


def _rows(client: Client, worker: str | None, hostname: str) -> list[WorkerRow]:
    if worker is not None:
        return [client.worker(worker)]
    found = [row for row in client.workers() if row.hostname == hostname]
    if not found:
        raise SentinelError(f"no worker of this host ({hostname}) is registered; name one with --worker")
    return found
