"""One layer of configuration: what one source says, each value with the place that it stands at."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import SecretStr, ValidationError

from sentinel.settings.jsonfile import below
from sentinel.settings.key import Key
from sentinel.settings.tree import KEYS, Settings
from sentinel.settings.variables import OTHER_NAMES, Variables

#: Place in the settings tree; one longer than its key's for a value below an open object.
KeyPath = tuple[str, ...]

_REASONS: Mapping[str, str] = {
    "float_type": "must be a number",
    "finite_number": "must be a number",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "string_type": "must be a text",
    "tuple_type": "must be a list",
    "mapping_type": "must be an object",
    "dict_type": "must be an object",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One value that a source gives."""

    key: Key
    path: KeyPath
    #: In the unit of the settings tree, not yet validated.
    value: Any
    #: As the source has it, for messages; None when it must not be shown.
    shown: str | None
    #: For `Settings.origin_of`, such as ``.env:3``.
    origin: str
    #: How a message about it begins, such as ``.env:3: WORKER_ID``.
    label: str
    in_json: bool = False

    def refusal(self, loc: tuple[str | int, ...], error: Mapping[str, Any]) -> str:
        """The sentence for what pydantic found at ``loc`` below this value."""
        where = self.label
        for name in loc:
            where = where if name == "[key]" else below(where, name)
        reason = self._reason(error, inside=bool(loc) or self.path != self.key.path)
        shown = shown_value(error["input"]) if loc else self.shown
        if self.shown is None or not reason.startswith("must be"):
            return f"{where} {reason}"
        return f"{where} {reason}, not {shown}"

    def _reason(self, error: Mapping[str, Any], *, inside: bool) -> str:
        context: Mapping[str, Any] = error.get("ctx", {})
        if error["type"] == "value_error":
            return str(context["error"])
        if not inside:
            return f"must be {self.key.expected(json=self.in_json)}"
        if error["type"] == "greater_than_equal":
            return f"must be at least {context['ge']}"
        return _REASONS.get(error["type"], str(error["msg"]))


#: The values of one source by place in the settings tree.
Layer = Mapping[KeyPath, Entry]


def from_flags(flags: Mapping[str, object]) -> Layer:
    """What the command line gave; a value of None was not given. Raises `KeyError` for an unknown name."""
    by_name = {key.python: key for key in KEYS}
    found: dict[KeyPath, Entry] = {}
    for name, value in flags.items():
        key = by_name[name]
        if value is None:
            continue
        origin = f"flag {key.flag}" if key.flag else f"argument {name}"
        typed = key.from_text(value) if isinstance(value, str) else value
        inner = typed.items() if key.kind == "mapping" and isinstance(typed, Mapping) else [(None, typed)]
        for inner_name, inner_value in inner:
            path = key.path if inner_name is None else (*key.path, inner_name)
            shown = None if key.kind == "secret" else shown_value(inner_value)
            found[path] = Entry(
                key=key, path=path, value=inner_value, shown=shown, origin=origin, label=origin
            )
    return found


def from_variables(variables: Variables) -> Layer:
    """What environment variables say. A key's own name counts before the other names that it accepts."""
    found: dict[KeyPath, Entry] = {}
    for key in KEYS:
        variable = next((variables[name] for name in key.env if name in variables), None)
        if variable is None:
            continue
        found[key.path] = Entry(
            key=key,
            path=key.path,
            value=key.from_text(variable.value),
            shown=None if key.kind == "secret" else shown_value(variable.value),
            origin=variable.origin,
            label=variable.label,
        )
    return found


def unknown_variables(variables: Variables) -> list[str]:
    """A warning for each ``SENTINEL_`` variable that names no setting, with the nearest that does."""
    names = {name for key in KEYS for name in key.env}
    guide = {"SENTINEL_" + "_".join(key.path).upper(): key.env[0] for key in KEYS if key.env}
    warnings = []
    for name, variable in sorted(variables.items()):
        if not name.startswith("SENTINEL_") or name in names or name in OTHER_NAMES:
            continue
        near = guide.get(name) or next(iter(difflib.get_close_matches(name, sorted(names), 1, 0.8)), None)
        hint = f"; did you mean {near}?" if near else ""
        warnings.append(f"{variable.label} is no setting and was ignored{hint}")
    return warnings


def checked(layer: Layer, report: Callable[[str], None]) -> dict[KeyPath, Entry]:
    """The entries of ``layer`` that are valid by themselves; the others are reported."""
    try:
        Settings(**nested(layer.values()))
    except ValidationError as failure:
        bad: set[KeyPath] = set()
        for error in failure.errors(include_url=False):
            loc = error["loc"]
            path = next(p for p in (tuple(map(str, loc[:n])) for n in range(len(loc), 0, -1)) if p in layer)
            report(layer[path].refusal(loc[len(path) :], error))
            bad.add(path)
        return {path: entry for path, entry in layer.items() if path not in bad}
    return dict(layer)


def nested(entries: Iterable[Entry]) -> dict[str, Any]:
    """The values as the nested mapping that `Settings` is made of."""
    tree: dict[str, Any] = {}
    for entry in entries:
        node = tree
        for name in entry.path[:-1]:
            node = node.setdefault(name, {})
        node[entry.path[-1]] = entry.value
    return tree


def shown_value(value: object) -> str:
    """``value`` for a message: as JSON in ASCII, shortened; a secret as stars."""
    if isinstance(value, SecretStr):
        return str(value)
    try:
        text = json.dumps(value, ensure_ascii=True)
    except (TypeError, ValueError):
        text = ascii(value)
    return text if len(text) <= 60 else text[:60] + "…"
