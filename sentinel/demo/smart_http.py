"""Repositories over smart HTTP: ``git http-backend`` behind a small web server.

For a demo and for tests, which put it where a fleet's real Git server would be. It answers on one address,
keeps each request in memory, and limits nobody.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import http.server
import os
import ssl
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

#: Seconds between two looks whether the server is to end.
_LOOK_EVERY = 0.05
#: Seconds that a connection may say nothing; git keeps none open for long.
_IDLE = 300.0


class _Handler(http.server.BaseHTTPRequestHandler):
    """One request, answered by ``git http-backend`` as any web server's CGI would run it."""

    protocol_version = "HTTP/1.1"
    timeout = _IDLE
    server: SmartHttp

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self._body())

    def log_message(self, format: str, *args: object) -> None:  # the name is the base class's
        """Requests are counted by the server, not printed."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _serve(self, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        self.server.count(f"{self.command} {path.rpartition('/')[2]}")
        if not self._let_in():
            self._answer(401, [("WWW-Authenticate", 'Basic realm="fleet"')], b"who are you?\n")
            return
        environ = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "HOME": str(self.server.root),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            # Whoever was let in may push.
            "REMOTE_USER": "fleet",
            "REMOTE_ADDR": self.client_address[0],
        }
        ran = subprocess.run(
            ["git", "http-backend"], input=body, env=environ, capture_output=True, check=False
        )
        head, _, content = ran.stdout.partition(b"\r\n\r\n")
        status, headers = 200, []
        for line in head.decode("latin-1").split("\r\n"):
            name, _, value = line.partition(": ")
            if name == "Status":
                status = int(value.split()[0])
            elif name:
                headers.append((name, value))
        self._answer(status, headers, content)

    def _let_in(self) -> bool:
        if self.server.password is None:
            return True
        given = self.headers.get("Authorization", "").removeprefix("Basic ")
        with contextlib.suppress(ValueError):
            password = base64.b64decode(given).partition(b":")[2]
            return hmac.compare_digest(password, self.server.password.encode())
        return False

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class SmartHttp(http.server.ThreadingHTTPServer):
    """Serves the repositories below ``root``; with a ``password``, only to who knows it."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, root: Path, *, host: str = "127.0.0.1", password: str | None = None) -> None:
        super().__init__((host, 0), _Handler)
        self.root = root
        self.password = password
        self._counting = threading.Lock()
        self._requests: Counter[str] = Counter()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    @property
    def pushes(self) -> int:
        """How many times something was sent to be changed."""
        return self._requests["POST git-receive-pack"]

    def forget_counts(self) -> None:
        """Count from zero again."""
        with self._counting:
            self._requests.clear()

    def count(self, request: str) -> None:
        """Note one request by its method and the last part of its path."""
        with self._counting:
            self._requests[request] += 1

    def encrypt(self, certificate: Path, key: Path) -> None:
        """Speak TLS with everybody who connects from now on."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        # The handshake is the connection's own thread's business, not the listener's.
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are no errors of ours."""


@contextlib.contextmanager
def smart_http(root: Path, *, host: str = "127.0.0.1", password: str | None = None) -> Iterator[SmartHttp]:
    """A web server for the repositories below ``root``, which ends with the block."""
    with SmartHttp(root, host=host, password=password) as server:
        thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": _LOOK_EVERY}, daemon=True
        )
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
