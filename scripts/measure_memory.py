"""Measure shared memory on a local store in a temporary folder: the figures in docs/memory.md.

Exit status: 0 when no increment was lost, 1 when one was.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.arguments import count, whole
from sentinel.client import Client, ClientOptions
from sentinel.fleet.shared_memory import MemoryOptions
from sentinel.store.opener import StoreOptions, create_store

#: Increments one counter so many times, by compare-and-swap.
INCREMENT = """
import sys
import sentinel
from sentinel.client import ClientOptions

with sentinel.Client(sys.argv[1], options=ClientOptions(fsync=False)) as client:
    for _ in range(int(sys.argv[2])):
        client.memory.update("n", lambda value: value + 1, default=0)
"""
#: Keys of the cache's trial, and of so many reads one is preceded by a write of another program.
KEYS, WRITE_EVERY = 200, 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/measure-memory", description=__doc__)
    parser.add_argument("--processes", type=count, default=8, metavar="N")
    parser.add_argument("--increments", type=count, default=1_000, metavar="N", help="for each process")
    parser.add_argument("--writes", type=count, default=1_000, metavar="N")
    parser.add_argument("--reads", type=count, default=10_000, metavar="N")
    parser.add_argument("--seed", type=whole, default=1, metavar="S")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sentinel-memory-") as folder:
        store = Path(folder) / "fleet.git"
        create_store(str(store), StoreOptions(fsync=False))
        kept = increments(store, given.processes, given.increments)
        for behind in (False, True):
            writes(store, given.writes, behind=behind)
        for size in (1_000, 50):
            reads(store, given.reads, size, random.Random(given.seed))
    return 0 if kept else 1


def increments(store: Path, processes: int, each: int) -> bool:
    """Whether every increment of many processes counted."""
    before, began = commits(store), time.monotonic()
    running = [
        subprocess.Popen([sys.executable, "-c", INCREMENT, str(store), str(each)]) for _ in range(processes)
    ]
    failed = sum(process.wait() != 0 for process in running)
    took = time.monotonic() - began
    with client_of(store) as client:
        found = client.memory.get("n")
    total = processes * each
    print(
        f"compare-and-swap: {processes} processes x {each} increments give {found} of {total}, "
        f"{failed} processes failed, {(commits(store) - before) / total:.3f} commits an increment, "
        f"{total / took:.0f} increments/s"
    )
    return found == total and not failed


def writes(store: Path, count: int, *, behind: bool) -> None:
    """Commits for each write, of a hundred keys in turn."""
    before = commits(store)
    with client_of(store) as client:
        for number in range(count):
            client.memory.set(f"k{number % 100}", number, behind=behind)
    how = "behind" if behind else "one at a time"
    print(f"writes {how}: {(commits(store) - before) / count:.4f} commits a write ({count} writes)")


def reads(store: Path, count: int, size: int, rng: random.Random) -> None:
    """The hit rate of a cache of ``size`` entries; some keys are read much more often than others."""
    weights = [1 / (rank + 1) for rank in range(KEYS)]
    with client_of(store) as other, client_of(store, size) as client:
        for number in range(KEYS):
            other.memory.set(f"k{number}", number)
        for number in range(count):
            (key,) = rng.choices(range(KEYS), weights)
            if number % WRITE_EVERY == 0:
                other.memory.set(f"k{rng.randrange(KEYS)}", number)
            client.memory.get(f"k{key}")
        rate = client.memory.stats()["hit_rate"]
    print(f"reads: hit rate {rate:.3f} with {size} entries ({count} reads of {KEYS} keys)")


def client_of(store: Path, cache_size: int = 1_000) -> Client:
    """A program of its own."""
    return Client(str(store), options=ClientOptions(fsync=False, memory=MemoryOptions(cache_size=cache_size)))


def commits(store: Path) -> int:
    """How many commits the state has."""
    listed = subprocess.run(
        ["git", "-C", str(store), "rev-list", "--count", "sentinel/state"],
        capture_output=True,
        text=True,
        check=False,
    )
    return int(listed.stdout or 0)


if __name__ == "__main__":
    sys.exit(main())
