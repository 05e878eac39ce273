"""How daemon, supervisor and reapers talk: lines of a word, the names it is about, and a JSON object.

``ended 54d00d867758cef8-1 {"cause": "exit", …}``. Whoever only passes a line on knows by its words where it
goes, and need not read the rest. Standard library only, for the supervisor imports it.
"""

from __future__ import annotations

import json
from typing import Any


def line(word: str, /, *names: str, **fields: Any) -> bytes:
    """One line, with its end. Names hold no space."""
    return passed(word, *names, data=json.dumps(fields).encode())


def passed(word: str, /, *names: str, data: bytes) -> bytes:
    """The same with an object that is JSON already."""
    return b"%b %b\n" % (" ".join((word, *names)).encode(), data)


def words(line: bytes) -> tuple[list[str], bytes]:
    """The word with its names, and the object as it came."""
    before, _, after = line.partition(b" {")
    return before.decode().split(" "), b"{" + after


def fields(data: bytes) -> dict[str, Any]:
    """The object. Raises `ValueError`."""
    found: dict[str, Any] = json.loads(data)
    return found
