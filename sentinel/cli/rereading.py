"""What a worker does on SIGHUP: read its configuration again, heed what can change, and name the rest."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sentinel.cli.context import Invocation, limits
from sentinel.cli.workshop import balancer, problems, workshop
from sentinel.errors import BadInput, ConfigurationError
from sentinel.model.task import Task
from sentinel.peer.options import PeerOptions
from sentinel.peer.run.plan import Planner, Workshop
from sentinel.peer.run.spec import RunSpec
from sentinel.settings import Settings, effective

log = logging.getLogger(__name__)


class Rereading:
    """The configuration that a worker goes by, and how it is read again."""

    def __init__(
        self, invocation: Invocation, flags: Mapping[str, object], settings: Settings, tasks: Workshop
    ) -> None:
        self._invocation = invocation
        self._flags = flags
        self._settings = settings
        #: What tasks that start from now on are run with.
        self.workshop = tasks

    def plan_in(self, folder: Path, environ: Mapping[str, str]) -> Callable[[Task], RunSpec]:
        """Plans tasks with what is in force when each starts; see `Planner`."""
        planner = Planner(self.workshop, folder=folder, environ=environ)

        def plan(task: Task) -> RunSpec:
            nonlocal planner
            if planner.workshop is not self.workshop:
                planner = Planner(self.workshop, folder=folder, environ=environ)
            return planner(task)

        return plan

    def __call__(self, peer: PeerOptions) -> PeerOptions:
        """The peer's options from now on; those of before when the new configuration is wrong."""
        try:
            settings = self._invocation.settings(self._flags, examine=problems)
            tasks = workshop(settings)
            chosen = balancer(settings)
        except ConfigurationError as error:
            for problem in error.problems:
                log.error("%s", problem)
            log.error("the configuration stays as it was")
            return peer
        except BadInput as error:
            log.error("%s; the configuration stays as it was", error)
            return peer
        for warning in settings.warnings:
            log.warning("%s", warning)
        self._tell(changes(self._settings, settings, known=self.workshop.commands))
        self._settings = settings
        known = self.workshop.commands
        commands = {name: tasks.commands.get(name, template) for name, template in known.items()}
        self.workshop = dataclasses.replace(
            self.workshop, commands=commands, pass_env=tasks.pass_env, limits=tasks.limits
        )
        logging.getLogger().setLevel(settings.log.level.upper())
        return dataclasses.replace(
            peer,
            balancer=chosen,
            balancer_options=settings.load_balancer.options,
            rebalance=settings.load_balancer.rebalance_interval,
            stop_grace=settings.execution.grace,
            recovery=settings.heartbeat.recovery_enabled,
            alerts=limits(settings),
            watch_every=settings.alerts.interval,
        )

    @staticmethod
    def _tell(changed: tuple[list[str], list[str]]) -> None:
        now, later = changed
        if now:
            log.warning("the configuration was read again; from now on: %s", ", ".join(now))
        if later:
            log.warning("changed, but only with the next start of this worker: %s", ", ".join(later))
        if not now and not later:
            log.warning("the configuration was read again; nothing has changed")


def changes(before: Settings, after: Settings, *, known: Mapping[str, object]) -> tuple[list[str], list[str]]:
    """Names of the settings that changed: those that a running worker heeds, and the others.

    ``known`` are the command tasks that the worker is registered with; it cannot take on another.
    """
    old = {found.name: found for found in effective(before)}
    new = {found.name: found for found in effective(after)}
    now: list[str] = []
    later: list[str] = []
    for name in sorted(old.keys() | new.keys()):
        if _value(before, name) == _value(after, name):
            continue
        found = new.get(name) or old[name]
        if found.value == {}:
            # An open object that has nothing in it on one side: what is in it on the other speaks for itself.
            continue
        command = name.removeprefix("tasks.commands.")
        heeded = found.setting.live and (command == name or (command in known and name in new))
        (now if heeded else later).append(name)
    return now, later


def _value(settings: Settings, name: str) -> Any:
    node: Any = settings
    for part in name.split(".", 2):
        node = node.get(part) if isinstance(node, Mapping) else getattr(node, part)
    return node
