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

_BEATING = ("online", "busy", "draining")


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
    best = next((row for row in found if row.status in _BEATING), found[0])
    if output == "json":
        show_json(best.document())
    elif best.status in _BEATING:
        click.echo(f"{best.id} is {best.status}, last heartbeat {best.last_heartbeat or 'to come'}")
    if best.status not in _BEATING:
        raise SentinelError(
            f"worker {best.id} is {best.status}, last heartbeat {best.last_heartbeat or 'never'}; see its "
            "log, and start it again with `sentinel worker start`"
        )


def _rows(client: Client, worker: str | None, hostname: str) -> list[WorkerRow]:
    if worker is not None:
        return [client.worker(worker)]
    found = [row for row in client.workers() if row.hostname == hostname]
    if not found:
        raise SentinelError(f"no worker of this host ({hostname}) is registered; name one with --worker")
    return found
