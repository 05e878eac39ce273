"""Every setting with all its names, for documentation and for `sentinel doctor`."""

from __future__ import annotations

import dataclasses

from sentinel.settings.key import Key
from sentinel.settings.tree import KEYS


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeyDoc:
    """One setting in words. An empty text means that there is none."""

    #: Dotted name in `Settings`, such as ``heartbeat.interval``.
    python: str
    #: Dotted key in the files.
    json: str
    #: Our environment name, and others that are accepted when it is not set.
    env: str
    env_also: tuple[str, ...]
    flag: str
    #: Unit in Python, environment and flags, and the one in the files.
    unit: str
    json_unit: str
    default: str
    range: str
    meaning: str
    #: Whether every peer must have the same value.
    fleet: bool


def documented_keys() -> list[KeyDoc]:
    """All settings, in the order of the tree."""
    return [_doc(key) for key in KEYS]


def _doc(key: Key) -> KeyDoc:
    return KeyDoc(
        python=key.python,
        json=key.json,
        env=key.env[0] if key.env else "",
        env_also=key.env[1:],
        flag=key.flag or "",
        unit=key.unit,
        json_unit=key.json_unit,
        default=key.default,
        range=key.range,
        meaning=key.meaning,
        fleet=key.scope == "fleet",
    )
