"""Writing to a pipe whose reader may be stopped, without ever waiting for it."""

from __future__ import annotations

import fcntl
import os
import select
import threading
from contextlib import suppress
from typing import IO

#: Bytes that a pipe may hold; what the kernel allows to everybody.
_PIPE_BYTES = 1 << 20


def widen(pipe: int) -> None:
    """Let a pipe hold more than usual, if the kernel lets this user."""
    with suppress(OSError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


class Outbox:
    """The writing end of a pipe; its methods may be called from any thread, and none blocks.

    Whoever has something to say writes it: waking a thread for that costs more than all else. Only what the
    pipe has no room for is left to a thread, until the reader goes on.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        os.set_blocking(pipe.fileno(), False)
        widen(pipe.fileno())
        self._mutex = threading.Lock()
        self._unsent = b""
        self._closing = False

    def put(self, data: bytes) -> None:
        """Write ``data`` after all that was put before; nothing when the reader is gone, or after `close`."""
        with self._mutex:
            if self._closing:
                return
            waited = bool(self._unsent)
            self._unsent += data
            if waited:
                return
            self._write()
            if self._unsent:
                threading.Thread(target=self._write_rest, name="outbox", daemon=True).start()

    def close(self) -> None:
        """Close the pipe when all is written. Idempotent."""
        with self._mutex:
            self._closing = True
            if not self._unsent:
                self._close()

    def _write(self) -> None:
        with suppress(BlockingIOError):
            try:
                while self._unsent:
                    self._unsent = self._unsent[os.write(self._pipe.fileno(), self._unsent) :]
            except BrokenPipeError:
                # Whoever reads what the other side says learns that it is gone.
                self._unsent = b""

    def _write_rest(self) -> None:
        while True:
            select.select([], [self._pipe], [])
            with self._mutex:
                self._write()
                if not self._unsent:
                    if self._closing:
                        self._close()
                    return

    def _close(self) -> None:
        with suppress(BrokenPipeError):
            self._pipe.close()
