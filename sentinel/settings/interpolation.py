"""``${NAME}`` and ``${NAME:-default}`` in the texts of a configuration file."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

#: An escape, a reference that is well formed, or the beginning of one that is not.
_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^{}]*))?\}|\$\{")

#: The value of an environment variable; None when it is not set.
Lookup = Callable[[str], str | None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Expanded:
    """A value with its references replaced."""

    value: Any
    #: Whether there was any reference, so that the value may hold a secret of the environment.
    referred: bool = False
    #: Variables that are neither set nor have a default; their references stand as they were.
    unset: tuple[str, ...] = ()
    malformed: bool = False


def expand(value: Any, lookup: Lookup) -> Expanded:
    """``value`` with the references in all its texts replaced, names of objects excepted.

    ``$${`` stands for a literal ``${``; any other ``$`` stands for itself. What a variable holds is taken as
    it is: references in it are not followed.
    """
    if isinstance(value, str):
        return _expand_text(value, lookup)
    if isinstance(value, dict):
        inner = {name: expand(item, lookup) for name, item in value.items()}
        return _joined({name: item.value for name, item in inner.items()}, list(inner.values()))
    if isinstance(value, list):
        items = [expand(item, lookup) for item in value]
        return _joined([item.value for item in items], items)
    return Expanded(value=value)


def _expand_text(text: str, lookup: Lookup) -> Expanded:
    referred = malformed = False
    unset: list[str] = []

    def replace(match: re.Match[str]) -> str:
        nonlocal referred, malformed
        if match.group() == "$${":
            return "${"
        name, default = match["name"], match["default"]
        if name is None:
            malformed = True
            return match.group()
        referred = True
        found = lookup(name)
        if found is not None:
            return found
        if default is not None:
            return str(default)
        unset.append(name)
        return match.group()

    value = _REFERENCE.sub(replace, text)
    return Expanded(value=value, referred=referred, unset=tuple(unset), malformed=malformed)


def _joined(value: Any, parts: list[Expanded]) -> Expanded:
    return Expanded(
        value=value,
        referred=any(part.referred for part in parts),
        unset=tuple(dict.fromkeys(name for part in parts for name in part.unset)),
        malformed=any(part.malformed for part in parts),
    )
