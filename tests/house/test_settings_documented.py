"""Every setting is documented with all its names, its default and its range, and nothing else is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import pytest

from sentinel.settings import KeyDoc, documented_keys
from tests.house import markdown
from tests.house.source import ROOT, Violation, forbid

GUIDE = "docs/configuration.md"
_HEADER = ["key in files", "environment", "Python", "unit", "default", "range", "meaning"]


def violations(keys: Iterable[KeyDoc], guide: str) -> Iterator[Violation]:
    rows = {row[0]: row for row in _setting_rows(guide)}
    for key in keys:
        row = rows.pop(f"`{key.json}`", None)
        if row is None:
            yield _at(f"no table has a row for `{key.json}` ({key.python})")
            continue
        environment = tuple(markdown.code(row[1]))
        if environment != tuple(name for name in (key.env, *key.env_also) if name):
            yield _at(f"`{key.json}` is documented with the environment {environment}")
        if markdown.code(row[2]) != [key.python]:
            yield _at(f"`{key.json}` is {key.python} in Python, not {row[2]}")
        if _plain(row[4]) != _plain(key.default):
            yield _at(f"`{key.json}` has the default {key.default}, not {row[4]}")
        if _plain(row[5]) != _plain(key.range or "any"):
            yield _at(f"`{key.json}` has the range {key.range or 'any'}, not {row[5]}")
    for name in rows:
        yield _at(f"there is no setting {name}")


def _setting_rows(guide: str) -> Iterator[list[str]]:
    width = len(_HEADER)
    for row in markdown.rows(guide):
        if len(row) == width and row != _HEADER:
            yield row


def _plain(cell: str) -> str:
    return re.sub(r"[`\\]", "", cell)


def _at(message: str) -> Violation:
    return Violation(path=GUIDE, line=1, message=message)


def test_every_setting_is_documented_as_it_is_and_no_other() -> None:
    forbid(violations(documented_keys(), (ROOT / GUIDE).read_text(encoding="utf-8")))


_KEY = KeyDoc(
    python="locking.ttl",
    json="distributed.locking.ttlSeconds",
    env="SENTINEL_LOCKING_TTL",
    env_also=("LOCK_TTL",),
    flag="--ttl",
    unit="seconds",
    json_unit="seconds",
    default="300",
    range="from 5 to 86,400",
    meaning="Life of a named lock.",
    fleet=True,
)
_ROW = (
    "| `distributed.locking.ttlSeconds` | `SENTINEL_LOCKING_TTL`, `LOCK_TTL` | `locking.ttl` | seconds "
    "| 300 | from 5 to 86,400 | Life of a named lock. |"
)


def test_a_setting_that_is_documented_as_it_is_is_not_reported() -> None:
    forbid(violations([_KEY], _ROW))


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("ttlSeconds", "ttl", "no table has a row"),
        (", `LOCK_TTL`", "", "is documented with the environment"),
        ("`locking.ttl`", "`locks.ttl`", "is locking.ttl in Python"),
        ("| 300 |", "| 60 |", "has the default 300, not 60"),
        ("from 5", "from 1", "has the range from 5 to 86,400"),
    ],
)
def test_a_setting_that_is_documented_wrongly_is_found(right: str, wrong: str, message: str) -> None:
    assert message in next(violations([_KEY], _ROW.replace(right, wrong))).message


def test_a_documented_setting_that_does_not_exist_is_found() -> None:
    assert [found.message for found in violations([], _ROW)] == [
        "there is no setting `distributed.locking.ttlSeconds`"
    ]
