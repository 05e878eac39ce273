"""Real workers as real processes on a real local store, for tests that kill them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from sentinel.client import Client
from sentinel.store.opener import StoreOptions, create_store

#: Settings of whoever runs the tests do not reach the workers.
_OURS = ("SENTINEL_", "WORKER_")
#: Short enough for tests, and valid: D is 3.1 s.
SHORT = {"SENTINEL_HEARTBEAT_INTERVAL": "1", "SENTINEL_HEARTBEAT_STALE_THRESHOLD": "5"}


class Fleet:
    """A local store in a folder of its own, and the workers that were started on it."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.folder = folder
        self.store = folder / "fleet.git"
        create_store(str(self.store), StoreOptions(fsync=False))
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(_OURS)},
            "SENTINEL_STORE": str(self.store),
            "SENTINEL_STATE_FOLDER": str(folder / "state"),
            "SENTINEL_LOCAL_FSYNC": "0",
            # Who meets a lock that is held is told at once.
            "SENTINEL_LOCKING_RETRY_ATTEMPTS": "0",
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).resolve().parents[2]), str(folder)]),
            **environ,
        }
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.logs = folder / "worker-logs"
        self.logs.mkdir()

    def command(self, *args: str) -> list[str]:
        """The command line of ``sentinel ARGS``."""
        return [sys.executable, "-m", "sentinel", *args]

    def run(
        self, *args: str, environ: Mapping[str, str] | None = None, timeout: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run ``sentinel ARGS`` to its end."""
        return subprocess.run(
            self.command(*args),
            env={**self.environ, **(environ or {})},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start(
        self,
        worker: str,
        *args: str,
        environ: Mapping[str, str] | None = None,
        prefix: tuple[str, ...] = (),
    ) -> None:
        """Start a worker; its output goes to a file that `log` reads."""
        with (self.logs / f"{worker}.log").open("ab") as output:
            self.workers[worker] = subprocess.Popen(
                [*prefix, *self.command("worker", "start", "--id", worker, *args)],
                env={**self.environ, **(environ or {})},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def log(self, worker: str) -> str:
        """What a worker printed so far."""
        return (self.logs / f"{worker}.log").read_text()

    def client(self) -> Client:
        """A client of the store; the caller closes it."""
        return Client(str(self.store), state_folder=self.folder / "state")

    def signal(self, worker: str, number: signal.Signals) -> None:
        """Send a signal to a worker's daemon."""
        self.workers[worker].send_signal(number)

    def kill(self, worker: str) -> None:
        """``kill -9`` a worker's daemon, and collect it."""
        process = self.workers.pop(worker)
        process.kill()
        process.wait()

    def fallen(self) -> list[str]:
        """Workers that ended without being asked, each with its last words."""
        return [
            f"{worker}: exit {process.returncode}: {self.log(worker)[-500:]}"
            for worker, process in self.workers.items()
            if process.poll() is not None
        ]

    def processes_below(self, worker: str) -> list[psutil.Process]:
        """Everything that descends from a worker's daemon now."""
        try:
            return psutil.Process(self.workers[worker].pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def stop_all(self) -> None:
        """End every worker: the first signal drains, the second ends its tasks, and the last is not asked."""
        for process in self.workers.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        time.sleep(0.2)
        for process in self.workers.values():
            process.terminate()
        for process in self.workers.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.workers.clear()


def until(condition: Callable[[], object], *, within: float, what: str, pause: float = 0.05) -> float:
    """Seconds until ``condition`` held. Fails the test when it did not within ``within`` seconds."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < within, f"{what}: not within {within} s"
        time.sleep(pause)
    return time.monotonic() - started


def alive(process: psutil.Process) -> bool:
    """Whether this very process still runs (a zombie does not)."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def environment_of(process: psutil.Process) -> Mapping[str, str]:
    """The environment of a process, empty when it cannot be read."""
    try:
        return process.environ()
    except psutil.Error:
        return {}
