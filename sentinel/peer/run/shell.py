"""The built-in type ``shell``: an argv from a submitter who can write to the store. No shell is involved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sentinel.errors import BadInput
from sentinel.peer.run.arguments import check_text, described

#: The name of the type.
SHELL = "shell"


def argv(args: Mapping[str, Any], positional: Sequence[Any]) -> tuple[str, ...]:
    """The program and its arguments, taken literally from ``positional``. Raises `BadInput`."""
    if args:
        raise BadInput(f"the type shell takes no argument {next(iter(args))!r}: give its argv after --")
    if not positional or not positional[0]:
        raise BadInput("the type shell needs an argv, such as: sentinel tasks submit shell -- ls -l")
    for place, word in enumerate(positional, 1):
        if not isinstance(word, str):
            raise BadInput(f"word {place} of the shell task's argv must be a text, not {described(word)}")
        check_text(f"word {place} of the shell task's argv", word)
    return tuple(positional)
