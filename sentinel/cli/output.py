"""Writes rows as a table or as JSON: plainly into a pipe, with rich on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import click

from sentinel.cli.ending import plain

F = TypeVar("F", bound=Callable[..., Any])

Output = Literal["table", "wide", "json"]
Row = Mapping[str, Any]
#: Heading → the field of the row that it shows, or a function of the row.
Columns = Mapping[str, str | Callable[[Row], Any]]

_COLOURS = {
    "done": "green",
    "healthy": "green",
    "degraded": "yellow",
    "down": "red",
    "critical": "red",
    "warning": "yellow",
    "cordoned": "yellow",
    "online": "green",
    "running": "cyan",
    "busy": "cyan",
    "failed": "red",
    "dead": "red",
    "error": "red",
    "stale": "yellow",
    "blocked": "yellow",
    "draining": "yellow",
    "cancelled": "yellow",
    "offline": "dim",
}


def output_option(function: F) -> F:
    """The option ``-o``, which every command that shows something has."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "wide", "json"]),
        default="table",
        show_default=True,
        help="A table, one with more columns, or one JSON document.",
    )(function)


def dry_run_option(function: F) -> F:
    """The option ``--dry-run``, which every command that changes something has."""
    return click.option("--dry-run", is_flag=True, help="Check and say what would be done, and do nothing.")(
        function
    )


def show_rows(rows: Sequence[Row], columns: Columns, output: Output, *, wide: Columns | None = None) -> None:
    """Write all rows; ``wide`` are columns that only ``-o wide`` adds."""
    if output == "json":
        show_json(list(rows))
        return
    if output == "wide":
        columns = {**columns, **(wide or {})}
    cells = [[_cell(_value(row, column)) for column in columns.values()] for row in rows]
    if sys.stdout.isatty():
        _rich_table(list(columns), cells)
    else:
        _plain_table(list(columns), cells)


def show_record(row: Row, columns: Columns, output: Output) -> None:
    """Write one row, a line for each field that has a value."""
    if output == "json":
        show_json(row)
        return
    values = {heading: _cell(_value(row, column)) for heading, column in columns.items()}
    width = max(len(heading) for heading in values) + 1
    for heading, text in values.items():
        if text != "-":
            click.echo(f"{heading.lower() + ':':<{width}} {text}")


def show_json(document: Any) -> None:
    """Write one JSON document."""
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))


def moment(field: str) -> Callable[[Row], str | None]:
    """A time of the row for people: to the second, in UTC."""

    def shown(row: Row) -> str | None:
        text = row[field]
        if not text:
            return None
        return f"{text[:19].replace('T', ' ')}Z"

    return shown


def _value(row: Row, column: str | Callable[[Row], Any]) -> Any:
    return row[column] if isinstance(column, str) else column(row)


def _cell(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return plain(",".join(value))
    return plain(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _plain_table(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    widths = [max(len(line[place]) for line in [headings, *cells]) for place in range(len(headings))]
    for line in [headings, *cells]:
        padded = [text.ljust(width) for text, width in zip(line, widths, strict=True)]
        click.echo("  ".join(padded).rstrip())


def _rich_table(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for line in cells:
        table.add_row(*(Text(text, style=_COLOURS.get(text, "")) for text in line))
    Console().print(table)
