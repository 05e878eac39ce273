"""Real workers as real processes that share nothing but a repository on a Git server."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psutil

from tests.process.fleet import Fleet

#: As short as a busy machine bears, and valid: D is 11.3 s.
INTERVALS = {"SENTINEL_HEARTBEAT_INTERVAL": "3", "SENTINEL_HEARTBEAT_STALE_THRESHOLD": "15"}


class RemoteFleet(Fleet):
    """Workers that share nothing but the repository at ``url``: each has a state folder of its own."""

    def __init__(self, folder: Path, url: str, **environ: str) -> None:
        self.folder = folder
        self.url = url
        ours = ("SENTINEL_", "WORKER_", "GITHUB_")
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(ours)},
            **INTERVALS,
            "SENTINEL_STORE": url,
            "SENTINEL_STATE_FOLDER": str(folder / "state"),
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).resolve().parents[2]), str(folder)]),
            **environ,
        }
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.logs = folder / "worker-logs"
        self.logs.mkdir()

    def start_apart(
        self,
        worker: str,
        *args: str,
        environ: Mapping[str, str] | None = None,
        prefix: tuple[str, ...] = (),
    ) -> None:
        """Start a worker as if it were on a machine of its own."""
        state = str(self.folder / f"state-{worker}")
        own = {"SENTINEL_STATE_FOLDER": state, **(environ or {})}
        self.start(worker, "--max-tasks", "2", *args, environ=own, prefix=prefix)

    def states(self) -> dict[str, str]:
        """Task id → state, as the command line shows them."""
        ran = self.run("tasks", "list", "-o", "json")
        return {row["id"]: row["state"] for row in json.loads(ran.stdout)} if ran.returncode == 0 else {}

    def runs(self, worker: str, program: str) -> list[psutil.Process]:
        """The processes of ``program`` that descend from a worker's daemon."""
        return [process for process in self.processes_below(worker) if _program(process) == program]


def _program(process: psutil.Process) -> str:
    try:
        return Path(process.cmdline()[0]).name if process.status() != psutil.STATUS_ZOMBIE else ""
    except (psutil.Error, IndexError):
        return ""
