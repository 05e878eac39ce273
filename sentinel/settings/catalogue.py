"""Every setting with all its names, for documentation, and its value in force, for people."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sentinel.settings.key import Key
from sentinel.settings.tree import KEYS, Settings, store_kind

#: Stands where a value must not be shown.
MASK = "********"


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
    #: Whether a running worker heeds a change of it on SIGHUP; others wait for the next start.
    live: bool = False


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
        live=key.live,
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """A value in force, fit to be shown to anybody."""

    #: Dotted name in `Settings`; one longer than the setting's for a value below an open object.
    name: str
    setting: KeyDoc
    #: In the unit of Python, as JSON; None when it is not set; `MASK` when it must not be shown.
    value: Any
    origin: str


def effective(settings: Settings) -> Iterator[Effective]:
    """Every value in force and where it came from, in the order of the tree; secrets masked."""
    for key in KEYS:
        node: Any = settings
        for name in key.path:
            node = getattr(node, name)
        if key.kind == "mapping" and node:
            for name, value in node.items():
                below = f"{key.python}.{name}"
                shown = MASK if settings.hides(below) else value
                yield Effective(name=below, setting=_doc(key), value=shown, origin=settings.origin_of(below))
            continue
        yield Effective(
            name=key.python,
            setting=_doc(key),
            # Words of a command that came through a reference may hold a secret; a name of a region does not.
            value=MASK
            if key.kind == "list" and settings.hides(key.python)
            else _shown(key, _filled(key, node, settings)),
            origin=settings.origin_of(key.python),
        )


def _filled(key: Key, value: Any, settings: Settings) -> Any:
    """The value; for a pause that depends on the kind of store, the one that holds there."""
    if value is None and key.path[0] == "heartbeat" and settings.store is not None:
        times = settings.lease(store_kind(settings.store))
        return times.interval if key.path[-1] == "interval" else times.stale
    return value


def _shown(key: Key, value: Any) -> Any:
    if value is None:
        return None
    if key.kind == "secret":
        return MASK
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, str) and key.path == ("store",):
        # Over http the user part is often a token.
        return re.sub(r"^((?:git\+)?https?://)[^/@]+@", rf"\1{MASK}@", value)
    return value
