"""``sentinel memory watch``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from sentinel.cli.context import Invocation, pass_invocation
from sentinel.cli.memory import namespace_option, shown
from sentinel.cli.output import Output, output_option
from sentinel.cli.values import MEMORY_KEY, PATIENCE, PREFIX
from sentinel.clock import SystemClock
from sentinel.errors import BadInput, WaitTimeout
from sentinel.model.codec import decode

#: Longest position in bytes that is read back.
_MAX_POSITION = 8 * 1024 * 1024
#: Seconds that one look waits.
_LOOK_EVERY = 10.0


@click.command()
@click.argument("key", type=MEMORY_KEY, required=False)
@namespace_option
@click.option("--prefix", metavar="TEXT", type=PREFIX, default="", help="Only keys that begin with it.")
@click.option(
    "--resume",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Go on from where this file says, and keep it up to date; a new one begins with all that is there.",
)
@click.option("--count", metavar="N", type=click.IntRange(1), help="Stop after so many changes.")
@click.option("--timeout", metavar="SECONDS", type=PATIENCE, help="How long to wait for each change.")
@output_option
@pass_invocation
def watch(
    invocation: Invocation,
    *,
    key: str | None,
    namespace: str,
    prefix: str,
    resume: Path | None,
    count: int | None,
    timeout: float | None,
    output: Output,
) -> None:
    """Print the value of KEY, or of all keys of a namespace, whenever it changes, until interrupted.

    Of changes that follow one another quickly only the last may be shown. With -o json each change is one
    line.

    \b
    Examples:
      sentinel memory watch greeting
      sentinel memory watch --namespace builds --prefix task-42/
      sentinel memory watch --namespace builds --resume ./builds.position -o json
      sentinel memory watch leader --namespace votes --count 1 --timeout 60
    """
    clock = SystemClock()
    since = None if resume is None else _load(resume)
    with invocation.client() as client:
        changes = client.memory.watch(key, namespace, prefix, since=since)
        left = count
        while left is None or left > 0:
            until = None if timeout is None else clock.now() + timeout
            while True:
                pause = _LOOK_EVERY if until is None else max(0.0, min(_LOOK_EVERY, until - clock.now()))
                change = changes.next(pause)
                if change is not None:
                    break
                if until is not None and clock.now() >= until:
                    raise WaitTimeout(f"nothing changed within {timeout:g} s")
            row = change.row()
            click.echo(json.dumps(row, ensure_ascii=False) if output == "json" else shown(row))
            sys.stdout.flush()
            if resume is not None:
                # After it was printed: whoever is interrupted in between is told twice, and not never.
                _save(resume, changes.position)
            left = None if left is None else left - 1


def _load(path: Path) -> dict[str, str]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise BadInput(f"--resume {path} cannot be written: there is no folder {path.parent}") from None
        return {}
    try:
        position = decode(data, limit=_MAX_POSITION)
        return {str(key): str(version) for key, version in position.items()}
    except (ValueError, AttributeError) as error:
        raise BadInput(f"{path} is no position of a watch; remove it to begin anew") from error


def _save(path: Path, position: Mapping[str, str]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(dict(position), sort_keys=True), encoding="utf-8")
    temporary.replace(path)
