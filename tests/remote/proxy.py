"""A TCP proxy that does to connections what networks do: cuts, delays, swallows, and answers for others."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import socket
import struct
import threading
import time
from collections.abc import Iterator

_CHUNK = 16_384
#: Bytes a second of a 64 kbit/s line.
SLOW = 8_000


class Fault(enum.Enum):
    """What becomes of a connection, or of a push in it."""

    #: The connection is reset as soon as it is made.
    RESET = "reset"
    #: The connection is taken and never answered.
    BLACK_HOLE = "black hole"
    #: The push is not passed on, and the connection is reset.
    RESET_BEFORE_EFFECT = "reset before the effect"
    #: The push is passed on; when the server has answered, the connection is reset instead.
    RESET_AFTER_EFFECT = "reset after the effect"
    #: The push is passed on, and the answer never comes.
    SILENT_AFTER_EFFECT = "silent after the effect"
    #: The push is passed on, and the answer is a web server's 502.
    BAD_GATEWAY_AFTER_EFFECT = "502 after the effect"
    #: The first request is answered with 503, and not passed on.
    UNAVAILABLE = "503"
    #: The first request is answered with a web page.
    HTML = "HTML"


_PUSHES = (
    Fault.RESET_BEFORE_EFFECT,
    Fault.RESET_AFTER_EFFECT,
    Fault.SILENT_AFTER_EFFECT,
    Fault.BAD_GATEWAY_AFTER_EFFECT,
)
_PAGE = b"<html><body>Please log in to the guest network.</body></html>"


@dataclasses.dataclass(slots=True, eq=False)
class _Pair:
    """One connection from a client, and the one to the server that belongs to it."""

    client: socket.socket
    server: socket.socket | None
    fault: Fault | None
    #: Set when a push came by.
    pushing: bool = False


class Proxy:
    """Listens on a port of its own, or on ``listener``, and passes on to ``target``, a port on loopback."""

    def __init__(self, target: int, listener: socket.socket | None = None) -> None:
        self._target = target
        #: What happens to connections from now on.
        self.fault: Fault | None = None
        #: How many of them it still happens to; None for all.
        self.times: int | None = None
        #: Bytes a second in each direction of one connection, or None for no limit.
        self.rate: int | None = None
        #: Pushes that met a fault.
        self.met = 0
        self._pairs: list[_Pair] = []
        self._closed = False
        self._lock = threading.Lock()
        self._listener = listener or socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def set(self, fault: Fault | None, times: int | None = None) -> None:
        """Let ``fault`` happen to the next ``times`` connections or pushes, or to all."""
        with self._lock:
            self.fault, self.times = fault, times

    def cut(self) -> None:
        """Reset every connection that is open."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            _reset(pair.client)
            if pair.server is not None:
                _reset(pair.server)

    def close(self) -> None:
        """Listen no more, and cut what is open."""
        self._closed = True
        self._listener.close()
        self.cut()

    def _take(self, among: tuple[Fault, ...]) -> Fault | None:
        with self._lock:
            if self.fault not in among or self.times == 0:
                return None
            if self.times is not None:
                self.times -= 1
            self.met += 1
            return self.fault

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        fault = self._take((Fault.RESET, Fault.BLACK_HOLE, Fault.UNAVAILABLE, Fault.HTML))
        if fault is Fault.RESET:
            _reset(client)
            return
        if fault is not None:
            with self._lock:
                self._pairs.append(_Pair(client, None, fault))
            if fault is not Fault.BLACK_HOLE:
                with contextlib.suppress(OSError):
                    client.recv(_CHUNK)
                    client.sendall(_page(b"503 Unavailable" if fault is Fault.UNAVAILABLE else b"200 OK"))
                    client.close()
            return
        try:
            server = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            _reset(client)
            return
        pair = _Pair(client, server, None)
        with self._lock:
            self._pairs.append(pair)
        up = threading.Thread(target=self._up, args=(pair, server), daemon=True)
        up.start()
        self._down(pair, server)
        if pair.fault is None:
            # Both ways are done, or will be when the client has read the end.
            up.join()
            client.close()
            server.close()
            with self._lock, contextlib.suppress(ValueError):
                self._pairs.remove(pair)

    def _up(self, pair: _Pair, server: socket.socket) -> None:
        """From the client to the server."""
        tail = b""
        for data in self._read(pair.client):
            seen, tail = tail + data, data[-64:]
            if not pair.pushing and _is_push(seen):
                pair.pushing = True
                pair.fault = self._take(_PUSHES)
                if pair.fault is Fault.RESET_BEFORE_EFFECT:
                    _reset(server)
                    _reset(pair.client)
                    return
            try:
                server.sendall(data)
            except OSError:
                return
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _down(self, pair: _Pair, server: socket.socket) -> None:
        """From the server to the client."""
        for data in self._read(server):
            if pair.fault is None:
                try:
                    pair.client.sendall(data)
                except OSError:
                    return
            elif pair.fault is Fault.RESET_AFTER_EFFECT:
                _reset(pair.client)
                return
            elif pair.fault is Fault.BAD_GATEWAY_AFTER_EFFECT:
                with contextlib.suppress(OSError):
                    pair.client.sendall(_page(b"502 Bad Gateway"))
                    pair.client.close()
                return
        if pair.fault is None:
            with contextlib.suppress(OSError):
                pair.client.shutdown(socket.SHUT_WR)

    def _read(self, source: socket.socket) -> Iterator[bytes]:
        while True:
            rate = self.rate
            try:
                data = source.recv(_CHUNK if rate is None else max(1, rate // 10))
            except OSError:
                return
            if not data:
                return
            if rate is not None:
                time.sleep(len(data) / rate)
            yield data


def _is_push(data: bytes) -> bool:
    """Whether this is where the change is sent: the request over HTTP, the pack over git's own protocol."""
    return b"/git-receive-pack HTTP/" in data or (b"PACK\0\0\0\x02" in data and b"HTTP/" not in data)


def _page(status: bytes) -> bytes:
    head = b"HTTP/1.1 %s\r\nContent-Type: text/html\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    return head % (status, len(_PAGE)) + _PAGE


def _reset(connection: socket.socket) -> None:
    """Close so that the other side gets a reset, and whoever of ours reads from it wakes up."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RD)
    connection.close()


@contextlib.contextmanager
def proxy(target: int, listener: socket.socket | None = None) -> Iterator[Proxy]:
    """A proxy to ``target``."""
    running = Proxy(target, listener)
    try:
        yield running
    finally:
        running.close()
