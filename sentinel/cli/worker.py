"""``sentinel worker start``: the daemon on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from sentinel.cli.context import Invocation, memory_options, pass_invocation
from sentinel.cli.values import DURATION, an_id

if TYPE_CHECKING:
    from sentinel.cli.rereading import Rereading
    from sentinel.fleet.duty import Workplace
    from sentinel.peer.run.plan import Workshop
    from sentinel.peer.service import ServiceOptions
    from sentinel.settings import Settings


@click.command()
@click.option(
    "--id",
    "worker_id",
    type=an_id("worker id"),
    metavar="ID",
    help="Name of the worker, unique in the fleet; default: the host's.",
)
@click.option(
    "--max-tasks",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Tasks at a time; default: one per processor.",
)
@click.option("--types", metavar="A,B", help="Take tasks of these types only; default: all that it knows.")
@click.option("--region", metavar="R", help="Where the worker stands, such as eu-west-1.")
@click.option(
    "--tasks", "modules", multiple=True, metavar="MODULE", help="Python module that registers tasks."
)
@click.option("--burst", is_flag=True, help="Leave when no task that it could take is waiting.")
@click.option("--ephemeral", is_flag=True, help="Take a fresh id, and forget the worker when it leaves.")
@click.option(
    "--duration", type=DURATION, metavar="TIME", help="Drain after this time, such as 90s, 55m or 2h."
)
@click.option("--dry-run", is_flag=True, help="Check everything, say what would be started, and stop.")
@pass_invocation
def start(
    invocation: Invocation,
    *,
    worker_id: str | None,
    max_tasks: int | None,
    types: str | None,
    region: str | None,
    modules: tuple[str, ...],
    burst: bool,
    ephemeral: bool,
    duration: float | None,
    dry_run: bool,
) -> None:
    """Run a worker until it is told to stop.

    The first SIGTERM or SIGINT drains: nothing new is taken, and it leaves when its tasks have ended. A
    second one ends the tasks and hands them back to the fleet. SIGHUP reads the configuration again; the log
    says what changed and what has to wait for the next start.

    \b
    Examples:
      sentinel worker start --store ./fleet.git --id worker-001
      sentinel worker start --store ./fleet.git --tasks myjobs --max-tasks 4
      sentinel worker start --store ./fleet.git --burst --ephemeral --duration 55m
    """
    from sentinel.cli.rereading import Rereading
    from sentinel.cli.workshop import problems
    from sentinel.cli.workshop import workshop as configured

    flags: dict[str, object] = {
        "worker.id": worker_id,
        "worker.max_tasks": max_tasks,
        "worker.types": None
        if types is None
        else [name.strip() for name in types.split(",") if name.strip()],
        "worker.region": region,
        "tasks.modules": list(modules) or None,
    }
    given = {name: value for name, value in flags.items() if value is not None}
    settings = invocation.settings(given, examine=problems)
    _must_be_enabled(settings)
    workshop = configured(settings)
    options = _options(
        invocation,
        settings,
        workshop,
        burst=burst,
        ephemeral=ephemeral,
        duration=duration,
    )
    if dry_run:
        worker = options.worker
        with invocation.client() as client:
            before = client.check_id_is_free(worker.id)
        place = "" if before is None else f", in the place of {before.incarnation}, which is {before.ground}"
        click.echo(
            f"would start {worker.id} on {invocation.store_url()} with {worker.max_tasks} slots "
            f"for {', '.join(worker.types) or 'no task types'}{place}"
        )
        return
    _serve(invocation, settings, Rereading(invocation, given, settings, workshop), options)


def _must_be_enabled(settings: Settings) -> None:
    from sentinel.errors import ConfigurationError

    if not settings.distributed_enabled:
        origin = settings.origin_of("distributed_enabled")
        raise ConfigurationError([f"{origin} is false: this machine is to have no worker"])


def _options(
    invocation: Invocation,
    settings: Settings,
    workshop: Workshop,
    *,
    burst: bool,
    ephemeral: bool,
    duration: float | None,
) -> ServiceOptions:
    import os
    import socket

    import psutil

    from sentinel import __version__
    from sentinel.cli.workshop import balancer, unimplemented
    from sentinel.clock import SystemClock
    from sentinel.entropy import system_random
    from sentinel.fleet.duty import duties_of
    from sentinel.fleet.retention import companions_of
    from sentinel.model.ids import IdSource
    from sentinel.model.redaction import Redactor, secrets_of
    from sentinel.model.worker import Worker
    from sentinel.peer.options import PeerOptions
    from sentinel.peer.run.shell import SHELL
    from sentinel.peer.service import ServiceOptions
    from sentinel.store.opener import kind_of

    name = settings.worker.id or host_id(socket.gethostname())
    if ephemeral and settings.worker.id is None:
        name = f"{name[:100]}-{IdSource(system_random(), SystemClock().wall).ulid()[-8:]}"
    wanted = workshop.known if settings.worker.types is None else frozenset(settings.worker.types)
    types = tuple(sorted(wanted & workshop.known))
    missing = unimplemented(settings, workshop)
    for sentence in missing.values():
        click.echo(f"sentinel: {name}: {sentence}", err=True)
    if not types:
        click.echo(f"sentinel: {name} has no code for any type it is to take: it takes nothing", err=True)
    slots = settings.worker.max_tasks or os.cpu_count() or 1
    kind = kind_of(invocation.store_url())
    times = settings.lease(kind)
    return ServiceOptions(
        worker=Worker(
            id=name,
            incarnation="",
            hostname=settings.worker.hostname or socket.gethostname(),
            region=settings.worker.region,
            environment=settings.worker.environment,
            role=settings.worker.role,
            max_tasks=slots,
            types=types,
            unimplemented=tuple(missing),
            capabilities=settings.worker.capabilities,
            cpu_cores=settings.worker.cpu_cores or os.cpu_count() or 0,
            memory_mb=settings.worker.memory_mb or psutil.virtual_memory().total // 2**20,
            limits={name: declared_limits(workshop, name) for name in types if name != SHELL},
            version=__version__,
        ),
        peer=PeerOptions(
            worker=name,
            times=times,
            poll=times.poll(remote=kind == "remote"),
            pacing=invocation.budget(invocation.store_url()),
            max_tasks=slots,
            types=frozenset(types),
            balancer=balancer(settings),
            balancer_options=settings.load_balancer.options,
            pattern=settings.load_balancer.pattern,
            group_by=settings.load_balancer.group_by,
            rebalance=settings.load_balancer.rebalance_interval,
            stop_grace=settings.execution.grace,
            recovery=settings.heartbeat.recovery_enabled,
            alerts=invocation.limits(),
            watch_every=settings.alerts.interval,
            retention=settings.retention.terms,
            expiry_interval=settings.memory_sync.interval,
            forget=ephemeral,
            redactor=Redactor(secrets_of(os.environ)),
        ),
        burst=burst,
        duration=duration,
        duties=duties_of(invocation.store_url()),
        place=_workplace(invocation, settings, workshop),
        companions=companions_of(invocation.store_url()),
        memory=memory_options(settings),
    )


def _workplace(invocation: Invocation, settings: Settings, workshop: Workshop) -> Workplace:
    import os

    from sentinel.cli.workshop import balancer
    from sentinel.fleet.duty import Workplace
    from sentinel.fleet.submission import Declared

    types = {
        name: Declared(
            origin=f"module {entry.module}", check=entry.check, timeout=entry.timeout, retries=entry.retries
        )
        for name, entry in workshop.types.items()
    } | {
        name: Declared(
            origin="the configuration",
            check=command.check,
            timeout=command.timeout,
            retries=command.retries,
        )
        for name, command in workshop.commands.items()
    }
    return Workplace(
        url=invocation.store_url(),
        settings=settings.github.issues.model_dump(),
        types=types,
        timeout=settings.tasks.defaults.timeout,
        retries=settings.tasks.defaults.retries,
        balancer=balancer(settings),
        balancer_options=settings.load_balancer.options,
        budget=invocation.budget(invocation.store_url()),
        environ=dict(os.environ),
    )


def _serve(invocation: Invocation, settings: Settings, reread: Rereading, options: ServiceOptions) -> None:
    import gc
    import logging
    import os

    from sentinel.clock import SystemClock
    from sentinel.entropy import system_random
    from sentinel.fleet.proof import boot_id
    from sentinel.folders import store_folder
    from sentinel.peer.notify import Notifier
    from sentinel.peer.service import Service
    from sentinel.store.opener import StoreOptions, opener

    # Records are values without circles: looking for circles among them took a tenth of a busy worker's time.
    gc.set_threshold(50_000, 20, 100)
    logging.basicConfig(level=settings.log.level.upper(), format="%(asctime)s %(levelname)s %(message)s")
    for warning in settings.warnings:
        logging.getLogger(__name__).warning("%s", warning)
    url = invocation.store_url()
    state = store_folder(invocation.state_folder(), url)
    stores = StoreOptions(actor=options.worker.id, fsync=settings.local.fsync, state_folder=state)
    notifier = Notifier(os.environ)
    Notifier.forget(os.environ)
    environ: Mapping[str, str] = dict(os.environ)
    Service(
        options=options,
        open_store=opener(url, stores),
        make_plan=lambda folder: reread.plan_in(folder, environ),
        state_folder=state,
        boot=boot_id(),
        local_proof=settings.failover.local_proof,
        clock=SystemClock(),
        rng=system_random(),
        notifier=notifier,
        reread=reread,
    ).run()


def declared_limits(workshop: Workshop, name: str) -> dict[str, float]:
    """Time-out and retries that a task type declares, for submitters that do not know the type themselves."""
    declared = workshop.types.get(name) or workshop.commands[name]
    limits = {"timeout": declared.timeout, "retries": declared.retries}
    return {key: value for key, value in limits.items() if value is not None}


def host_id(hostname: str) -> str:
    """A worker id from a host name: what an id may not hold becomes a dash."""
    import re

    words = re.findall(r"[a-z0-9]+", hostname.lower())
    return "-".join(words)[:100].strip("-") or "worker"
