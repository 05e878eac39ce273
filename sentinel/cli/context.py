"""What one command line says of store and configuration; everything else is read when first asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sentinel.errors import BadInput, ConfigurationError
from sentinel.folders import state_folder

if TYPE_CHECKING:
    from sentinel.client import Client, ClientOptions
    from sentinel.fleet.access import AccessOptions
    from sentinel.fleet.health import Limits
    from sentinel.fleet.pacing import Budget
    from sentinel.fleet.shared_memory import MemoryOptions
    from sentinel.fleet.submission import Declared
    from sentinel.settings import Settings
    from sentinel.settings.loading import Examine


class Invocation:
    """One call of ``sentinel``: its global options, and what follows from them."""

    def __init__(self) -> None:
        #: ``--store``, wherever it stood.
        self.store_flag: str | None = None
        #: ``--config``, wherever it stood.
        self.config: Path | None = None
        self._settings: Settings | None = None

    def settings(self, flags: Mapping[str, object] | None = None, examine: Examine | None = None) -> Settings:
        """The settings in force, with ``flags`` of this command by their name in the tree.

        ``examine`` may see more problems in them.

        Raises `ConfigurationError` with every problem, and `BadInput` when all of them are with ``flags``.
        """
        from sentinel.settings import load

        if self._settings is None or flags or examine:
            try:
                self._settings = load(
                    {"store": self.store_flag, **(flags or {})},
                    environ=os.environ,
                    folder=Path.cwd(),
                    config=self.config,
                    examine=examine,
                )
            except ConfigurationError as error:
                if all(_is_input(problem) for problem in error.problems):
                    raise BadInput(str(error)) from error
                raise
            token = self._settings.github.token
            if token is not None:
                # It may stand in `.env`; whoever signs in, git's askpass among them, looks here.
                os.environ.setdefault("GITHUB_TOKEN", token.get_secret_value())
        return self._settings

    def store_url(self) -> str:
        """The store in force, wherever it was named.

        Raises `ConfigurationError` when there is none or its URL can name none, and `BadInput` for
        ``memory:``, which is a store and none for the command line.
        """
        from sentinel.store.opener import check_url

        settings = self.settings()
        if settings.store is None:
            raise ConfigurationError(
                [
                    "no store is configured: name one with --store or SENTINEL_STORE, or make one with "
                    "`sentinel init --store ./fleet.git`"
                ]
            )
        try:
            check_url(settings.store)
        except BadInput as error:
            if settings.store.startswith("memory:"):
                raise
            raise ConfigurationError([f"{settings.origin_of('store')}: {error}"]) from error
        return settings.store

    def limits(self) -> Limits:
        """From where on a number is a condition of the fleet, by the settings in force."""
        return limits(self.settings())

    def state_folder(self) -> Path:
        """Where private files of this machine belong; usable even when the configuration is not."""
        try:
            configured = self.settings().state.folder
        except ConfigurationError:
            configured = None
        return state_folder(configured, os.environ)

    def client(self, types: Mapping[str, Declared] | None = None) -> Client:
        """A connection to the store in force; ``types`` are task types that this side knows.

        Raises `ConfigurationError` and `StoreError`.
        """
        from sentinel.client import Client

        options = self.client_options(types)
        return Client(self.store_url(), state_folder=self.state_folder(), options=options)

    def client_options(self, types: Mapping[str, Declared] | None = None) -> ClientOptions:
        """What a client of the store in force goes by. Raises `ConfigurationError`."""
        from sentinel.client import ClientOptions
        from sentinel.fleet.submission import SHELL
        from sentinel.store.opener import kind_of

        url = self.store_url()
        settings = self.settings()
        return ClientOptions(
            types={"shell": SHELL} if types is None else types,
            timeout=settings.tasks.defaults.timeout,
            retries=settings.tasks.defaults.retries,
            stale=settings.lease(kind_of(url)).stale,
            local_proof=settings.failover.local_proof,
            fsync=settings.local.fsync,
            strategy=settings.load_balancer.strategy,
            memory=memory_options(settings),
            balancer_options=settings.load_balancer.options,
            affinity=settings.load_balancer.affinity_enabled,
        )

    def budget(self, url: str) -> Budget | None:
        """The budget of the store at ``url``; None where nothing is limited. Raises `ConfigurationError`."""
        from sentinel.fleet.pacing import BudgetOptions, open_budget

        settings = self.settings()
        options = BudgetOptions(
            times=settings.lease("remote"), limits=settings.github.limits, environ=os.environ
        )
        return open_budget(url, options)

    def access(self) -> AccessOptions:
        """With what GitHub is asked."""
        from sentinel.fleet.access import AccessOptions

        return AccessOptions(environ=os.environ)


def _is_input(problem: str) -> bool:
    """Whether a problem is with an option of a command: input. Store and configuration file are not."""
    return problem.startswith("flag ") and not problem.startswith(("flag --store", "flag --config"))


def memory_options(settings: Settings) -> MemoryOptions:
    """How shared memory is used, by the settings in force."""
    from sentinel.fleet.shared_memory import MemoryOptions

    return MemoryOptions(
        interval=settings.memory_sync.interval,
        policy=settings.memory_sync.conflict_resolution,
        cache_size=settings.memory_sync.cache_size,
    )


def limits(settings: Settings) -> Limits:
    """From where on a number is a condition of the fleet."""
    from sentinel.fleet.health import Limits

    alerts = settings.alerts
    return Limits(
        utilization=alerts.utilization / 100,
        healthy=alerts.healthy / 100,
        queue=alerts.queue,
        failures=alerts.failures / 100,
    )


pass_invocation = click.make_pass_decorator(Invocation, ensure=True)


def warn_of_problems(count: int) -> None:
    """Say on standard error that records were left out."""
    if count:
        what = "1 record cannot be read and was" if count == 1 else f"{count} records cannot be read and were"
        click.echo(f"sentinel: {what} left out; `sentinel doctor` tells which", err=True)
