"""The filters of commands that list workers."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any, TypeVar

import click

from sentinel.cli.values import an_id
from sentinel.errors import BadInput
from sentinel.fleet.board import WorkerRow, WorkerStatus
from sentinel.fleet.submission import nearest

F = TypeVar("F", bound=Callable[..., Any])

_STATUSES: tuple[str, ...] = typing.get_args(WorkerStatus)


def _statuses(_: click.Context, __: click.Parameter, text: str | None) -> frozenset[str] | None:
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in _STATUSES:
            known = f"the nearest is {nearest(name, _STATUSES)}, all are {', '.join(_STATUSES)}"
            raise BadInput(f"status {name[:40]!a} is not valid: {known}")
    return frozenset(names)


def worker_filters(function: F) -> F:
    """The options whose values `fits` takes."""
    options = [
        click.option("--status", metavar="S,..", callback=_statuses, help="Only workers in these statuses."),
        click.option("--free", is_flag=True, help="Only workers that take tasks and have a slot free."),
        click.option("--role", metavar="R", help="Only workers of this role."),
        click.option("--region", metavar="R", help="Only workers of this region."),
        click.option("--type", metavar="T", type=an_id("task type"), help="Only workers that take it."),
        click.option("--capability", metavar="C", help="Only workers with this capability."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def fits(
    row: WorkerRow,
    *,
    status: frozenset[str] | None = None,
    free: bool = False,
    role: str | None = None,
    region: str | None = None,
    type: str | None = None,
    capability: str | None = None,
) -> bool:
    """Whether a worker passes every filter that was given."""
    return (
        (status is None or row.status in status)
        and (not free or (free_slots(row) > 0 and row.status == "online"))
        and (role is None or row.role == role)
        and (region is None or row.region == region)
        and (type is None or type in row.types)
        and (capability is None or capability in row.capabilities)
    )


def free_slots(row: WorkerRow) -> int:
    """Slots in which nothing runs."""
    return max(0, row.max_tasks - row.active_tasks)
