"""JSON objects, read strictly: every mistake is found, and what is right besides it is still used."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

#: Deepest nesting of a configuration file; far above what anybody writes by hand.
MAX_DEPTH = 32
_MAX_DIGITS = 300
_TOO_DEEP = f"nests deeper than {MAX_DEPTH} levels"


@dataclasses.dataclass(frozen=True, slots=True)
class _Wrong:
    """Stands in the tree for a number that JSON does not have or that no setting can be."""

    reason: str


class _Object(dict[str, Any]):
    """An object that remembers which names it was given twice."""

    repeated: tuple[str, ...] = ()


def parse_object(text: str, report: Callable[[str], None]) -> dict[str, Any]:
    """The object that ``text`` holds. What is wrong with it is reported and left out of the result."""
    try:
        found = json.loads(
            text, object_pairs_hook=_pairs, parse_constant=_constant, parse_float=_float, parse_int=_int
        )
    except json.JSONDecodeError as error:
        report(f"not JSON at line {error.lineno} column {error.colno}: {error.msg}")
        return {}
    except RecursionError:
        report(_TOO_DEEP)
        return {}
    if not isinstance(found, dict):
        report("must hold a JSON object, in braces")
        return {}
    cleaned = _cleaned(found, "", 1, report)
    return cleaned if isinstance(cleaned, dict) else {}


def below(path: str, name: str | int) -> str:
    """The dotted key of ``name`` (a list's index in brackets) below ``path``."""
    if isinstance(name, int):
        return f"{path}[{name}]"
    shown = name if name.isprintable() else ascii(name)[1:-1]
    shown = shown if len(shown) <= 60 else shown[:60] + "…"
    return f"{path}.{shown}" if path else shown


def _cleaned(value: Any, path: str, depth: int, report: Callable[[str], None]) -> Any:
    """``value`` without what is wrong in it; `_Wrong` when nothing is left of it."""
    if depth > MAX_DEPTH and isinstance(value, dict | list):
        report(f"{path} {_TOO_DEEP}")
        return _Wrong("")
    if isinstance(value, _Wrong):
        report(f"{path} {value.reason}")
        return value
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            report(f"{path} holds half of a surrogate pair, which UTF-8 cannot carry")
            return _Wrong("")
        return value
    if isinstance(value, _Object):
        for name in value.repeated:
            report(f"{below(path, name)} stands twice in one object")
        kept = {name: _cleaned(inner, below(path, name), depth + 1, report) for name, inner in value.items()}
        return {name: inner for name, inner in kept.items() if not isinstance(inner, _Wrong)}
    if isinstance(value, list):
        items = [_cleaned(inner, below(path, place), depth + 1, report) for place, inner in enumerate(value)]
        return _Wrong("") if any(isinstance(item, _Wrong) for item in items) else items
    return value


def _pairs(pairs: list[tuple[str, Any]]) -> _Object:
    found = _Object(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        found.repeated = tuple(name for name in found if names.count(name) > 1)
    return found


def _constant(name: str) -> _Wrong:
    return _Wrong(f"is {name}, which is not a JSON number")


def _float(text: str) -> float | _Wrong:
    value = float(text)
    return value if math.isfinite(value) else _Wrong("is too large a number")


def _int(text: str) -> int | _Wrong:
    return int(text) if len(text) <= _MAX_DIGITS else _Wrong("is too large a number")
