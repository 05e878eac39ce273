"""``sentinel doctor``."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from sentinel.cli.context import Invocation, pass_invocation
from sentinel.cli.ending import plain
from sentinel.cli.output import Output, output_option, show_json
from sentinel.model.check import Check

_MARKS = {"ok": ("ok  ", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "red")}


@click.command()
@click.option("--fix", is_flag=True, help="Put right what can be put right without a person; say what was.")
@click.option(
    "--bundle",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write all that a report of a problem needs into this new file, secrets taken out.",
)
@output_option
@pass_invocation
def doctor(invocation: Invocation, *, fix: bool, bundle: Path | None, output: Output) -> None:
    """Check this machine, the configuration and the store; what is wrong comes with its fix.

    Fails with 78 when machine or configuration are not right, with 5 when the store is not, and with 1 when
    only something else is.

    --fix changes permissions of files of this user, and settings of a store on this host; nothing that the
    fleet has stored. Without it nothing is changed.

    \b
    Examples:
      sentinel doctor --store ./fleet.git
      sentinel doctor --fix
      sentinel doctor --bundle problem.tar.gz
      sentinel doctor -o json
    """
    from sentinel.cli.bundle import write_bundle
    from sentinel.cli.checks import examine

    checks = list(examine(invocation, fix=fix))
    if bundle is not None:
        write_bundle(invocation, checks, bundle)
        click.echo(f"sentinel: wrote {bundle}; look into it before you send it", err=True)
    show_checks(checks, output)


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
