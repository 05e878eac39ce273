"""The desk's end of the sockets through which tasks ask for shared memory: lines in, lines out.

Nobody who does not read, or sends without end, can make the desk wait.
"""

from __future__ import annotations

import dataclasses
import os
import selectors
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sentinel.peer.memory_requests import MAX_REQUEST, Request
from sentinel.peer.run.memory import short_path

_CHUNK = 1 << 16


@dataclasses.dataclass(slots=True)
class Session:
    """One connection of a task's process. It sends one request, and the next after the reply."""

    connection: socket.socket
    received: bytearray = dataclasses.field(default_factory=bytearray)
    unsent: bytearray = dataclasses.field(default_factory=bytearray)
    #: A watch that waits, and when it is answered at the latest.
    watch: tuple[Request, float] | None = None

    def next_line(self) -> bytes | None:
        """A whole request that came, if none is being served."""
        if self.watch is not None or self.unsent:
            return None
        line, end, rest = self.received.partition(b"\n")
        if not end:
            return None
        self.received = bytearray(rest)
        return bytes(line)

    def put_back(self, line: bytes) -> None:
        """A line that cannot be served yet: it comes first again."""
        self.received[:0] = line + b"\n"


class Sessions:
    """All connections to the socket at ``path``. Raises `OSError` when it cannot be opened.

    For one thread, except `rouse`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: dict[int, Session] = {}
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._waking, self._wake = socket.socketpair()
        for channel in (self._listener, self._waking, self._wake):
            channel.setblocking(False)
        try:
            with short_path(str(path)) as short:
                self._listener.bind(short)
                os.chmod(short, 0o600)  # noqa: PTH101 - a name that only lives in this block
            self._listener.listen(64)
        except OSError:
            self.close()
            raise
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._waking, selectors.EVENT_READ)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._open.values()))

    def wait(self, pause: float | None) -> None:
        """Take in what comes, and send what could not be sent before; for ``pause`` seconds at most."""
        for key, events in self._selector.select(pause):
            if key.fileobj is self._listener:
                self._accept()
            elif key.fileobj is self._waking:
                with suppress(BlockingIOError):
                    self._waking.recv(_CHUNK)
            else:
                self._exchange(self._open[key.fd], events)

    def rouse(self) -> None:
        """End a `wait`, from any thread."""
        # A full pipe wakes it just as well, and a closed one needs nobody.
        with suppress(OSError):
            self._wake.send(b"!")

    def send(self, session: Session, line: bytes) -> None:
        """Send a line, now or when it can be taken."""
        session.unsent += line
        try:
            del session.unsent[: session.connection.send(session.unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self._hang_up(session)
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if session.unsent else 0)
        self._selector.modify(session.connection, events)

    def close(self) -> None:
        """Hang up on everybody, and remove the socket."""
        for session in self:
            session.connection.close()
        self._open.clear()
        for channel in (self._listener, self._waking, self._wake):
            channel.close()
        self._selector.close()
        with suppress(OSError):
            self._path.unlink()

    def _accept(self) -> None:
        with suppress(OSError):  # nobody waits any more, or there are no descriptors left
            while True:
                connection, _ = self._listener.accept()
                connection.setblocking(False)
                self._open[connection.fileno()] = Session(connection)
                self._selector.register(connection, selectors.EVENT_READ)

    def _exchange(self, session: Session, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                self.send(session, b"")
            if events & selectors.EVENT_READ:
                data = session.connection.recv(_CHUNK)
                session.received += data
                if not data or len(session.received) > MAX_REQUEST:
                    self._hang_up(session)
        except BlockingIOError:
            return
        except OSError:
            self._hang_up(session)

    def _hang_up(self, session: Session) -> None:
        if self._open.pop(session.connection.fileno(), None) is not None:
            self._selector.unregister(session.connection)
            session.connection.close()
