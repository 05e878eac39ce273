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
    "offline, cordoned": "yellow",
    "stale, cordoned": "yellow",
    "error, cordoned": "red",
}

#: Spaces between two columns.
_GAP = 2
#: Characters of a word that is not broken: ids that we make have 26.
_WORD = 30


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
    if not sys.stdout.isatty():
        _plain_table(list(columns), cells)
    elif not _rich_table(list(columns), cells):
        if output == "wide":
            _records(list(columns), cells)
        else:
            # Lines that the terminal breaks can still be read and copied; words in pieces cannot.
            _plain_table(list(columns), cells)


def show_record(row: Row, columns: Columns, output: Output) -> None:
    """Write one row, a line for each field that has a value."""
    if output == "json":
        show_json(row)
        return
    _records(list(columns), [[_cell(_value(row, column)) for column in columns.values()]])


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


def worker_status(row: Row) -> str:
    """A worker's status for people: with the cordon where the status does not tell of it."""
    status = str(row["status"])
    told = status in ("cordoned", "draining") or not row["cordoned"]
    return status if told else f"{status}, cordoned"


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


def _records(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    width = max(len(heading) for heading in headings) + 1
    for place, line in enumerate(cells):
        if place:
            click.echo()
        for heading, text in zip(headings, line, strict=True):
            if text != "-":
                click.echo(f"{heading.lower() + ':':<{width}} {text}")


def _rich_table(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> bool:
    """Write a table that fits the terminal with no short word in pieces; False when there is none."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    widths = _fitting([headings, *cells], console.width)
    if widths is None:
        return False
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    for heading, width in zip(headings, widths, strict=True):
        table.add_column(heading, overflow="fold", width=width)
    for line in cells:
        table.add_row(*(Text(text, style=_COLOURS.get(text, "")) for text in line))
    console.print(table)
    return True


def _fitting(lines: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """How wide each column is in ``room``: the widest give way first, down to their longest word."""
    from rich.cells import cell_len

    columns = list(zip(*lines, strict=True))
    widths = [max(cell_len(text) for text in column) for column in columns]
    least = [
        min(_WORD, max(cell_len(word) for text in column for word in text.split(" "))) for column in columns
    ]
    room -= _GAP * (len(columns) - 1)
    while sum(widths) > room:
        yielding = [place for place, width in enumerate(widths) if width > least[place]]
        if not yielding:
            return None
        widths[max(yielding, key=lambda place: widths[place])] -= 1
    return widths
