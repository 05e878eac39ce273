"""The task queues that are measured, and how each one's worker is started."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ground import fresh_folder, redis_server

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PEERS = ROOT / ".bench"
REQUIREMENTS = ("huey", "celery[redis]", "dramatiq[redis]", "rq", "redis")

Argv = Callable[[Path, Mapping[str, str], int], Sequence[str]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """One task queue with one kind of storage."""

    name: str
    #: The module with its driver and tasks.
    side: str
    #: The distribution whose version is told; None is this checkout.
    package: str | None
    #: The command line of a worker, by the folder of its programs, its environment, and its number.
    worker: Argv
    #: What tells its driver where the tasks go; None where that is this checkout's own store.
    store: str | None
    #: Its share of the tasks that are drained, for what is slow.
    share: float = 1.0

    @property
    def needs_redis(self) -> bool:
        """Whether it cannot run without a Redis server."""
        return self.store == "redis"

    @property
    def python(self) -> Path:
        """The interpreter that has it installed."""
        return Path(sys.executable) if self.package is None else PEERS / "bin" / "python"

    def version(self) -> str | None:
        """Its version, or None when it is not installed."""
        if self.package is None:
            told = [str(self.python), "-c", "import sentinel; print(sentinel.__version__)"]
        else:
            lookup = f"import importlib.metadata as m; print(m.version({self.package!r}))"
            told = [str(self.python), "-c", lookup]
        if not self.python.exists():
            return None
        found = subprocess.run(told, capture_output=True, text=True, check=False)
        return found.stdout.strip() or None


def _sentinel(programs: Path, _environ: Mapping[str, str], number: int) -> Sequence[str]:
    return [
        str(programs / "sentinel"),
        *("worker", "start", "--id", f"bench-{number}", "--max-tasks", "1", "--tasks", "side_sentinel"),
    ]


def _huey(programs: Path, _environ: Mapping[str, str], _number: int) -> Sequence[str]:
    return [str(programs / "python"), str(programs / "huey_consumer"), "side_huey.huey", "-w", "1", "-q"]


def _celery(programs: Path, _environ: Mapping[str, str], number: int) -> Sequence[str]:
    own = ["--concurrency", "1", "--loglevel", "WARNING", "--hostname", f"bench-{number}"]
    return [str(programs / "celery"), "-A", "side_celery", "worker", *own]


def _dramatiq(programs: Path, _environ: Mapping[str, str], _number: int) -> Sequence[str]:
    return [str(programs / "dramatiq"), "side_dramatiq", "--processes", "1", "--threads", "1"]


def _rq(programs: Path, environ: Mapping[str, str], _number: int) -> Sequence[str]:
    return [str(programs / "rq"), "worker", "--url", environ["BENCH_REDIS"], "--quiet"]


ALL = (
    Contestant(name="sentinel", side="side_sentinel", package=None, worker=_sentinel, store=None),
    Contestant(name="huey-sqlite", side="side_huey", package="huey", worker=_huey, store="sqlite"),
    Contestant(name="huey-redis", side="side_huey", package="huey", worker=_huey, store="redis"),
    Contestant(name="celery-redis", side="side_celery", package="celery", worker=_celery, store="redis"),
    Contestant(
        name="dramatiq-redis", side="side_dramatiq", package="dramatiq", worker=_dramatiq, store="redis"
    ),
    Contestant(name="rq-redis", side="side_rq", package="rq", worker=_rq, store="redis", share=0.1),
)


def install_peers(wanted: Iterable[Contestant]) -> None:
    """Make the environment of those among ``wanted`` that have one, once; pip speaks only when it fails."""
    packages = {contestant.package for contestant in wanted} - {None}
    if not packages:
        return
    if not (PEERS / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(PEERS)], check=True)
    for requirement in REQUIREMENTS:
        name = requirement.partition("[")[0]
        if name not in packages and name != "redis":
            continue
        known = f"import importlib.metadata as m; m.version({name!r})"
        if subprocess.run(
            [str(PEERS / "bin" / "python"), "-c", known], capture_output=True, check=False
        ).returncode:
            # One by one: a peer that cannot be installed must not take the others with it.
            _install(requirement)


def _install(requirement: str) -> None:
    pip = [str(PEERS / "bin" / "pip"), "install", "-q", requirement]
    told = subprocess.run(pip, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if told.returncode:
        print(f"{requirement} could not be installed:\n{told.stdout.rstrip()}", file=sys.stderr)


class Stage:
    """One contestant, set up in an empty place."""

    def __init__(self, contestant: Contestant, folder: Path, environ: Mapping[str, str]) -> None:
        self._contestant = contestant
        self._environ = environ
        self.folder = folder
        self._workers: list[subprocess.Popen[bytes]] = []
        self._driver = subprocess.Popen(
            [str(contestant.python), str(HERE / "driver.py"), contestant.side],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log("driver"),
            text=True,
            env=environ,
            cwd=HERE,
        )

    def _log(self, name: str) -> Any:
        return (self.folder / f"{name}.log").open("ab")

    def ask(self, *words: object) -> dict[str, Any]:
        """Give the driver an order; its answer, and the seconds that it took."""
        assert self._driver.stdin is not None
        assert self._driver.stdout is not None
        self._driver.stdin.write(" ".join(map(str, words)) + "\n")
        self._driver.stdin.flush()
        line = self._driver.stdout.readline()
        if not line:
            log = (self.folder / "driver.log").read_text(errors="replace")
            raise RuntimeError(f"the driver of {self._contestant.name} ended: {log[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def start_worker(self) -> subprocess.Popen[bytes]:
        """Start one more worker; it leads a process group of its own."""
        number = len(self._workers) + 1
        argv = self._contestant.worker(self._contestant.python.parent, self._environ, number)
        worker = subprocess.Popen(
            argv,
            env=self._environ,
            cwd=HERE,
            stdout=self._log(f"worker-{number}"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._workers.append(worker)
        return worker

    def close(self) -> None:
        """End everything."""
        for worker in self._workers:
            if worker.poll() is None:
                worker.terminate()
        for worker in self._workers:
            try:
                worker.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(worker.pid, signal.SIGKILL)
                worker.wait()
        if self._driver.stdin is not None:
            self._driver.stdin.close()
        try:
            self._driver.wait(10)
        except subprocess.TimeoutExpired:
            self._driver.kill()
            self._driver.wait()


@contextmanager
def on_stage(contestant: Contestant, *, fsync: bool, base: Path | None) -> Iterator[Stage]:
    """``contestant`` in an empty place of its own."""
    with ExitStack() as stack:
        folder = stack.enter_context(fresh_folder(base))
        environ = {
            **os.environ,
            "PYTHONPATH": str(HERE),
            "BENCH_FOLDER": str(folder),
            "BENCH_FSYNC": "1" if fsync else "0",
            "BENCH_STORE": contestant.store or "",
            "SENTINEL_STORE": str(folder / "fleet.git"),
            "SENTINEL_STATE_FOLDER": str(folder / "state"),
            "SENTINEL_LOCAL_FSYNC": "true" if fsync else "false",
        }
        if contestant.needs_redis:
            environ["BENCH_REDIS"] = stack.enter_context(redis_server(folder, fsync=fsync))
        elif contestant.package is None:
            init = [str(contestant.python.parent / "sentinel"), "init"]
            subprocess.run(init, env=environ, check=True, stdout=subprocess.DEVNULL)
        stage = Stage(contestant, folder, environ)
        stack.callback(stage.close)
        stage.ask("done")
        yield stage
        # What was written is on its way to the disk before the next one begins.
        if shutil.which("sync"):
            subprocess.run(["sync", "-f", str(folder)], check=False)
        time.sleep(0.2)
