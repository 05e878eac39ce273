"""Git servers as people run them, on loopback: smart HTTP with basic auth, `git daemon`, and `sshd`."""

from __future__ import annotations

import base64
import contextlib
import getpass
import http.server
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

#: Longest that a server may take to listen, in seconds.
_PATIENCE = 20.0


class _Handler(http.server.BaseHTTPRequestHandler):
    """One request, answered by ``git http-backend`` as any web server's CGI would run it."""

    protocol_version = "HTTP/1.1"
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
        self.server.requests.append(f"{self.command} {self.path}")
        if not self._let_in():
            self._answer(401, [("WWW-Authenticate", 'Basic realm="fleet"')], b"who are you?\n")
            return
        path, _, query = self.path.partition("?")
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
            "REMOTE_USER": "fleet",
            "REMOTE_ADDR": "127.0.0.1",
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
            return base64.b64decode(given).decode().partition(":")[2] == self.server.password
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

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        self.password: str | None = None
        self.requests: list[str] = []

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are what some of the tests are about."""


@contextlib.contextmanager
def smart_http(root: Path) -> Iterator[SmartHttp]:
    """A web server for the repositories below ``root``."""
    with SmartHttp(root) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def free_port() -> int:
    """A port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def git_daemon(root: Path) -> Iterator[int]:
    """``git daemon`` for the repositories below ``root``, pushes included; its port."""
    port = free_port()
    command = ["git", "daemon", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}", "--export-all"]
    command += [f"--base-path={root}", "--enable=receive-pack", "--max-connections=64", str(root)]
    environ = {"PATH": os.environ["PATH"], "HOME": str(root), "GIT_CONFIG_NOSYSTEM": "1"}
    with _running(command, environ, port):
        yield port


class Sshd:
    """An `sshd` for this user alone, with keys of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.user = getpass.getuser()
        for key in ("host", "user", "stranger"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", key, "-f", str(folder / key)]
            subprocess.run(command, check=True)
        (folder / "authorized").write_bytes((folder / "user.pub").read_bytes())
        host_key = " ".join((folder / "host.pub").read_text().split()[:2])
        (folder / "known").write_text(f"* {host_key}\n")
        (folder / "config").write_text(
            f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nPidFile {folder}/pid\n"
            f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nMaxStartups 100:30:200\n"
            "MaxSessions 100\nLogLevel ERROR\nSetEnv SHLVL=1\n"
        )

    def command(self, *, key: str = "user", known: str = "known", multiplexed: bool = False) -> str:
        """What ``GIT_SSH_COMMAND`` is set to by who holds a key."""
        command = f"ssh -F /dev/null -oIdentitiesOnly=yes -i {self.folder / key}"
        command += f" -oUserKnownHostsFile={self.folder / known} -oGlobalKnownHostsFile=/dev/null"
        if multiplexed:
            command += f" -oControlMaster=auto -oControlPath={self.folder}/%C -oControlPersist=10"
        return command


@contextlib.contextmanager
def sshd(program: str, folder: Path) -> Iterator[Sshd]:
    """A running `sshd` whose files are in ``folder``."""
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    server = Sshd(folder, free_port())
    command = [program, "-D", "-e", "-f", str(folder / "config")]
    with _running(command, {"PATH": os.environ["PATH"]}, server.port):
        yield server


@contextlib.contextmanager
def _running(command: list[str], environ: dict[str, str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, env=environ, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + _PATIENCE
    while time.monotonic() < limit:
        assert process.poll() is None, f"{process.args!r} ended with {process.returncode}"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise TimeoutError(f"{process.args!r} does not listen")
