"""The live log of one run: standard output and error, merged, up to a limit.

Part of the reaper process: the standard library only.
"""

from __future__ import annotations

import os


class LiveLog:
    """A file that output is appended to while the program runs.

    Nothing that goes wrong with the file (disk full, folder gone, read-only) is ever raised: the run is
    worth more than its log. What cannot be kept is dropped, and `truncated` says so.
    """

    def __init__(self, path: str, limit: int) -> None:
        self._limit = limit
        #: Bytes in the file.
        self.size = 0
        #: Whether output was dropped.
        self.truncated = False
        #: Why the file could not be written; None while it can.
        self.problem: str | None = None
        self._file = -1
        try:
            folder = os.path.dirname(path)  # noqa: PTH120 - pathlib would cost the supervisor memory
            if folder:
                os.makedirs(folder, mode=0o700, exist_ok=True)  # noqa: PTH103 - the same
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            self._file = os.open(path, flags, 0o600)
        except OSError as error:
            self._give_up(error)

    def append(self, data: bytes) -> None:
        """Write ``data``, or as much of it as the limit leaves room for."""
        if self.size + len(data) > self._limit:
            self.truncated = True
            data = data[: self._limit - self.size]
        left = memoryview(data)
        while left and self.problem is None:
            try:
                written = os.write(self._file, left)
            except OSError as error:
                self._give_up(error)
                return
            self.size += written
            left = left[written:]
        if left:
            self.truncated = True

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _give_up(self, error: OSError) -> None:
        # For good: a log with a hole in its middle would be read as complete.
        self.problem = f"the log could not be written: {error.strerror}"
        self.truncated = True
