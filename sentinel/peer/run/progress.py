"""The small file in which a task says how far it is: JSON lines, of which the last one counts."""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: Longest text in characters.
MAX_TEXT = 500
#: Bytes above which the file begins anew.
_MAX_FILE = 64 * 1024
#: Bytes at its end that are read: more than the longest report has, each character written as an escape.
_MAX_LINE = 8 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The latest report of a task: a fraction from 0 to 1 or a text."""

    #: Seconds since 1970 on the task's machine; for people.
    at: float
    done: float | str


def append(path: Path, done: float | str, *, wall: float) -> None:
    """Add a report. What goes wrong with the file is ignored."""
    line = json.dumps({"at": wall, "done": done}).encode() + b"\n"
    with suppress(OSError):
        # One write to a file in append mode: reports of two processes do not mix.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size > _MAX_FILE:
                os.ftruncate(descriptor, 0)
            os.write(descriptor, line)
        finally:
            os.close(descriptor)


def latest(path: Path) -> Progress | None:
    """The last complete report in the file, or None. Never waits, whatever the task put in its place."""
    for line in reversed(_tail(path).split(b"\n")[:-1]):
        with suppress(ValueError, KeyError, TypeError, RecursionError):
            raw = json.loads(line)
            if isinstance(raw["done"], int | float | str):
                return Progress(at=float(raw["at"]), done=raw["done"])
    return None


def _tail(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return b""
        return os.pread(descriptor, _MAX_LINE, max(0, found.st_size - _MAX_LINE))
    except OSError:
        return b""
    finally:
        os.close(descriptor)
