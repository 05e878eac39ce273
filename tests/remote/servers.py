"""Git servers as people run them, on loopback: smart HTTP with basic auth, `git daemon`, and `sshd`."""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from sentinel.demo.smart_http import SmartHttp, smart_http

__all__ = ["SmartHttp", "Sshd", "free_port", "git_daemon", "smart_http", "sshd"]

#: Longest that a server may take to listen, in seconds.
_PATIENCE = 20.0


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

    def command(self, *, key: str = "user", known: str = "known", multiplexed: str | bool = False) -> str:
        """What ``GIT_SSH_COMMAND`` is set to by who holds a key.

        Its connection is shared by all who are ``multiplexed``, or by those who are so under the same name.
        """
        command = f"ssh -F /dev/null -oIdentitiesOnly=yes -i {self.folder / key}"
        command += f" -oUserKnownHostsFile={self.folder / known} -oGlobalKnownHostsFile=/dev/null"
        if multiplexed:
            socket = self.folder / ("%C" if multiplexed is True else multiplexed)
            command += f" -oControlMaster=auto -oControlPath={socket} -oControlPersist=10"
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
