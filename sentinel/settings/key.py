"""What is known of a setting besides its type: its names in files, environment and flags, unit and range.

All of it is stated once, at the field itself, by `setting`; the loader, the error messages and the
documentation read it from there.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, SecretStr
from typing_extensions import is_typeddict

#: ``mapping`` is an open object: its names are chosen by whoever writes the file.
Kind = Literal["number", "whole", "switch", "text", "choice", "list", "path", "secret", "mapping"]
#: ``fleet`` values are the same for every peer, so a worker file may not contradict the shared file.
Scope = Literal["fleet", "worker"]

_EXTRA = "sentinel"
_KINDS: Mapping[Any, Kind] = {
    float: "number",
    int: "whole",
    bool: "switch",
    str: "text",
    Literal: "choice",
    tuple: "list",
    Path: "path",
    SecretStr: "secret",
    collections.abc.Mapping: "mapping",
}
_SWITCH = dict.fromkeys(("1", "true", "yes", "on"), True) | dict.fromkeys(("0", "false", "no", "off"), False)
_EXPECTED: Mapping[Kind, str] = {
    "text": "a text",
    "choice": "a text",
    "list": "a list of texts",
    "path": "a path",
    "secret": "a text",
    "mapping": "an object",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One setting: where its value may come from and what it may be."""

    #: Place in the settings tree, such as ``("heartbeat", "interval")``.
    path: tuple[str, ...]
    #: Dotted key in the JSON files.
    json: str
    #: Environment names; the first is ours, the others are accepted when it is not set. Empty: files only.
    env: tuple[str, ...]
    #: The command line's name for it, if it has one.
    flag: str | None
    kind: Kind
    #: Unit in Python, environment and flags; in JSON there are ``per_unit`` ``json_unit`` to one of it.
    unit: str
    json_unit: str
    per_unit: int
    ge: float | None
    le: float | None
    #: What is allowed, in words, where two limits do not say it.
    values: str
    default: str
    meaning: str
    scope: Scope
    #: Whether a running worker heeds a change of it on SIGHUP.
    live: bool

    @property
    def python(self) -> str:
        """Dotted name in the settings tree."""
        return ".".join(self.path)

    @property
    def range(self) -> str:
        """What is allowed, in the unit of Python and the environment; empty when anything is."""
        if self.values or (self.ge is None and self.le is None):
            return self.values or ("true or false" if self.kind == "switch" else "")
        return span(self.ge, self.le, 1)

    def from_text(self, text: str) -> object:
        """What ``text`` from environment or flag stands for; ``text`` itself when that is nothing."""
        word = text.strip()
        try:
            match self.kind:
                case "number":
                    return float(word)
                case "whole":
                    return int(word)
                case "switch":
                    return _SWITCH[word.lower()]
                case "list":
                    return tuple(item.strip() for item in word.split(",") if item.strip())
        except (ValueError, KeyError):
            return text
        return text

    def from_json(self, value: object) -> object:
        """``value`` of a JSON file in the tree's own unit; anything but a number is left for validation."""
        if self.per_unit == 1 or isinstance(value, bool) or not isinstance(value, int | float):
            return value
        return value / self.per_unit

    def expected(self, *, json: bool) -> str:
        """What a value must be, in the unit of JSON or of the environment, such as ``true or false``."""
        if self.kind in ("number", "whole"):
            noun = "a number" if self.kind == "number" else "a whole number"
            unit, factor = (self.json_unit, self.per_unit) if json else (self.unit, 1)
            return f"{noun}{f' of {unit}' if unit else ''} {span(self.ge, self.le, factor)}"
        if self.kind == "switch":
            return "true or false" if json else "1 or 0 (or true, false, yes, no, on, off)"
        return self.values or _EXPECTED[self.kind]


def setting(
    default: object,
    meaning: str,
    *,
    json: str,
    env: tuple[str, ...] | None = None,
    flag: str | None = None,
    unit: str = "",
    json_unit: str = "",
    per_unit: int = 1,
    ge: float | None = None,
    le: float | None = None,
    values: str = "",
    shown_default: str = "",
    scope: Scope = "worker",
    live: bool = False,
) -> Any:
    """A pydantic field that also says where its value may come from; the parameters are those of `Key`.

    ``env`` left out follows the settings tree. ``shown_default`` is for a default that does not speak for
    itself. The field's description gives meaning, unit, default and range.
    """
    shown = shown_default or _plain(default)
    allowed = values or (span(ge, le, 1) if ge is not None or le is not None else "any")
    limits: dict[str, Any] = {name: limit for name, limit in (("ge", ge), ("le", le)) if limit is not None}
    return Field(
        default,
        description=f"{meaning} Unit: {unit or 'none'}. Default: {shown}. Range: {allowed}.",
        json_schema_extra={
            _EXTRA: {
                "json": json,
                "env": None if env is None else list(env),
                "flag": flag,
                "unit": unit,
                "json_unit": json_unit or unit,
                "per_unit": per_unit,
                "ge": ge,
                "le": le,
                "values": values,
                "default": shown,
                "meaning": meaning,
                "scope": scope,
                "live": live,
            }
        },
        **limits,
    )


def keys_of(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[Key]:
    """Every setting in ``model`` and the sections below it, in the order in which they are written."""
    for name, field in model.model_fields.items():
        path = (*above, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys_of(field.annotation, path)
            continue
        assert isinstance(field.json_schema_extra, dict), f"{path} is not declared with setting()"
        stated: dict[str, Any] = dict(typing.cast("dict[str, Any]", field.json_schema_extra[_EXTRA]))
        env = stated.pop("env")
        names = ["SENTINEL_" + "_".join(path).upper()] if env is None else env
        yield Key(path=path, env=tuple(names), kind=_kind(field.annotation), **stated)


def span(ge: float | None, le: float | None, factor: int) -> str:
    """Two limits in words, each times ``factor``: ``from 100 to 3,600,000``."""
    low = None if ge is None else amount(ge * factor)
    high = None if le is None else amount(le * factor)
    if high is None:
        return f"from {low} up"
    return f"from {low} to {high}"


def amount(number: float) -> str:
    """A number for people: thousands apart, no needless decimals."""
    return f"{round(number, 6):,}".removesuffix(".0")


def _kind(annotation: Any) -> Kind:
    if is_typeddict(annotation):
        return "mapping"
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _kind(typing.get_args(annotation)[0])
    if origin in (types.UnionType, typing.Union):
        return _kind(next(part for part in typing.get_args(annotation) if part is not type(None)))
    return _KINDS[origin or annotation]


def _plain(default: object) -> str:
    if isinstance(default, bool):
        return "true" if default else "false"
    if isinstance(default, int | float):
        return amount(default)
    if not default:
        return "empty" if isinstance(default, tuple | dict) else "not set"
    return str(default)
