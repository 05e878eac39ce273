"""Files that people write: whether they are there, and their text."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Literal

#: Largest configuration file in bytes; far above what anybody writes by hand.
MAX_FILE_BYTES = 1024 * 1024
_BOM = b"\xef\xbb\xbf"


def presence(path: Path) -> Literal["missing", "folder", "file"]:
    """What is at ``path``. Whatever cannot be told is a ``file``: reading it says what is wrong."""
    try:
        return "folder" if stat.S_ISDIR(path.stat().st_mode) else "file"
    except (FileNotFoundError, NotADirectoryError):
        # A link to nowhere is a mistake to report, not a file that nobody wrote.
        return "file" if path.is_symlink() else "missing"
    except (OSError, ValueError):
        return "file"


def read_text(path: Path, report: Callable[[str], None]) -> str | None:
    """The UTF-8 text of a configuration file; None, after ``report`` of why, when it cannot be read."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        report(f"cannot be read: {getattr(error, 'strerror', None) or error}")
        return None
    if len(data) > MAX_FILE_BYTES:
        report(f"is larger than {MAX_FILE_BYTES} bytes")
    elif data.startswith(_BOM):
        report("begins with a byte order mark; save it as UTF-8 without one")
    else:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
            report(f"is not UTF-8 at line {line} column {column}")
    return None
