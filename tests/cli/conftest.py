"""A real local store in a folder of its own, and the command line run on it."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sentinel.cli import main
from sentinel.client import Client, ClientOptions
from sentinel.fleet import registry, tasks
from sentinel.fleet.submission import Submission
from sentinel.fleet.view import Reader
from sentinel.model import layout
from sentinel.model.task import Ending
from sentinel.model.worker import Incarnation, Session, Worker
from sentinel.store.base import ABSENT, Snapshot, Transaction
from sentinel.store.opener import StoreOptions, create_store

ROOT = Path(__file__).resolve().parents[2]
#: What is in the environment of whoever runs the tests must not reach the commands.
_OURS = (
    "SENTINEL_",
    "WORKER_",
    "GITHUB_",
    "NO_COLOR",
    "TASK_TIMEOUT",
    "MAX_WORKERS",
    "SUPPORTED_",
    "LOG_LEVEL",
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What came of one command line."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Standard output as the one JSON document that it must be."""
        return json.loads(self.stdout)

    @property
    def said(self) -> str:
        """The one line on standard error, without ``sentinel:``."""
        (line,) = self.stderr.splitlines()
        assert line.startswith("sentinel: "), line
        return line.removeprefix("sentinel: ")


class Place:
    """A folder with a store, and everything that is needed to run commands there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "fleet.git"
        self.state = folder / "state"
        create_store(str(self.store), StoreOptions(fsync=False))
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(_OURS)},
            "HOME": str(folder),
            "SENTINEL_STORE": str(self.store),
            "SENTINEL_STATE_FOLDER": str(self.state),
            "SENTINEL_LOCAL_FSYNC": "0",
            # Who meets a lock that is held is told at once.
            "SENTINEL_LOCKING_RETRY_ATTEMPTS": "0",
            "PYTHONPATH": str(ROOT),
        }

    def run(self, *args: str, stdin: bytes | None = None, **environ: str | None) -> Ran:
        """Run ``sentinel ARGS`` in this process; a variable that is None is not set."""
        env = {name: None for name in os.environ if name.startswith(_OURS)}
        result = CliRunner(catch_exceptions=False).invoke(
            main, list(args), input=stdin, env={**env, **self.environ, **environ}
        )
        return Ran(status=result.exit_code, stdout=result.stdout, stderr=result.stderr)

    def argv(self, *args: str) -> list[str]:
        """``sentinel ARGS`` as a command line."""
        return [sys.executable, "-m", "sentinel", *args]

    def process(self, *args: str, **environ: str) -> Ran:
        """Run ``sentinel ARGS`` as a process of its own."""
        ran = subprocess.run(
            self.argv(*args),
            env={**self.environ, **environ},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Ran(status=ran.returncode, stdout=ran.stdout, stderr=ran.stderr)

    def client(self) -> Client:
        """A client of the same store."""
        return Client(str(self.store), state_folder=self.state, options=ClientOptions(fsync=False))

    def submit(self, *ids: str, argv: Sequence[str] = ("true",)) -> None:
        """Hand in shell tasks."""
        with self.client() as client:
            client.submit_many([Submission(type="shell", positional=argv, id=name) for name in ids])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A store of its own; the current folder is the one that it lies in."""
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path)


#: Run ``sentinel`` with these arguments.
Run = Callable[..., Ran]


@pytest.fixture
def run(place: Place) -> Run:
    """`Place.run` of the store of this test."""
    return place.run


class Worked:
    """A worker of this store that claims and ends what the test says."""

    def __init__(
        self, place: Place, worker: str = "w1", hostname: str = "h", ttl: float = 3e9, **more: Any
    ) -> None:
        self.place = place
        self.worker = worker
        self.incarnation = f"inc-{worker}"
        with place.client() as client:
            transactor = client._transactor
            at = "2026-11-22T00:00:00Z"
            record = Worker(
                id=worker, incarnation=self.incarnation, hostname=hostname, types=("shell",), **more
            )
            live = Incarnation(id=self.incarnation, worker=worker, ttl=ttl, interval=1, started_at=at)

            def decide(snapshot: Snapshot) -> tuple[Transaction, None]:
                return registry.join(transactor.change(snapshot), snapshot, record, live), None

            transactor.transact(decide)
            session = Session(
                incarnation=self.incarnation, worker=worker, seq=1, interval=1, ttl=ttl, sent_at=at
            )
            name = layout.session_register(self.incarnation)
            client.store.publish(name, session.document(), ABSENT)

    def leave(self) -> None:
        """As its daemon does when it is told to stop."""
        with self.place.client() as client:
            transactor = client._transactor
            incarnation = client.view().incarnations[self.incarnation]

            def decide(snapshot: Snapshot) -> tuple[Transaction, None]:
                view = Reader().view(snapshot)
                return registry.leave(transactor.change(snapshot), view, incarnation, [], wall=1e9), None

            transactor.transact(decide)

    def claim(self, task_id: str) -> None:
        with self.place.client() as client:
            transactor = client._transactor

            def decide(snapshot: Snapshot) -> tuple[Transaction, object]:
                task = tasks.existing(snapshot, task_id)
                change = transactor.change(snapshot)
                return tasks.claim(change, task, worker=self.worker, incarnation=self.incarnation, wall=1e9)

            transactor.transact(decide)

    def end(self, task_id: str, ending: Ending, *, log: bytes | None = None) -> None:
        with self.place.client() as client:
            transactor = client._transactor
            if log is not None:
                (blob,) = client.store.keep([log])
                ending = Ending(cause=ending.cause, log={"blob": blob, "bytes": len(log), "truncated": False})

            def decide(snapshot: Snapshot) -> tuple[Transaction | None, None]:
                fence = tasks.existing(snapshot, task_id).fence()
                change = transactor.change(snapshot)
                return tasks.end(change, Reader().view(snapshot), fence, ending, wall=1e9), None

            transactor.transact(decide)


@pytest.fixture
def worked(place: Place) -> Worked:
    return Worked(place)
