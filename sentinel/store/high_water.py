"""The newest head of the state branch that this machine has seen, kept across restarts.

History only grows. A head that does not contain the newest one seen before means that somebody moved the
branch back or made it anew, and that what was decided since is gone.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path


class HighWater:
    """A file that all connections of this machine to one store share; without a folder, only a memory.

    A write that fails is no error: the mark is then older than it could be.
    """

    def __init__(self, folder: Path | None) -> None:
        self.file = None if folder is None else folder / "newest-head"
        self._known: str | None = None

    def read(self) -> str | None:
        """The object id of the newest head seen, or None."""
        if self.file is None:
            return self._known
        try:
            text = self.file.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            return self._known
        return text if re.fullmatch(r"[0-9a-f]{40}", text) else self._known

    def raise_to(self, head: str) -> None:
        """Remember ``head``, which contains what was remembered before."""
        if head == self._known:
            return
        self._known = head
        if self.file is not None:
            temporary = self.file.with_name(f"{self.file.name}.{os.getpid()}.{id(self)}")
            with contextlib.suppress(OSError):
                temporary.write_text(head + "\n", "ascii")
                temporary.replace(self.file)
