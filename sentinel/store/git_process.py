"""Runs the git command line: nobody is asked, nothing is guessed from the user's files, nothing outlives us.

Each call has a time-out and a process group of its own, which is killed as a whole: git leaves the network to
children (``ssh``, ``git-remote-https``), and a child that hangs must not keep its socket.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from sentinel.errors import ConfigurationError, Unavailable

#: The oldest git that can be kept from reading the user's configuration (``GIT_CONFIG_GLOBAL``).
OLDEST = (2, 32)

#: What every call runs with, whatever anybody configured.
_CONFIG = {
    "gc.auto": "0",
    "maintenance.auto": "false",
    "core.hooksPath": "/dev/null",
    "core.askPass": "",
    "core.logAllRefUpdates": "false",
    "protocol.version": "2",
    # A fetch of a beat is a handful of objects; more threads would only start and end.
    "pack.threads": "1",
}
#: Variables of git's own that a user may have set for a reason.
_KEPT = ("GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSL_CERT", "GIT_SSL_KEY", "GIT_PROXY_SSL_CAINFO")
#: Of the user's configuration, this much counts: how to log in, through which proxy, whose folders to trust.
_USERS = r"^(credential|http|safe)\."
#: Seconds between a kill and giving up on what still holds the other end of a pipe.
_REAP_SECONDS = 2.0
#: Longest that git itself may take where no network is involved, in seconds.
_LOCAL_SECONDS = 60.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What one call came to."""

    #: Exit status; None when it was killed because its time was over.
    status: int | None
    out: bytes
    err: str

    @property
    def ok(self) -> bool:
        """Whether it ended by itself, with success."""
        return self.status == 0


def run_group(command: Sequence[str], *, environ: Mapping[str, str], folder: Path, timeout: float) -> Ran:
    """Run ``command`` for at most ``timeout`` seconds, then kill it with all that it started.

    Raises `Unavailable` when it cannot even be started.
    """
    try:
        process = subprocess.Popen(
            command,
            env=dict(environ),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise Unavailable(
            f"cannot run git in {folder}: {error.strerror}; install it or free space"
        ) from error
    out, err = b"", b""
    status: int | None = None
    try:
        out, err = process.communicate(timeout=timeout)
        status = process.returncode
    except subprocess.TimeoutExpired as expired:
        out, err = expired.stdout or b"", expired.stderr or b""
    finally:
        if status is None:
            _kill(process)
    return Ran(status=status, out=out, err=err.decode("utf-8", "replace"))


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_REAP_SECONDS)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


