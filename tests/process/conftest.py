"""Real supervisors and real tasks, and a way to see whether any process of a test is still alive."""

from __future__ import annotations

import os
import signal
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from sentinel.clock import SystemClock
from sentinel.peer.overseer import Ended, Event, Refused, Started, SupervisorProcess
from sentinel.peer.run.spec import RunEnd, RunSpec

E = TypeVar("E", bound=Event)

#: Seconds; generous, because it is only ever used up by a failure.
PATIENCE = 60.0

#: Double-forks out of its session, ignores SIGTERM and stays; then the main process does as it is told.
ESCAPE = """
import os, signal, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open(sys.argv[1], "w").write(str(os.getpid()))
        time.sleep(3600)
    os._exit(0)
os.wait()
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
if sys.argv[2] == "stay":
    time.sleep(3600)
"""


class Trial:
    """One test's supervisor, tasks, files and stopwatch."""

    def __init__(self, folder: Path) -> None:
        self.clock = SystemClock()
        self.folder = folder
        self.mark = uuid.uuid4().hex
        self.wakeup = self.clock.event()
        self.seen: list[Event] = []
        self._overseers: list[SupervisorProcess] = []
        (folder / "escape.py").write_text(ESCAPE)

    # --- supervisors

    def overseer(self, *, lease: float | None = 3600.0, proof_fd: int | None = None) -> SupervisorProcess:
        """A new supervisor whose deadline is ``lease`` seconds ahead; None is without a first extend."""
        overseer = SupervisorProcess(self.wakeup, proof_fd)
        self._overseers.append(overseer)
        if lease is not None:
            overseer.extend(self.clock.now() + lease)
        return overseer

    def until(self, kind: type[E], run: str | None = None, *, count: int = 1) -> E:
        """The ``count``-th event of ``kind`` (about ``run``) of any supervisor, waited for."""

        def found() -> E | None:
            for overseer in self._overseers:
                self.seen.extend(overseer.events())
            hits = [e for e in self.seen if isinstance(e, kind) and run in (None, _run_of(e))]
            return hits[count - 1] if len(hits) >= count else None

        event: E = self.wait_for(found, f"{kind.__name__} of {run}")
        return event

    def ended(self, run: str) -> RunEnd:
        """How ``run`` ended, waited for."""
        return self.until(Ended, run).end

    # --- tasks

    def spec(self, run: str, *argv: str, **changes: Any) -> RunSpec:
        """A run of ``argv`` whose processes carry this test's mark."""
        values: dict[str, Any] = {
            "run": run,
            "argv": argv,
            "env": {"PATH": os.environ["PATH"], "MARK": self.mark},
            "cwd": str(self.folder),
            "log_path": str(self.folder / "logs" / run),
        }
        return RunSpec(**values | changes)

    def python(self, run: str, code: str, *arguments: str, **changes: Any) -> RunSpec:
        """A run of Python ``code``."""
        return self.spec(run, sys.executable, "-S", "-c", code, *arguments, **changes)

    def escaping(self, run: str, then: str = "stay", **changes: Any) -> RunSpec:
        """A run that leaves a double-forked child behind and then stays or ends; see `escaped`."""
        script = str(self.folder / "escape.py")
        return self.spec(run, sys.executable, "-S", script, str(self.folder / f"{run}.pid"), then, **changes)

    def escaped(self, run: str) -> int:
        """The pid of the double-forked child of an `escaping` run, waited for."""
        file = self.folder / f"{run}.pid"
        pid: int = self.wait_for(
            lambda: int(file.read_text() or 0) if file.exists() else 0, "the escaped child"
        )
        return pid

    def log(self, run: str) -> str:
        """What ``run`` printed."""
        return (self.folder / "logs" / run).read_text()

    # --- observation

    def alive(self) -> list[int]:
        """Pids of processes that carry this test's mark and are no zombies."""
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    marked = f"MARK={self.mark}".encode() in (folder / "environ").read_bytes()
                except OSError:
                    continue
                if marked:
                    found.append(int(folder.name))
        return found

    def children(self, parent: int) -> list[int]:
        """Pids of the direct children of ``parent``."""
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    fields = (folder / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(fields[1]) == parent:
                    found.append(int(folder.name))
        return found

    def wait_for(self, condition: Callable[[], Any], what: str) -> Any:
        """The first true value of ``condition``; fails the test when there is none in time."""
        give_up = self.clock.now() + PATIENCE
        while not (value := condition()):
            assert self.clock.now() < give_up, f"waited in vain for {what}; saw {self.seen}"
            self.wakeup.wait(0.01)
        return value

    def all_dead(self) -> None:
        """Wait until no marked process is left."""
        self.wait_for(lambda: not self.alive(), "the end of all processes")

    def clean_up(self) -> None:
        for overseer in self._overseers:
            overseer.close()
        for pid in self.alive():
            os.kill(pid, signal.SIGKILL)


def _run_of(event: Event) -> str | None:
    if isinstance(event, Ended):
        return event.end.run
    return event.run if isinstance(event, Started | Refused) else None


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    """A `Trial`; whatever it started is gone after the test."""
    trial = Trial(tmp_path)
    yield trial
    trial.clean_up()
