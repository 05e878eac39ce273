"""Task types that this machine's configuration declares, and the values that their arguments take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sentinel.fleet.submission import SHELL, Declared
from sentinel.model import codec

if TYPE_CHECKING:
    from sentinel.settings import Settings

#: Argument name → a function that makes its value from text.
Typing = Mapping[str, Callable[[str], Any]]


def declared_types(settings: Settings, wanted: str) -> tuple[dict[str, Declared], Typing]:
    """All types known here, and how the arguments of ``wanted`` are read from text.

    Modules are imported only when nothing else declares ``wanted``. Raises `BadInput` for a command that is
    declared wrongly and a module that cannot be loaded.
    """
    from sentinel.peer.run.command import CommandTemplate

    found: dict[str, Declared] = {"shell": SHELL} if settings.tasks.shell else {}
    typing: dict[str, Callable[[str], Any]] = {}
    for name, raw in settings.tasks.commands.items():
        origin = settings.origin_of(f"tasks.commands.{name}")
        if name != wanted:
            found[name] = Declared(origin=origin)
            continue
        template = CommandTemplate.parse(name, raw)
        found[name] = Declared(
            origin=origin, check=template.check, timeout=template.timeout, retries=template.retries
        )
        typing = {a.name: _text if a.type == "string" else guess for a in template.args.values()}
    if wanted not in found:
        functions, typing = _functions(settings, wanted)
        found = {**functions, **found}
    return found, typing


def _functions(
    settings: Settings, wanted: str
) -> tuple[dict[str, Declared], dict[str, Callable[[str], Any]]]:
    from sentinel.peer.run.registered import load

    entries = load(settings.tasks.modules)
    found = {
        name: Declared(
            origin=f"module {entry.module}", check=entry.check, timeout=entry.timeout, retries=entry.retries
        )
        for name, entry in entries.items()
    }
    return found, _readers(entries[wanted].function) if wanted in entries else {}


def _readers(function: Callable[..., Any]) -> dict[str, Callable[[str], Any]]:
    import types
    import typing

    try:
        hints = typing.get_type_hints(function)
    except Exception:  # noqa: BLE001 - an annotation may name what only type checkers import
        return {}
    readers: dict[str, Callable[[str], Any]] = {}
    for name, hint in hints.items():
        union = typing.get_origin(hint) in (typing.Union, types.UnionType)
        kinds = {typing.get_origin(kind) or kind for kind in (typing.get_args(hint) if union else (hint,))}
        if str in kinds:
            readers[name] = _text
        elif not kinds.isdisjoint((list, dict)):
            readers[name] = _json
    return readers


def guess(text: str) -> Any:
    """An argument whose type nobody here declares: a JSON number, true, false, null, or the text."""
    value = _json(text)
    return text if isinstance(value, str | list | dict) else value


def _json(text: str) -> Any:
    try:
        return codec.decode(text.encode())
    except ValueError:
        return text


def _text(text: str) -> str:
    return text
