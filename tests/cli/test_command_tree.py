"""What holds for every command: global options, output formats, dry runs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import click

from sentinel.cli import main
from sentinel.cli.lazy import LazyGroup
from tests.cli.conftest import Place


def test_a_dry_run_of_any_change_writes_nothing(place: Place) -> None:
    place.submit("open", "over")
    with place.client() as client:
        client.cancel("over")
        client.acquire_lock("held")

    def state() -> str:
        argv = ["git", "-C", str(place.store), "rev-parse", "sentinel/state"]
        return subprocess.run(argv, capture_output=True, check=True, text=True).stdout

    before = state()
    for args in (
        ["tasks", "submit", "--dry-run", "--wait", "shell", "--", "true"],
        ["tasks", "cancel", "--dry-run", "open"],
        ["tasks", "retry", "--dry-run", "over"],
        ["failover", "run", "--dry-run"],
        ["cluster", "autoscale", "--dry-run"],
        ["cluster", "rebalance", "--dry-run"],
        ["locks", "acquire", "--dry-run", "free"],
        ["locks", "renew", "--dry-run", "held", "--epoch", "1"],
        ["locks", "release", "--dry-run", "held", "--epoch", "1"],
        ["locks", "run", "--dry-run", "free", "--", "true"],
        ["worker", "start", "--dry-run"],
    ):
        ran = place.run(*args)
        assert (ran.status, "would" in ran.stdout) == (0, True), args
    assert state() == before


def commands(group: LazyGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield " ".join((*path, name)), command
        if isinstance(command, LazyGroup):
            yield from commands(command, (*path, name))


def test_every_change_has_a_dry_run_and_every_read_an_output_format() -> None:
    assert isinstance(main, LazyGroup)
    changes = {
        "compact",
        "failover run",
        "cluster autoscale",
        "cluster rebalance",
        "init",
        "github init",
        "worker start",
        "workers remove",
        "tasks submit",
        "tasks cancel",
        "tasks retry",
        "tasks approve",
    }
    changes |= {f"workers {verb}" for verb in ("cordon", "uncordon", "drain")}
    changes |= {f"locks {verb}" for verb in ("acquire", "renew", "release", "run")}
    changes |= {"memory set", "memory delete"}
    neither = {"demo", "completion"}
    for path, command in commands(main):
        if isinstance(command, click.Group) or path in neither:
            continue
        flags = {flag for param in command.params for flag in param.opts}
        assert ("--dry-run" in flags) == (path in changes), path
        assert "-o" in flags or path in changes, path


def test_every_command_takes_the_global_options() -> None:
    assert isinstance(main, LazyGroup)
    for path, command in commands(main):
        flags = {flag for param in command.params for flag in param.opts}
        assert {"--store", "--config"} <= flags, path
