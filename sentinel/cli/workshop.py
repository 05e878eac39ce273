"""What this machine's configuration lets a worker run; its mistakes are found before anything starts."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import sentinel
from sentinel.errors import BadInput, ConfigurationError
from sentinel.fleet.balancers import Balancer, configured
from sentinel.fleet.memory_policies import find_policy
from sentinel.fleet.submission import HOW_TO_IMPLEMENT
from sentinel.peer.run.command import CommandTemplate
from sentinel.peer.run.plan import Limits, Workshop, import_path
from sentinel.peer.run.registered import Registered, load
from sentinel.peer.run.shell import SHELL
from sentinel.settings import Settings


def problems(settings: Settings) -> Sequence[str]:
    """A sentence for everything in these settings that a worker of this machine could not use.

    Raises `BadInput` when it was a flag of this command that named a module.
    """
    try:
        workshop(settings)
    except ConfigurationError as error:
        return error.problems
    return ()


def balancer(settings: Settings) -> Balancer:
    """The balancer that the settings ask for. Raises `BadInput`."""
    chosen = settings.load_balancer
    return configured(chosen.strategy, chosen.options, affinity=chosen.affinity_enabled)


def unimplemented(settings: Settings, tasks: Workshop) -> dict[str, str]:
    """A sentence for each type that the worker is to take and that nothing here implements, by type."""
    origin = settings.origin_of("worker.types")
    return {
        name: f"{origin} names the task type {name}, for which there is no code here, so no such task is "
        f"taken; {HOW_TO_IMPLEMENT}"
        for name in sorted(frozenset(settings.worker.types or ()) - tasks.known)
    }


def workshop(settings: Settings) -> Workshop:
    """What tasks are run with, by the settings in force.

    Raises `ConfigurationError` with every command, module, balancer and policy that cannot be used, and
    `BadInput` when it was a flag of this command that named a module.
    """
    found: list[str] = []
    commands = _commands(settings, found)
    types = _functions(settings, found)
    found += [
        f"{settings.origin_of(f'tasks.commands.{name}')}: the module {types[name].module} registers "
        f"{name} too; rename one"
        for name in sorted(commands.keys() & types.keys())
    ]
    try:
        balancer(settings)
    except BadInput as error:
        found.append(f"{settings.origin_of('load_balancer.strategy')}: {error}")
    try:
        find_policy(settings.memory_sync.conflict_resolution)
    except BadInput as error:
        found.append(f"{settings.origin_of('memory_sync.conflict_resolution')}: {error}")
    if found:
        raise ConfigurationError(found)
    execution = settings.execution
    package_root = Path(sentinel.__file__).resolve().parent.parent
    libraries = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    return Workshop(
        python=sys.executable,
        cwd=os.getcwd(),  # noqa: PTH109 - a text, as the supervisor takes it
        types=types,
        commands=commands,
        shell=settings.tasks.shell,
        pass_env=execution.pass_env,
        import_path=import_path(package_root, libraries),
        limits=Limits(
            grace=execution.grace,
            output=execution.output_limit_bytes,
            memory=execution.memory_limit_bytes,
            processes=execution.process_limit,
            warm_runs=execution.warm_runs,
            warm_idle=execution.warm_idle,
        ),
    )


def _commands(settings: Settings, found: list[str]) -> dict[str, CommandTemplate]:
    commands: dict[str, CommandTemplate] = {}
    for name, raw in settings.tasks.commands.items():
        origin = settings.origin_of(f"tasks.commands.{name}")
        if name == SHELL:
            found.append(f"{origin}: the task type {SHELL} is built in; choose another name")
            continue
        try:
            commands[name] = CommandTemplate.parse(name, raw)
        except BadInput as error:
            found.append(f"{origin}: {error}")
    return commands


def _functions(settings: Settings, found: list[str]) -> dict[str, Registered]:
    origin = settings.origin_of("tasks.modules")
    try:
        return dict(load(settings.tasks.modules))
    except BadInput as error:
        if origin.startswith("flag"):
            raise
        found.append(f"{origin}: {error}")
        return {}
