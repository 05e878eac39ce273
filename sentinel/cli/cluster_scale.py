"""``sentinel cluster autoscale``."""

from __future__ import annotations

import dataclasses
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from sentinel.cli.context import Invocation, pass_invocation
from sentinel.cli.ending import plain
from sentinel.cli.output import Output, dry_run_option, output_option, show_json
from sentinel.client.providers import Commands, LocalProcesses, Provider
from sentinel.client.scaler import Scaler
from sentinel.clock import SystemClock
from sentinel.errors import ConfigurationError, LockHeld, LockLost, StoreError
from sentinel.fleet.scaling import Decision, Rules
from sentinel.folders import store_folder
from sentinel.model.ids import is_id
from sentinel.settings import Settings

log = logging.getLogger(__name__)

#: The lock lives for so many looks without one, and at least so many seconds.
_LOOKS, _SHORTEST = 4, 60.0
#: Seconds that one try to become the scaler waits.
_TRY = 5.0


@click.command()
@click.option("--once", is_flag=True, help="Look once, act, and stop.")
@dry_run_option
@output_option
@pass_invocation
def autoscale(invocation: Invocation, *, once: bool, dry_run: bool, output: Output) -> None:
    """Start workers when the fleet is too busy, and drain the least busy ones when it is not.

    Of several scalers one is at work, the holder of the lock `autoscaler`; the others wait for it. The rules
    are the settings below `distributed.autoScaling`. --dry-run explains what would be decided now; a decision
    that needs several looks that agree is a look nearer only when it was no dry run.

    \b
    Examples:
      sentinel cluster autoscale --dry-run
      sentinel cluster autoscale
      sentinel cluster autoscale --once -o json
    """
    settings = invocation.settings()
    problems = scaling_problems(settings)
    if problems:
        raise ConfigurationError(problems)
    interval = settings.auto_scaling.interval
    with Scaler(
        invocation.store_url(), state_folder=invocation.state_folder(), options=invocation.client_options()
    ) as scaler:
        scaler.rules = rules(settings)
        scaler.provider = _provider(invocation, settings)
        scaler.ttl = max(_LOOKS * interval, _SHORTEST)
        scaler.drain_deadline = settings.auto_scaling.drain_deadline
        if dry_run:
            _show(scaler.plan(), output, dry_run=True)
        elif once:
            scaler.elect(0.0)
            try:
                _show(scaler.look(), output, dry_run=False)
            finally:
                scaler.resign()
        else:
            _go_on(scaler, settings)


def scaling_problems(settings: Settings) -> list[str]:
    """What in the settings of the scaler does not go together."""
    chosen = settings.auto_scaling

    def at(name: str) -> str:
        return f"{settings.origin_of(f'auto_scaling.{name}')}: auto_scaling.{name}"

    found = []
    if chosen.min_workers > chosen.max_workers:
        found.append(f"{at('min_workers')} is above auto_scaling.max_workers ({chosen.max_workers})")
    if chosen.down_utilization >= chosen.up_utilization:
        found.append(f"{at('down_utilization')} must be below auto_scaling.up_utilization")
    if not is_id(f"{chosen.prefix}001"):
        found.append(f"{at('prefix')} makes ids such as {chosen.prefix[:40]}001, which no worker may have")
    if chosen.provider == "command" and not any("{id}" in word for word in chosen.start_command):
        found.append(f"{at('start_command')} must name the worker by {{id}}, for the provider is `command`")
    return found


def rules(settings: Settings) -> Rules:
    """The rules of the scaler by the settings in force."""
    chosen = settings.auto_scaling
    return Rules(
        min_workers=chosen.min_workers,
        max_workers=chosen.max_workers,
        step=chosen.step,
        up_utilization=chosen.up_utilization / 100,
        up_queue=chosen.up_queue,
        down_utilization=chosen.down_utilization / 100,
        down_queue=chosen.down_queue,
        cpu_percent=chosen.cpu,
        memory_percent=chosen.memory,
        queue=chosen.queue,
        response=chosen.response,
        looks=chosen.looks,
        cooldown=chosen.cooldown,
        startup=chosen.startup,
        restart=chosen.restart,
        prefix=chosen.prefix,
    )


def _provider(invocation: Invocation, settings: Settings) -> Provider:
    chosen = settings.auto_scaling
    if chosen.provider == "command":
        return Commands(chosen.start_command, chosen.stop_command, environ=os.environ)
    config = () if invocation.config is None else ("--config", str(invocation.config))
    store = invocation.store_url()

    def command(worker: str) -> Sequence[str]:
        return [
            sys.executable,
            "-m",
            "sentinel",
            "worker",
            "start",
            "--store",
            store,
            "--id",
            worker,
            *config,
        ]

    folder = store_folder(invocation.state_folder(), store) / "workers"
    return LocalProcesses(command, environ=os.environ, folder=folder)


def _go_on(scaler: Scaler, settings: Settings) -> None:
    from sentinel.peer.signals import Signals

    logging.basicConfig(level=settings.log.level.upper(), format="%(asctime)s %(levelname)s %(message)s")
    wakeup, signals = SystemClock().event(), Signals()
    interval = settings.auto_scaling.interval
    elected = False
    with signals.heeded(wakeup.set):
        try:
            while not signals.count:
                pause = interval
                try:
                    if not elected:
                        scaler.elect(_TRY)
                        log.info("this is the scaler now")
                        elected = True
                    found = scaler.look()
                    if found.action != "hold":
                        log.info("%s", _sentence(found))
                    for reason in found.reasons:
                        log.debug("%s", reason)
                except LockHeld:
                    pause = 1.0
                except LockLost as error:
                    log.warning("%s", error)
                    elected = False
                except StoreError as error:
                    log.warning("%s", error)
                wakeup.wait(pause)
        finally:
            scaler.resign()


def _show(found: Decision, output: Output, *, dry_run: bool) -> None:
    if output == "json":
        show_json(_document(found))
        return
    click.echo(f"would {_sentence(found)}" if dry_run else _sentence(found))
    for reason in found.reasons:
        click.echo(f"  {plain(reason)}")


def _document(found: Decision) -> dict[str, Any]:
    names = ("action", "size", "target", "start", "drain", "forget", "reasons")
    document = {name: getattr(found, name) for name in names}
    return {**document, "memory": dataclasses.asdict(found.memory)}


def _sentence(found: Decision) -> str:
    if found.action == "hold":
        return f"keep {found.size} workers"
    verb, names = ("start", found.start) if found.action == "up" else ("drain", found.drain)
    return f"{verb} {', '.join(names)}: {found.target} workers instead of {found.size}"
