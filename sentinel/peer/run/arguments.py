"""What arguments look like in messages for people, and which of them a task knows."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any

from sentinel.errors import BadInput

_WORDS: tuple[tuple[Any, str], ...] = (
    (bool, "true or false"),  # before int: True is an int
    (str, "a text"),
    (int, "a whole number"),
    (float, "a number"),
    (list | tuple, "a list"),
    (dict, "an object"),
    (type(None), "null"),
)


def described(value: object) -> str:
    """What kind of JSON value this is: ``a text``, ``a whole number``."""
    return next((word for kind, word in _WORDS if isinstance(value, kind)), type(value).__name__)


def nearest(name: str, known: Collection[str]) -> str:
    """The end of a sentence about the unknown ``name``: what was probably meant, or what there is."""
    if not known:
        return "there is none"
    close = difflib.get_close_matches(name, sorted(known), 1, 0.6)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"


def check_names(
    type: str, args: Mapping[str, Any], known: Collection[str], required: Collection[str]
) -> None:
    """Raise `BadInput` when ``args`` has a name that is not ``known``, or lacks one that is ``required``."""
    for name in args:
        if name not in known:
            hint = nearest(str(name), known) if known else "it takes none"
            raise BadInput(f"{type} has no argument {str(name)[:40]!r}; {hint}")
    for name in sorted(required):
        if name not in args:
            raise BadInput(f"{type} needs the argument {name!r}")


def check_text(what: str, value: str) -> str:
    """``value`` itself when a program can be given it. Raises `BadInput` naming ``what`` otherwise."""
    if "\0" in value:
        raise BadInput(f"{what} holds a NUL character, which no program can be given")
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise BadInput(f"{what} holds half of a surrogate pair, which no program can be given") from None
    return value
