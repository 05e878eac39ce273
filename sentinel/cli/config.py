"""``sentinel config show``, ``explain`` and ``validate``."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sentinel.cli.context import Invocation, pass_invocation
from sentinel.cli.lazy import LazyGroup
from sentinel.cli.output import Columns, Output, Row, output_option, show_json, show_record, show_rows
from sentinel.cli.values import an_id
from sentinel.errors import BadInput, ConfigurationError, NotFound

if TYPE_CHECKING:
    from sentinel.settings import Effective, Settings

F = TypeVar("F", bound=Callable[..., Any])


@click.group(
    cls=LazyGroup,
    commands_at={
        "show": ("sentinel.cli.config:show", "Show every value in force and where it came from."),
        "explain": ("sentinel.cli.config:explain", "Explain one setting."),
        "validate": ("sentinel.cli.config:validate", "Check the configuration; name every problem."),
    },
)
def config() -> None:
    """Show, explain and check the configuration.

    \b
    Examples:
      sentinel config show
      sentinel config explain heartbeat.interval
      sentinel config validate --all
    """


def _worker_option(function: F) -> F:
    return click.option(
        "--id",
        "worker_id",
        metavar="ID",
        type=an_id("worker id"),
        help="As the worker ID sees it, with its own file ID.json.",
    )(function)


_COLUMNS: Columns = {"SETTING": "name", "VALUE": "value", "ORIGIN": "origin"}
_WIDE: Columns = {"UNIT": "unit", "DEFAULT": "default", "KEY IN FILES": "key", "ENVIRONMENT": "environment"}


@click.command()
@_worker_option
@click.option("--changed", is_flag=True, help="Only what is not at its default.")
@output_option
@pass_invocation
def show(invocation: Invocation, worker_id: str | None, changed: bool, output: Output) -> None:
    """Show every value in force and where it came from; secrets are masked.

    \b
    Examples:
      sentinel config show
      sentinel config show --changed --id worker-001
      sentinel config show -o json
    """
    from sentinel.settings import effective

    rows = [_row(found) for found in effective(invocation.settings(_flags(worker_id)))]
    if changed:
        rows = [row for row in rows if row["origin"] != "default"]
    show_rows(rows, _COLUMNS, output, wide=_WIDE)


_RECORD: Columns = {
    "Setting": "name",
    "Meaning": "meaning",
    "Value": "value",
    "Origin": "origin",
    "Unit": "unit",
    "Default": "default",
    "Range": "range",
    "Key in files": lambda row: row["key"] + (f" (in {row['file_unit']})" if _other_unit(row) else ""),
    "Environment": "environment",
    "Flag": "flag",
    "Where": "where",
    "Changes": lambda row: "with SIGHUP, while workers run" if row["live"] else "with the next start",
}


@click.command()
@click.argument("key")
@_worker_option
@output_option
@pass_invocation
def explain(invocation: Invocation, key: str, worker_id: str | None, output: Output) -> None:
    """Explain one setting: its value and origin, unit, default, range, and where it may be set.

    KEY is its name in Python, in the files, or in the environment; a part of it will do.

    \b
    Examples:
      sentinel config explain heartbeat.interval
      sentinel config explain distributed.locking.ttlSeconds
      sentinel config explain WORKER_MAX_TASKS -o json
    """
    from sentinel.settings import effective

    rows = [_row(found) for found in effective(invocation.settings(_flags(worker_id)))]
    wanted = key.lower()
    found = [row for row in rows if wanted in _names(row)]
    if not found:
        found = [row for row in rows if any(name.startswith(f"{wanted}.") for name in _names(row))]
    if not found:
        # A part of a name as people remember it: `retryAttempts`, `loadBalancer`.
        found = [row for row in rows if any(f".{wanted}." in f".{name}." for name in _names(row))]
    if len(found) == 1:
        show_record(found[0], _RECORD, output)
    elif found:
        # A section, or an open object with something in it.
        show_rows(found, _COLUMNS, output, wide=_WIDE)
    else:
        known = sorted({name for row in rows for name in _names(row)})
        near = difflib.get_close_matches(wanted, known, 1, 0.0)
        nearest = next(name for row in rows for name in _names(row, exact=True) if name.lower() == near[0])
        raise NotFound(f"there is no setting {key[:60]!a}; the nearest is {nearest}")


@click.command()
@_worker_option
@click.option("--all", "every", is_flag=True, help="Also with each worker file beside the shared file.")
@output_option
@pass_invocation
def validate(invocation: Invocation, worker_id: str | None, every: bool, output: Output) -> None:
    """Check files, environment and flags, and name every problem at once; fails with 78 when there is one.

    Modules and commands of tasks are checked as a worker of this machine would.

    \b
    Examples:
      sentinel config validate
      sentinel config validate --id worker-001
      sentinel config validate --all --config deploy/config -o json
    """
    from sentinel.cli.workshop import unimplemented, workshop

    problems: list[str] = []
    warnings: list[str] = []
    files: list[str] = []
    ids: list[str | None] = [worker_id]
    if every:
        ids += _worker_files(invocation)
    for name in ids:
        try:
            settings = invocation.settings(_flags(name), examine=_examine)
        except ConfigurationError as error:
            problems += error.problems
        else:
            warnings += [*settings.warnings, *unimplemented(settings, workshop(settings)).values()]
            files += settings.files
    problems, warnings, files = _once(problems), _once(warnings), _once(files)
    if output == "json":
        show_json({"valid": not problems, "files": files, "problems": problems, "warnings": warnings})
    for warning in warnings:
        click.echo(f"sentinel: warning: {warning}", err=True)
    if problems:
        raise ConfigurationError(problems)
    if output != "json":
        click.echo(f"valid: {', '.join(files) or 'no file, defaults and environment only'}")


def _examine(settings: Settings) -> list[str]:
    from sentinel.cli.cluster_scale import scaling_problems
    from sentinel.cli.workshop import problems
    from sentinel.store.opener import check_url

    found = [*problems(settings), *scaling_problems(settings)]
    if settings.store is not None:
        try:
            check_url(settings.store)
        except BadInput as error:
            found.append(f"{settings.origin_of('store')}: {error}")
    return found


def _worker_files(invocation: Invocation) -> list[str]:
    """Ids of the workers that have a file of their own beside the shared file."""
    from sentinel.settings.loading import worker_files

    return worker_files(environ=os.environ, folder=Path.cwd(), config=invocation.config)


def _flags(worker_id: str | None) -> dict[str, object]:
    return {} if worker_id is None else {"worker.id": worker_id}


def _row(found: Effective) -> dict[str, Any]:
    doc = found.setting
    tail = found.name.removeprefix(doc.python)
    where = ["shared file", "worker file"]
    if doc.json in ("workerId", "hostname"):
        where = ["worker file"]
    elif doc.fleet:
        where = ["shared file"]
    if doc.env:
        where += [".env", "environment"]
    if doc.flag:
        where.append(f"flag {doc.flag}")
    return {
        "name": found.name,
        "value": found.value,
        "origin": found.origin,
        "unit": doc.unit,
        "default": doc.default,
        "range": doc.range,
        "meaning": doc.meaning,
        "key": doc.json + tail,
        "file_unit": doc.json_unit,
        "environment": [name for name in (doc.env, *doc.env_also) if name],
        "flag": doc.flag or None,
        "fleet": doc.fleet,
        "live": doc.live,
        "where": where,
    }


def _names(row: dict[str, Any], *, exact: bool = False) -> list[str]:
    names = [row["name"], row["key"], *row["environment"]]
    return names if exact else [name.lower() for name in names]


def _other_unit(row: Row) -> bool:
    return bool(row["file_unit"]) and row["file_unit"] != row["unit"]


def _once(sentences: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(sentences))
