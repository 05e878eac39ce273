"""Tables on a terminal, which has an end at the right."""

from __future__ import annotations

import io
from typing import Any

import click
import pytest

from sentinel.cli import task_rows
from sentinel.cli.output import Columns, Output, show_rows

MADE_ID = "01m8am4711myn62739k0j29sr4"
COLUMNS: Columns = {name.upper(): name for name in ("id", "type", "state", "owner", "created")}
ROW = {
    "id": MADE_ID,
    "type": "word-count",
    "state": "cancelled",
    "owner": "worker-001",
    "created": "2026-11-26 00:28:41Z",
}
MORE: Columns = {"INCARNATION": "incarnation", "REASON": "reason"}


class Terminal(io.StringIO):
    """Standard output that is a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


def shown(
    monkeypatch: pytest.MonkeyPatch,
    row: dict[str, Any],
    output: Output = "table",
    *,
    width: int = 80,
    columns: Columns = COLUMNS,
) -> str:
    terminal = Terminal()
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout", terminal)
    show_rows([row], columns, output, wide=MORE)
    return click.unstyle(terminal.getvalue())


def test_an_id_stays_in_one_piece_where_the_table_is_too_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MADE_ID in shown(monkeypatch, ROW)


def test_a_table_that_can_break_at_words_keeps_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert max(len(line) for line in shown(monkeypatch, ROW).splitlines()) <= 80


def test_where_not_even_the_words_fit_the_lines_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    assert any(
        MADE_ID in line and "00:28:41Z" in line for line in shown(monkeypatch, ROW, width=40).splitlines()
    )


def test_a_word_that_is_longer_than_any_id_may_be_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, {**ROW, "id": "first", "type": "x" * 100})
    assert max(len(line) for line in text.splitlines()) <= 80


def test_more_columns_than_fit_are_written_below_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {**ROW, "incarnation": MADE_ID, "reason": "it ended with exit status 1"}
    assert f"incarnation: {MADE_ID}\nreason:      it ended" in shown(monkeypatch, row, "wide")


def test_a_wide_table_that_fits_is_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {**ROW, "incarnation": MADE_ID, "reason": "none"}
    assert "INCARNATION" in shown(monkeypatch, row, "wide", width=200)


def test_a_list_of_tasks_with_ids_that_were_made_fits_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {**ROW, "type": "shell", "priority": "critical", "created_at": "2026-11-26T00:28:41Z"}
    text = shown(monkeypatch, row, columns=task_rows.COLUMNS)
    assert max(len(line) for line in text.splitlines()) <= 80
