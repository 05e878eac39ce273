"""Groups that import a command only when it is used, and the options that every command has."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from sentinel.cli.context import Invocation


class LazyGroup(click.Group):
    """A group of commands that stand elsewhere: name → (``module:attribute``, one sentence for `--help`)."""

    def __init__(
        self, *args: Any, commands_at: Mapping[str, tuple[str, str]] | None = None, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self._commands_at = dict(commands_at or {})
        add_global_options(self)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names of all commands, in the order in which they are declared."""
        return list(self._commands_at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - the same
        """The command itself, imported now."""
        if cmd_name not in self._commands_at:
            return None
        module, _, attribute = self._commands_at[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        add_global_options(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Like click's, but an unknown command is answered with the nearest."""
        if args and args[0] not in self._commands_at and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], self._commands_at, n=1, cutoff=0.0)
            ctx.fail(f"there is no command {args[0][:40]!a}; the nearest is {near[0]}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - the same
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, sentence) for name, (_, sentence) in self._commands_at.items()])

    def listed(self, name: str) -> str:
        """The sentence that stands for the command in the list."""
        return self._commands_at[name][1]


def add_global_options(command: click.Command) -> None:
    """Let ``command`` accept ``--store`` and ``--config``, which stand before or after it alike."""
    taken = {name for param in command.params for name in param.opts}
    command.params += [option for option in _global_options() if taken.isdisjoint(option.opts)]


def _global_options() -> list[click.Option]:
    return [
        click.Option(
            ["--store"],
            metavar="URL",
            expose_value=False,
            callback=_remember_store,
            help="The fleet's repository: a path or a store URL.",
        ),
        click.Option(
            ["--config"],
            metavar="PATH",
            type=click.Path(path_type=Path),
            expose_value=False,
            callback=_remember_config,
            help="The shared configuration file, or the folder that shared.json is in.",
        ),
    ]


def _remember_store(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    invocation = ctx.ensure_object(Invocation)
    if value is not None:
        invocation.store_flag = value


def _remember_config(ctx: click.Context, _: click.Parameter, value: Path | None) -> None:
    invocation = ctx.ensure_object(Invocation)
    if value is not None:
        invocation.config = value
