"""``sentinel tasks wait``, ``cancel``, ``retry`` and ``approve``."""

from __future__ import annotations

import click

from sentinel.cli import task_rows
from sentinel.cli.context import Invocation, pass_invocation
from sentinel.cli.output import Output, dry_run_option, output_option, show_json, show_rows
from sentinel.cli.progress import progress, raise_unless_done
from sentinel.cli.values import PATIENCE, an_id


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...", type=an_id("task id"))
@click.option("--timeout", metavar="SECONDS", type=PATIENCE, help="How long to wait at most.")
@output_option
@pass_invocation
def wait(invocation: Invocation, ids: tuple[str, ...], timeout: float | None, output: Output) -> None:
    """Wait until all the tasks have ended; succeed if all are done.

    \b
    Examples:
      sentinel tasks wait build-42
      sentinel tasks wait build-42 test-42 --timeout 600 -o json
    """
    with invocation.client() as client:
        with progress(quiet=output == "json") as changed:
            # An id that is given twice is one task.
            ended = client.wait(list(dict.fromkeys(ids)), timeout, on_change=changed)
        view = client.view()
        rows = [task_rows.row(client, task, view) for task in ended]
    show_rows(rows, task_rows.COLUMNS, output, wide=task_rows.WIDE)
    raise_unless_done(ended)


@click.command()
@click.argument("id", type=an_id("task id"))
@click.option("--reason", metavar="TEXT", help="A sentence for the task's history.")
@dry_run_option
@output_option
@pass_invocation
def cancel(invocation: Invocation, id: str, reason: str | None, dry_run: bool, output: Output) -> None:
    """Cancel the task ID: at once when it waits, through its worker when it runs.

    \b
    Examples:
      sentinel tasks cancel build-42
      sentinel tasks cancel build-42 --reason "wrong branch"
    """
    with invocation.client() as client:
        task = client.cancel(id, reason, dry_run=dry_run)
        if output == "json":
            show_json(task_rows.row(client, task, client.view()))
            return
    if task.state == "cancelled":
        click.echo(f"would cancel {id}" if dry_run else f"{id} is cancelled")
    else:
        asked = "would be asked" if dry_run else "is asked"
        click.echo(f"{task.owner} {asked} to cancel {id}")


@click.command()
@click.argument("id", type=an_id("task id"))
@dry_run_option
@output_option
@pass_invocation
def retry(invocation: Invocation, id: str, dry_run: bool, output: Output) -> None:
    """Open a new run of the task ID, which failed, was cancelled or is dead.

    While a task that it is to run after has failed, it is refused: retry that one first.

    \b
    Examples:
      sentinel tasks retry build-42
      sentinel tasks retry build-42 --dry-run
    """
    with invocation.client() as client:
        task = client.retry(id, dry_run=dry_run)
        if output == "json":
            show_json(task_rows.row(client, task, client.view()))
            return
    click.echo(f"would open run {task.run} of {id}" if dry_run else f"{id} waits for run {task.run}")


@click.command()
@click.argument("id", type=an_id("task id"))
@click.option(
    "--spec", metavar="SHA256", help="Approve only what has this hash; its first 32 digits are enough."
)
@dry_run_option
@output_option
@pass_invocation
def approve(invocation: Invocation, id: str, spec: str | None, dry_run: bool, output: Output) -> None:
    """Let the task ID run, which came from an issue and waits for an approval.

    The approval is for the task exactly as it stands: when its issue is edited, it is void.

    \b
    Examples:
      sentinel tasks show issue-12
      sentinel tasks approve issue-12 --spec 3fa9c1d2e0b47715ad0be2c86f19d354
    """
    with invocation.client() as client:
        task = client.approve(id, spec, dry_run=dry_run)
        if output == "json":
            show_json(task_rows.row(client, task, client.view()))
            return
    click.echo(f"would approve {id}" if dry_run else f"{id} is approved and waits for a worker")
