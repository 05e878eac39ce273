"""A process that is killed inside `set_target` leaves ``<ref>.lock`` behind, and nobody can move the ref.

Each round forks a process that moves the ref as fast as it can, with syncing as a store has it, kills it
after some milliseconds, and looks whether the lock stayed; then it removes it, as nobody else would.
"""

import os
import random
import signal
import tempfile
import time
from pathlib import Path

import pygit2

KILLS = 300
SECONDS = 40.0
REF = "refs/heads/state"


def move_for_ever(path: str, pipe: int) -> None:
    repository = pygit2.Repository(path)
    reference = repository.lookup_reference(REF)
    who = pygit2.Signature("peer", "peer@example.org", 0, 0)
    tree = repository.TreeBuilder().write()
    commits = [repository.create_commit(None, who, who, f"{n}", tree, [reference.target]) for n in range(2)]
    os.write(pipe, b".")
    while True:
        for commit in commits:
            reference = repository.lookup_reference(REF)
            reference.set_target(commit)


def main() -> None:
    pygit2.settings.enable_fsync_gitdir(True)
    rng = random.Random(1)
    left = blocked = kills = 0
    reading, writing = os.pipe()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as path:
        repository = pygit2.init_repository(path, bare=True)
        who = pygit2.Signature("root", "root@example.org", 0, 0)
        repository.create_commit(REF, who, who, "root", repository.TreeBuilder().write(), [])
        lock = Path(path) / f"{REF}.lock"
        while kills < KILLS and time.monotonic() - began < SECONDS:
            child = os.fork()
            if child == 0:
                try:
                    move_for_ever(path, writing)
                finally:
                    os._exit(1)
            os.read(reading, 1)
            time.sleep(rng.uniform(0.0, 0.02))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            kills += 1
            if lock.exists():
                left += 1
                reference = repository.lookup_reference(REF)
                try:
                    reference.set_target(reference.target)
                except (pygit2.GitError, OSError):
                    blocked += 1
                lock.unlink()
    print(
        f"{left} of {kills} kills left {REF}.lock behind; the ref could not be moved after {blocked} of them"
    )


if __name__ == "__main__":
    main()
