"""The root of all commands, and the exit statuses that the process ends with."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from sentinel import __version__
from sentinel.cli.ending import ReaderGone, run_to_status
from sentinel.cli.lazy import LazyGroup


class Root(LazyGroup):
    """A group whose `main` never shows a traceback and always exits with a documented status."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = "sentinel",
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line ``args``; in standalone mode, end the process with its exit status."""

        def command() -> Any:
            return super(Root, self).main(args, prog_name, complete_var, standalone_mode=False, **extra)

        if not standalone_mode:
            return command()
        sys.exit(run_to_status(command))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a reader of its output that went away is told apart from other broken pipes."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError as error:
            # click would take it for a success.
            raise ReaderGone from error
        return result


@click.group(
    "sentinel",
    cls=Root,
    commands_at={
        "init": ("sentinel.cli.init:init", "Make a store, or do nothing where there is one."),
        "demo": ("sentinel.cli.demo:demo", "Run a real job on three peers, and kill one of them."),
        "doctor": ("sentinel.cli.doctor:doctor", "Check this machine, the configuration and the store."),
        "config": ("sentinel.cli.config:config", "Show, explain and check the configuration."),
        "worker": ("sentinel.cli.worker_group:worker", "Run a worker on this machine."),
        "workers": ("sentinel.cli.workers:workers", "List, show and remove workers."),
        "tasks": ("sentinel.cli.tasks:tasks", "Submit tasks, follow them, and read what they gave."),
        "cluster": ("sentinel.cli.cluster:cluster", "See how the whole fleet is and what it does."),
        "locks": ("sentinel.cli.locks:locks", "Take, keep and free named locks."),
        "memory": ("sentinel.cli.memory:memory", "Read, write and watch values that the fleet shares."),
        "failover": ("sentinel.cli.failover:failover", "Take over for dead workers by hand."),
        "github": ("sentinel.cli.github:github", "Try, set up and watch a fleet on GitHub."),
        "budget": ("sentinel.cli.budget:budget", "Predict what a fleet on GitHub will send."),
        "compact": ("sentinel.cli.compact:compact", "Make a local store small while no worker runs."),
        "healthcheck": ("sentinel.cli.healthcheck:healthcheck", "Tell whether a worker beats."),
        "completion": ("sentinel.cli.completion:completion", "Print the completion script of a shell."),
    },
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def main() -> None:
    """Task Sentinel: a fleet of identical workers on one Git repository.

    \b
    Examples:
      sentinel init --store ./fleet.git
      sentinel worker start --store ./fleet.git
      sentinel tasks submit shell --store ./fleet.git --wait -- echo hello
    """
