"""``sentinel tasks logs``."""

from __future__ import annotations

import sys
from typing import BinaryIO

import click

from sentinel.cli.context import Invocation, pass_invocation
from sentinel.cli.output import Output, output_option, show_json
from sentinel.cli.values import an_id
from sentinel.client import Client
from sentinel.errors import NotFound
from sentinel.model.task import Task

#: Longest pause in seconds between two looks at a growing file; a store that changes is seen earlier.
_LOOK_EVERY = 0.2
_CHUNK = 64 * 1024


@click.command()
@click.argument("id", type=an_id("task id"))
@click.option("-f", "--follow", is_flag=True, help="Go on until the task has ended.")
@output_option
@pass_invocation
def logs(invocation: Invocation, id: str, follow: bool, output: Output) -> None:
    """Print what the task ID wrote: so far if it runs on this host, else in its last ended attempt.

    \b
    Examples:
      sentinel tasks logs build-42
      sentinel tasks logs build-42 -f
      sentinel tasks logs build-42 -o json
    """
    if follow and output == "json":
        raise click.UsageError("--follow prints as it comes; leave out -o json")
    with invocation.client() as client:
        if follow:
            _follow(client, id)
        elif output == "json":
            show_json(_document(client, id))
        else:
            _write(client.log(id))


def _document(client: Client, id: str) -> dict[str, object]:
    task = client.get(id)
    data = client.log(id)
    kept = task.log or {}
    live = task.state == "running" and client.live_log(task) is not None
    return {
        "id": id,
        "attempt": task.attempt,
        "live": live,
        "bytes": len(data) if live else kept.get("bytes", len(data)),
        "truncated": False if live else bool(kept.get("truncated", False)),
        "text": data.decode("utf-8", "replace"),
    }


def _follow(client: Client, id: str) -> None:
    shown: set[int] = set()
    while True:
        task = client.get(id)
        live = client.live_log(task)
        if live is not None and task.epoch not in shown:
            try:
                stream = live.open("rb")
            except FileNotFoundError:
                continue
            shown.add(task.epoch)
            with stream:
                _copy_while_running(client, task, stream)
        elif task.ended:
            if task.epoch not in shown:
                _write_stored(client, task)
            return
        else:
            client.store.wait(_LOOK_EVERY)


def _copy_while_running(client: Client, task: Task, stream: BinaryIO) -> None:
    # The worker removes the file when the attempt ends; what is open can be read to its end.
    running = True
    while True:
        while data := stream.read(_CHUNK):
            _write(data)
        if not running:
            return
        client.store.wait(_LOOK_EVERY)
        running = client.get(task.id).held_under(task.fence())


def _write_stored(client: Client, task: Task) -> None:
    try:
        _write(client.log(task.id))
    except NotFound:
        # A task that was cancelled before it ran has written nothing.
        if task.attempt:
            raise


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
