"""``sentinel locks run``: a command under a lock."""

from __future__ import annotations

import click

from sentinel.cli.context import Invocation, pass_invocation
from sentinel.cli.values import TTL, WAIT, an_id


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("name", type=an_id("lock name"))
@click.option(
    "--ttl",
    type=TTL,
    metavar="S",
    help="Seconds of silence after which others may take the lock (5 to 86400); default: locking.ttl.",
)
@click.option(
    "--wait",
    type=WAIT,
    metavar="S",
    help="Seconds to wait for the lock; default: locking.retry_attempts × locking.retry_delay.",
)
@click.option("--dry-run", is_flag=True, help="Say whether the lock could be had now, and stop.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@pass_invocation
def run(
    invocation: Invocation,
    *,
    name: str,
    ttl: float | None,
    wait: float | None,
    dry_run: bool,
    command: tuple[str, ...],
) -> None:
    """Run COMMAND for as long as the lock NAME is held, and release it then.

    The command's exit status is passed on. When the lock is lost the command is ended, and the exit status
    is 4, as when the lock cannot be had. The command finds the lock's epoch in SENTINEL_FENCING_TOKEN.

    \b
    Examples:
      sentinel locks run deploy -- ./deploy.sh production
      sentinel locks run nightly --ttl 60 --wait 300 -- pg_dump -f dump.sql shop
    """
    import logging
    import os
    import socket

    from sentinel.client.identity import default_actor
    from sentinel.clock import SystemClock
    from sentinel.entropy import system_random
    from sentinel.fleet.proof import boot_id
    from sentinel.folders import store_folder
    from sentinel.peer.guard import Guard, GuardOptions, lock_times
    from sentinel.store.opener import StoreOptions, kind_of, opener

    settings = invocation.settings()
    seconds = settings.locking.ttl if ttl is None else ttl
    if dry_run:
        with invocation.client() as client:
            lock = client.acquire_lock(name, ttl=seconds, wait=0, dry_run=True)
        click.echo(f"would run {command[0]} under lock {name} at epoch {lock.epoch}")
        return
    logging.basicConfig(level=logging.WARNING, format="sentinel: %(message)s")
    url = invocation.store_url()
    me = default_actor()
    stores = StoreOptions(
        actor=me, fsync=settings.local.fsync, state_folder=store_folder(invocation.state_folder(), url)
    )
    end = Guard(
        options=GuardOptions(
            lock=name,
            holder=me,
            hostname=settings.worker.hostname or socket.gethostname(),
            times=lock_times(seconds),
            stale=settings.lease(kind_of(url)).stale,
            wait=settings.locking.patience if wait is None else wait,
            argv=command,
            env=dict(os.environ),
            grace=settings.execution.grace,
        ),
        open_store=opener(url, stores),
        state_folder=store_folder(invocation.state_folder(), url),
        boot=boot_id(),
        local_proof=settings.failover.local_proof,
        clock=SystemClock(),
        rng=system_random(),
    ).run()
    if end.exit_code is None and end.signal is None:
        raise click.ClickException(end.message or f"{command[0]} could not be run")
    raise click.exceptions.Exit(end.exit_code if end.exit_code is not None else 128 + (end.signal or 0))
