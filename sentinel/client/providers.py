"""Where workers come from and go to when a fleet is scaled: processes on this host, or commands of yours."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from sentinel.errors import SentinelError

#: Seconds that one command of a provider may take.
COMMAND_PATIENCE = 600.0
#: How much of what a command said on standard error goes into a message.
_MAX_SAID = 300


class ProviderFailed(SentinelError):
    """A worker could not be started or put away; the message says why."""


class Provider(Protocol):
    """Starts workers, and puts away what a worker leaves behind. Raises `ProviderFailed`."""

    def start(self, worker: str) -> None:
        """Have a worker of this id started; it joins by itself, in its own time."""

    def stop(self, worker: str) -> None:
        """Put away what the worker ran on. It was drained and has left."""


class LocalProcesses:
    """Workers as processes on this host, which outlive the scaler. A drained one ends by itself."""

    def __init__(
        self, command: Callable[[str], Sequence[str]], *, environ: Mapping[str, str], folder: Path
    ) -> None:
        # The command line that starts a worker of a given id.
        self._command = command
        self._environ = environ
        #: Where each worker's log goes.
        self._folder = folder
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, worker: str) -> None:
        """Start it in a session of its own, its log in a file of the folder."""
        # Those that ended are only waited for, lest they stay as zombies.
        self._started = [process for process in self._started if process.poll() is None]
        log = self._folder / f"{worker}.log"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as stream:
                process = subprocess.Popen(
                    list(self._command(worker)),
                    env=dict(self._environ),
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=stream,
                    start_new_session=True,
                )
        except OSError as error:
            raise ProviderFailed(f"{worker} could not be started: {error}") from error
        self._started.append(process)

    def stop(self, worker: str) -> None:
        """Nothing: its process ended when it left."""


class Commands:
    """Workers through commands of yours: SSH, the tool of a cloud, ``docker compose``.

    In each word of a command ``{id}`` stands for the worker's id. No shell is involved.
    """

    def __init__(
        self,
        start: Sequence[str],
        stop: Sequence[str] = (),
        *,
        environ: Mapping[str, str],
        patience: float = COMMAND_PATIENCE,
    ) -> None:
        self._start = tuple(start)
        self._stop = tuple(stop)
        self._environ = environ
        self._patience = patience

    def start(self, worker: str) -> None:
        """Run the first command."""
        self._run(self._start, worker)

    def stop(self, worker: str) -> None:
        """Run the second command, if there is one."""
        if self._stop:
            self._run(self._stop, worker)

    def _run(self, template: Sequence[str], worker: str) -> None:
        argv = [word.replace("{id}", worker) for word in template]
        try:
            ran = subprocess.run(
                argv,
                env=dict(self._environ),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self._patience,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ProviderFailed(f"{argv[0]} for {worker}: {error}") from error
        if ran.returncode != 0:
            said = " ".join(ran.stderr.decode("utf-8", "replace").split())[-_MAX_SAID:] or "no word of why"
            raise ProviderFailed(f"{argv[0]} for {worker} ended with {ran.returncode}: {said}")
