"""``sentinel memory get``, ``set``, ``delete`` and ``list``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import click

from sentinel.cli.context import Invocation, pass_invocation
from sentinel.cli.ending import plain
from sentinel.cli.lazy import LazyGroup
from sentinel.cli.output import Columns, Output, dry_run_option, moment, output_option, show_json, show_rows
from sentinel.cli.values import MEMORY_KEY, MEMORY_TTL, NAMESPACE, PREFIX
from sentinel.errors import BadInput, NotFound
from sentinel.model.codec import decode
from sentinel.model.memory import DEFAULT_NAMESPACE, MAX_VALUE_BYTES

_COLUMNS: Columns = {
    "NAMESPACE": "namespace",
    "KEY": "key",
    "VALUE": lambda row: _shortened(row["value"]),
    "TTL": "ttl",
    "WRITTEN": moment("written_at"),
    "BY": "written_by",
}
_WIDE: Columns = {"VERSION": "version"}
#: Most bytes of JSON that are read as a value: spaces and escapes count here, and not in what is stored.
_MAX_TEXT = 8 * MAX_VALUE_BYTES
#: Characters of a value that a table shows.
_SHOWN = 60

namespace_option = click.option(
    "--namespace",
    metavar="NS",
    type=NAMESPACE,
    default=DEFAULT_NAMESPACE,
    show_default=True,
    help="The namespace of the key.",
)
_policy_option = click.option(
    "--policy",
    metavar="NAME",
    help="The rule for two writers of one key.  [default: memorySync.conflictResolution]",
)


@click.group(
    cls=LazyGroup,
    commands_at={
        "get": ("sentinel.cli.memory:get", "Print a value."),
        "set": ("sentinel.cli.memory:set_value", "Write a value."),
        "delete": ("sentinel.cli.memory:delete", "Remove a value."),
        "list": ("sentinel.cli.memory:list_values", "List values."),
        "watch": ("sentinel.cli.memory_watch:watch", "Print values as they change."),
    },
)
def memory() -> None:
    """Read, write and watch values that the fleet shares.

    \b
    Examples:
      sentinel memory set greeting '{"text": "hello"}'
      sentinel memory get greeting
      sentinel memory watch --namespace builds
    """


@click.command()
@click.argument("key", type=MEMORY_KEY)
@namespace_option
@output_option
@pass_invocation
def get(invocation: Invocation, key: str, namespace: str, output: Output) -> None:
    """Print the value of KEY: a text as it is, everything else as JSON.

    \b
    Examples:
      sentinel memory get greeting
      sentinel memory get last --namespace builds -o json
    """
    with invocation.client() as client:
        entry = client.memory.entry(key, namespace, max_age=0.0)
    if entry is None:
        raise _missing(namespace, key)
    if output == "json":
        show_json(entry.row())
    elif output == "wide":
        show_rows([entry.row()], _COLUMNS, output, wide=_WIDE)
    else:
        click.echo(entry.value if isinstance(entry.value, str) else _json(entry.value))


@click.command("set")
@click.argument("key", type=MEMORY_KEY)
@click.argument("value")
@namespace_option
@click.option("--text", is_flag=True, help="Take VALUE as a text, also when it could be JSON.")
@click.option("--ttl", metavar="SECONDS", type=MEMORY_TTL, help="Its life without a new write.")
@click.option("--version", metavar="V", help="Only if the key still has this version.")
@click.option("--new", is_flag=True, help="Only if there is no such key.")
@_policy_option
@dry_run_option
@output_option
@pass_invocation
def set_value(
    invocation: Invocation,
    *,
    key: str,
    value: str,
    namespace: str,
    text: bool,
    ttl: float | None,
    version: str | None,
    new: bool,
    policy: str | None,
    dry_run: bool,
    output: Output,
) -> None:
    """Write VALUE, which is JSON or else a text, to KEY; `-` is standard input. Prints the new version.

    \b
    Examples:
      sentinel memory set greeting '{"text": "hello"}'
      sentinel memory set port 8080 --ttl 600
      sentinel memory set leader worker-1 --namespace votes --new
      sentinel memory set counter 8 --version 01m8ae1pg7j13jjecq0mhtgbec
    """
    if sum((version is not None, new, policy is not None)) > 1:
        raise click.UsageError("give one of --version, --new and --policy")
    if value == "-":
        value = _standard_input()
    wanted = value if text else _value(value)
    with invocation.client() as client:
        if new or version is not None:
            entry = client.memory.compare_and_swap(key, version, wanted, namespace, ttl=ttl, dry_run=dry_run)
        else:
            found = client.memory.set(key, wanted, namespace, ttl=ttl, policy=policy, dry_run=dry_run)
            assert found is not None
            entry = found
    if output == "json":
        show_json(entry.row())
    else:
        click.echo(f"would set {namespace}/{key}" if dry_run else entry.version)


@click.command()
@click.argument("key", type=MEMORY_KEY)
@namespace_option
@click.option("--version", metavar="V", help="Only if the key still has this version.")
@dry_run_option
@output_option
@pass_invocation
def delete(
    invocation: Invocation, key: str, namespace: str, version: str | None, dry_run: bool, output: Output
) -> None:
    """Remove KEY.

    \b
    Examples:
      sentinel memory delete greeting
      sentinel memory delete last --namespace builds --dry-run
    """
    with invocation.client() as client:
        there = client.memory.delete(key, namespace, version=version, dry_run=dry_run)
    if not there:
        raise _missing(namespace, key)
    if output == "json":
        show_json({"namespace": namespace, "key": key, "deleted": not dry_run})
    else:
        click.echo(f"would delete {namespace}/{key}" if dry_run else f"deleted {namespace}/{key}")


@click.command("list")
@click.option("--namespace", metavar="NS", type=NAMESPACE, help="Only this namespace.")
@click.option("--prefix", metavar="TEXT", type=PREFIX, default="", help="Only keys that begin with it.")
@output_option
@pass_invocation
def list_values(invocation: Invocation, namespace: str | None, prefix: str, output: Output) -> None:
    """List values of all namespaces or one.

    \b
    Examples:
      sentinel memory list
      sentinel memory list --namespace builds --prefix task-42/ -o json
    """
    with invocation.client() as client:
        rows = [entry.row() for entry in client.memory.list(namespace, prefix, max_age=0.0)]
    show_rows(rows, _COLUMNS, output, wide=_WIDE)


def _standard_input() -> str:
    try:
        # One byte more than is accepted, to tell that there are too many.
        return sys.stdin.buffer.read(_MAX_TEXT + 1).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"standard input is not UTF-8 (byte {error.start})") from error


def _value(text: str) -> Any:
    try:
        return decode(text.encode(errors="surrogatepass"), limit=_MAX_TEXT)
    except ValueError as error:
        if text.lstrip()[:1] in ("{", "["):
            # Nobody means a text by this; a slip in it must not be stored as one.
            raise BadInput(f"the value is not JSON: {error}; with --text it is taken as a text") from error
        return text


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _shortened(value: Any) -> str:
    text = plain(value if isinstance(value, str) else _json(value))
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def shown(row: Mapping[str, Any]) -> str:
    """A change on one line for people."""
    what = _json(row["value"]) if row["event"] == "set" else ""
    by = f" by {row['written_by']}" if row["written_by"] else ""
    return plain(f"{row['event']} {row['namespace']}/{row['key']} {what}".rstrip() + by)


def _missing(namespace: str, key: str) -> NotFound:
    return NotFound(f"there is no {namespace}/{key} in shared memory; `sentinel memory list` shows all")
