"""``sentinel doctor``."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from sentinel.cli.context import Invocation, pass_invocation
from sentinel.cli.ending import plain
from sentinel.cli.output import Output, output_option, show_json
from sentinel.model.check import Check

_MARKS = {"ok": ("ok  ", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "red")}


@click.command()
@output_option
@pass_invocation
def doctor(invocation: Invocation, output: Output) -> None:
    """Check this machine, the configuration and the store; what is wrong comes with its fix.

    Fails with 78 when machine or configuration are not right, with 5 when the store is not, and with 1 when
    only something else is.

    \b
    Examples:
      sentinel doctor --store ./fleet.git
      sentinel doctor -o json
    """
    from sentinel.cli.checks import examine

    show_checks(list(examine(invocation)), output)


def show_checks(checks: Sequence[Check], output: Output) -> NoReturn:
    """Write the checks, and end with the status that follows from them."""
    if output == "json":
        show_json([_document(check) for check in checks])
    else:
        width = max((len(check.name) for check in checks), default=0)
        for check in checks:
            mark, colour = _MARKS[check.level]
            styled = click.style(mark, fg=colour) if _coloured() else mark
            click.echo(f"{styled}  {check.name:<{width}}  {plain(check.message)}")
            if check.fix:
                click.echo(f"{'':<{width + 8}}fix: {plain(check.fix)}")
    failed = {check.status for check in checks if check.level == "fail"}
    raise click.exceptions.Exit(
        next((status for status in (78, 5) if status in failed), min(failed, default=0))
    )


def _document(check: Check) -> dict[str, Any]:
    return {
        "check": check.name,
        **{key: value for key, value in dataclasses.asdict(check).items() if key != "name"},
    }


def _coloured() -> bool:
    import os

    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")
