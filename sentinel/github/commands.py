"""Commands in comments: the first line, alone, is one of four words."""

from __future__ import annotations

import dataclasses
import re
from typing import Literal, get_args

Name = Literal["retry", "cancel", "approve", "why"]
NAMES: tuple[Name, ...] = get_args(Name)

_COMMAND = re.compile(r"/(?P<name>[a-z]+)(?:[ \t]+(?P<spec>[0-9A-Fa-f]{8,64}))?[ \t]*")
#: Longest first line that is looked at.
_MAX_LINE = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """What somebody asks for in a comment."""

    name: Name
    #: After ``/approve``: the beginning of the hash that was looked at.
    spec: str | None = None

    def __str__(self) -> str:
        return f"/{self.name}"


def command(body: str) -> Command | None:
    """The command that a comment begins with; None for a comment that is for people."""
    line = body[: _MAX_LINE + 1].lstrip("\r\n").partition("\n")[0].rstrip("\r")
    found = _COMMAND.fullmatch(line) if len(line) <= _MAX_LINE else None
    if found is None or found["name"] not in NAMES:
        return None
    if found["spec"] is not None and found["name"] != "approve":
        return None
    return Command(found["name"], None if found["spec"] is None else found["spec"].lower())