class Git:
    """The git command line for one server: environment and configuration, ready to be called.

    ``folder`` is private to the caller, and where git is started. Raises `ConfigurationError` when there is
    no git here, or only one that is too old.
    """

    def __init__(
        self,
        folder: Path,
        *,
        environ: Mapping[str, str],
        transport: str,
        timeout: float,
        more_environ: Mapping[str, str],
        more_config: Mapping[str, str],
        own_credentials: bool,
    ) -> None:
        self._program = installed_git(environ)
        self._folder = folder
        base = {name: value for name, value in environ.items() if not name.startswith("GIT_")}
        base.pop("SSH_ASKPASS", None)
        base.pop("LANGUAGE", None)
        base.update({name: environ[name] for name in _KEPT if name in environ})
        self._environ = {
            **base,
            "LC_ALL": "C",
            "GIT_TERMINAL_PROMPT": "0",
            "GCM_INTERACTIVE": "never",
            "SSH_ASKPASS_REQUIRE": "never",
            "GIT_ALLOW_PROTOCOL": transport,
            "GIT_SSH_COMMAND": _ssh(environ.get("GIT_SSH_COMMAND", "ssh"), timeout),
            "GIT_SSH_VARIANT": "ssh",
            **more_environ,
        }
        users = [
            (key, value)
            for key, value in _users_configuration(self._program, environ, folder)
            if not (own_credentials and key.startswith("credential."))
        ]
        config = [
            *((key, value) for key, value in users if not key.startswith("safe.")),
            *_CONFIG.items(),
            # A connection over which nothing comes is given up; a slow one is not.
            ("http.lowSpeedLimit", "100"),
            ("http.lowSpeedTime", str(max(1, round(timeout)))),
            *more_config.items(),
        ]
        self._environ["GIT_CONFIG_NOSYSTEM"] = "1"
        self._environ["GIT_CONFIG_GLOBAL"] = str(self._trusted(users))
        self._environ["GIT_CONFIG_COUNT"] = str(len(config))
        for number, (key, value) in enumerate(config):
            self._environ[f"GIT_CONFIG_KEY_{number}"] = key
            self._environ[f"GIT_CONFIG_VALUE_{number}"] = value

    def __call__(self, repository: Path, *args: str, timeout: float, trace: bool = False) -> Ran:
        """Run ``git ARGS`` on a bare repository; with ``trace``, its errors show the protocol's packets."""
        command = [self._program, f"--git-dir={repository}", *args]
        environ = {**self._environ, "GIT_TRACE_PACKET": "2"} if trace else self._environ
        return run_group(command, environ=environ, folder=self._folder, timeout=timeout)

    def _trusted(self, users: Sequence[tuple[str, str]]) -> Path:
        """A file with the folders that the user trusts: variables do not reach the other side of a file://."""
        lines = ["[safe]\n"]
        for key, value in users:
            if key == "safe.directory":
                quoted = value.replace("\\", "\\\\").replace('"', '\\"')
                lines.append(f'\tdirectory = "{quoted}"\n')
        file = self._folder / "gitconfig"
        file.write_text("".join(lines), "utf-8", "surrogateescape")
        return file


def _ssh(command: str, timeout: float) -> str:
    seconds = max(1, round(timeout))
    alive = max(1, round(timeout / 3))
    return (
        f"{command} -oBatchMode=yes -oConnectTimeout={seconds} -oServerAliveInterval={alive} "
        "-oServerAliveCountMax=3"
    )


_users_known: dict[tuple[str | None, ...], list[tuple[str, str]]] = {}


def _users_configuration(program: str, environ: Mapping[str, str], folder: Path) -> list[tuple[str, str]]:
    """What counts of the user's configuration, asked for once in the life of a process."""
    whose = (program, environ.get("HOME"), environ.get("XDG_CONFIG_HOME"))
    if whose not in _users_known:
        plain = {name: value for name, value in environ.items() if not name.startswith("GIT_")}
        # An empty folder of ours is no repository, and none above it counts.
        plain["GIT_CEILING_DIRECTORIES"] = str(folder.parent)
        command = [program, "config", "-z", "--includes", "--get-regexp", _USERS]
        ran = run_group(command, environ=plain, folder=folder, timeout=_LOCAL_SECONDS)
        entries = (entry.partition("\n") for entry in ran.out.decode("utf-8", "surrogateescape").split("\0"))
        # A header may hold a token, and belongs to whom it was set for.
        _users_known[whose] = [
            (key, value) for key, _, value in entries if key and not key.endswith(".extraheader")
        ]
    return _users_known[whose]


_known: dict[str, tuple[int, int]] = {}


def installed_git(environ: Mapping[str, str]) -> str:
    """The path of the git in ``environ``. Raises `ConfigurationError` when it is missing or too old."""
    oldest = ".".join(map(str, OLDEST))
    program = shutil.which("git", path=environ.get("PATH"))
    if program is None:
        raise ConfigurationError([f"there is no git here; install git {oldest} or newer"])
    if program not in _known:
        plain = {name: value for name, value in environ.items() if not name.startswith("GIT_")}
        ran = run_group([program, "--version"], environ=plain, folder=Path("/"), timeout=_LOCAL_SECONDS)
        found = re.search(rb"(\d+)\.(\d+)", ran.out)
        if not ran.ok or found is None:
            raise ConfigurationError([f"{program} does not work; install git {oldest} or newer"])
        _known[program] = (int(found[1]), int(found[2]))
    if _known[program] < OLDEST:
        version = ".".join(map(str, _known[program]))
        raise ConfigurationError([f"{program} is git {version}, too old; install git {oldest} or newer"])
    return program
