"""Benches for the stores that ship with the package."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pygit2
import pytest

pytest.register_assert_rewrite(
    "sentinel.testing.conformance",
    "sentinel.testing.conformance_documents",
    "sentinel.testing.conformance_registers",
    "sentinel.testing.workbench",
)

import sentinel  # noqa: E402 - assertions in the suite are rewritten before it is imported
from sentinel.clock import Clock, SystemClock  # noqa: E402
from sentinel.model.layout import STATE_REF  # noqa: E402
from sentinel.store.local import LocalStore, create_local  # noqa: E402
from sentinel.store.memory import Commit, MemoryFleet, MemoryStore  # noqa: E402
from sentinel.store.objects import Objects  # noqa: E402
from sentinel.store.opener import StoreOptions  # noqa: E402
from sentinel.store.tree import path_of, write_tree  # noqa: E402
from sentinel.testing.workbench import StoreBench  # noqa: E402

PROGRAMS = Path(__file__).parent / "programs"


class SleeplessClock(SystemClock):
    """Real threads and events, but time stands still except for sleeping, which takes none."""

    def __init__(self, wall: float = 1_795_000_000.0) -> None:
        self.time = 1000.0
        self.day = wall

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return self.day

    def sleep(self, seconds: float) -> None:
        self.time += max(0.0, seconds)


class MemoryBench(StoreBench):
    """A fleet in this process's memory."""

    def __init__(self) -> None:
        super().__init__()
        self.fleet = MemoryFleet()

    def open(self) -> MemoryStore:
        return MemoryStore(self.fleet)

    def plant(self, key: str, content: bytes) -> None:
        head = self.fleet.head
        self.fleet.history.append(Commit(head.revision + 1, (), {**head.state, key: content}))

    def plant_register(self, name: str, content: bytes) -> None:
        self.fleet.registers[name] = content


class LocalBench(StoreBench):
    """A bare repository in ``folder``."""

    def __init__(self, folder: Path, *, fsync: bool = False) -> None:
        super().__init__()
        self.path = folder / "fleet.git"
        self.fsync = fsync
        create_local(str(self.path), StoreOptions(fsync=fsync))

    def open(self, clock: Clock | None = None, rng: random.Random | None = None) -> LocalStore:
        return LocalStore(self.path, fsync=self.fsync, clock=clock, rng=rng)

    def plant(self, key: str, content: bytes) -> None:
        self.plant_path("/".join(path_of(key)), content)

    def plant_path(self, path: str, content: bytes) -> None:
        """Commit a file to the state branch as somebody with a text editor would."""
        repository = pygit2.Repository(str(self.path))
        reference = repository.lookup_reference(STATE_REF)
        base = reference.peel(pygit2.Commit)
        changes = {tuple(path.split("/")): repository.create_blob(content)}
        tree = write_tree(Objects(repository), base.tree_id, changes)
        who = pygit2.Signature("Somebody", "somebody@example.org")
        reference.set_target(repository.create_commit(None, who, who, "by hand", tree, [base.id]))

    def plant_register(self, name: str, content: bytes) -> None:
        sessions = self.path / "sentinel" / "sessions"
        (pointer,) = (sessions / "live" / name).iterdir()
        (sessions / "values" / f"{name}-{pointer.name}").write_bytes(content)


@pytest.fixture
def memory_bench() -> MemoryBench:
    return MemoryBench()


@pytest.fixture
def make_local_bench(tmp_path: Path) -> Callable[..., LocalBench]:
    def make(**options: bool) -> LocalBench:
        return LocalBench(tmp_path, **options)

    return make


@pytest.fixture
def local(make_local_bench: Callable[..., LocalBench]) -> Iterator[LocalBench]:
    """A bare repository without syncing."""
    bench = make_local_bench()
    yield bench
    bench.close()


@pytest.fixture
def sleepless() -> SleeplessClock:
    """A clock on which waiting takes no time."""
    return SleeplessClock()


@pytest.fixture
def python() -> Callable[..., subprocess.Popen[str]]:
    """Start a program of this folder (``programs/NAME.py``) with arguments, in a process of its own."""

    def start(program: str, *arguments: object, under: Sequence[str] = ()) -> subprocess.Popen[str]:
        root = Path(sentinel.__file__).parents[1]
        command = [*under, sys.executable, str(PROGRAMS / f"{program}.py"), *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": str(root)}
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    return start
