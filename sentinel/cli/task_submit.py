"""``sentinel tasks submit``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sentinel.cli import task_rows
from sentinel.cli.context import Invocation, pass_invocation
from sentinel.cli.declared import Typing, declared_types, guess
from sentinel.cli.output import Output, dry_run_option, output_option, show_json
from sentinel.cli.progress import progress, raise_unless_done
from sentinel.cli.values import PATIENCE, RETRIES, TIMEOUT, an_id, pairs
from sentinel.client import Client
from sentinel.errors import BadInput
from sentinel.model import codec
from sentinel.model.task import PRIORITIES, Task


@click.command()
@click.argument("type", type=an_id("task type"))
@click.argument("argv", nargs=-1, type=click.UNPROCESSED)
@click.option("--arg", "arg", multiple=True, metavar="NAME=VALUE", help="One argument; may be repeated.")
@click.option("--args-json", metavar="FILE", help="A file with all arguments as a JSON object; - is stdin.")
@click.option(
    "--id", "task_id", metavar="ID", type=an_id("task id"), help="Your id; makes submitting idempotent."
)
@click.option(
    "--priority",
    type=click.Choice(PRIORITIES[::-1]),
    default="normal",
    show_default=True,
    help="How urgent it is.",
)
@click.option("--timeout", metavar="SECONDS", type=TIMEOUT, help="How long one attempt may take.")
@click.option("--retries", metavar="N", type=RETRIES, help="How often it is tried again after a failure.")
@click.option(
    "--after",
    multiple=True,
    metavar="ID",
    type=an_id("task id"),
    help="A task that must be done first; may be repeated.",
)
@click.option(
    "--affinity",
    multiple=True,
    metavar="NAME=VALUE",
    help="A label for affinity; region=R and capability=C are demands.",
)
@click.option("--allow-unknown-type", is_flag=True, help="Accept a type that nobody knows yet.")
@click.option("--wait", is_flag=True, help="Wait until it has ended; fail unless it is done.")
@click.option("--wait-timeout", metavar="SECONDS", type=PATIENCE, help="How long --wait waits at most.")
@dry_run_option
@output_option
@pass_invocation
def submit(
    invocation: Invocation,
    type: str,
    argv: tuple[str, ...],
    arg: tuple[str, ...],
    args_json: str | None,
    task_id: str | None,
    priority: str,
    timeout: float | None,
    retries: int | None,
    after: tuple[str, ...],
    affinity: tuple[str, ...],
    allow_unknown_type: bool,
    wait: bool,
    wait_timeout: float | None,
    dry_run: bool,
    output: Output,
) -> None:
    """Hand in a task of TYPE and print its id. What stands after -- is given to it by place.

    The value of an --arg is read as the type that the task declares for it. Where nobody here knows that
    type, a JSON number, true, false and null are read as what they are, and everything else as text.

    \b
    Examples:
      sentinel tasks submit shell --wait -- ls -l /srv
      sentinel tasks submit word-count --arg path=docs --priority high --timeout 120
      sentinel tasks submit word-count --id count-42 --args-json args.json --after fetch-42
    """
    if wait_timeout is not None and not wait:
        raise click.UsageError("--wait-timeout goes with --wait")
    texts = pairs(arg, "--arg")
    given = _read_object(args_json) if args_json is not None else {}
    labels = pairs(affinity, "--affinity")
    for name in texts:
        if name in given:
            raise BadInput(f"the argument {name[:40]!a} stands both in --arg and in --args-json")
    types, typing = declared_types(invocation.settings(), type)
    with invocation.client(types) as client:
        task = client.submit(
            type,
            {**given, **_typed(texts, typing)},
            positional=argv,
            id=task_id,
            priority=priority,
            timeout=timeout,
            retries=retries,
            after=after,
            affinity=labels,
            allow_unknown_type=allow_unknown_type,
            dry_run=dry_run,
        )
        if output != "json":
            click.echo(f"would submit {task.id}" if dry_run else task.id)
        ended = _ended(client, task, wait_timeout, output) if wait and not dry_run else None
        if output == "json":
            show_json(task_rows.row(client, ended or task, client.view()))
        if ended is not None:
            raise_unless_done([ended])


def _ended(client: Client, task: Task, timeout: float | None, output: Output) -> Task:
    with progress(quiet=output == "json") as changed:
        return client.wait([task.id], timeout, on_change=changed)[0]


def _typed(texts: dict[str, str], typing: Typing) -> dict[str, Any]:
    found = {}
    for name, text in texts.items():
        read: Callable[[str], Any] = typing.get(name, guess)
        found[name] = read(text)
    return found


def _read_object(place: str) -> dict[str, Any]:
    shown = "standard input" if place == "-" else place
    limit = codec.MAX_INLINE_BYTES
    try:
        if place == "-":
            data = sys.stdin.buffer.read(limit + 1)
        else:
            with Path(place).open("rb") as stream:
                data = stream.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"--args-json {shown} cannot be read: {reason}") from error
    if len(data) > limit:
        raise BadInput(f"--args-json {shown} is larger than the limit of {limit} bytes")
    try:
        value = codec.decode(data)
    except ValueError as error:
        raise BadInput(f"--args-json {shown} is not valid: {error}") from error
    if not isinstance(value, dict):
        raise BadInput(f'--args-json {shown} must hold a JSON object, such as {{"path": "docs"}}')
    return value
