"""Keeps a local store small while its fleet works: objects are packed well, and old history is let go.

Every commit leaves about six objects, whole as they are, for nobody is to wait for more. `git repack` stores
what is alike as differences, which takes a small part of the room. History is let go by Git's own means for
having less of it: the file ``shallow`` names the commit at which it begins. The head stays the very commit
that it was: nothing is rewritten, no client has to accept anything, and a branch that was moved back is still
an alarm. No ref is locked, and no object goes that is younger than a day or reachable.

`Helper` does this in a process of its own with the lowest priority; one at a time for each store.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pygit2

from sentinel.errors import Unavailable
from sentinel.model.layout import STATE_REF
from sentinel.store.base import notes
from sentinel.store.git_process import installed_git
from sentinel.store.pack import held
from sentinel.store.repository import PRIVATE, TIDYING

#: What a store may grow by, in bytes, beyond twice what was left of it the last time.
GROWTH = 64 << 20
#: Objects that nothing reaches stay for so long: somebody may be about to make them reachable.
UNREACHABLE = "1.day.ago"
#: Commits that are let go at least, or none: each time everything is packed anew.
WORTH_IT = 10_000

_MARK = re.compile(r"mark (\d+) of the retention, by .*")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a store is."""

    #: Commits of the state's history.
    commits: int
    loose: int
    packed: int
    packs: int
    #: On the disk.
    kilobytes: int


def history(repository: pygit2.Repository) -> Iterator[pygit2.Commit]:
    """The commits of the state from the newest on, as far as they are here. Raises `Unavailable`."""
    try:
        oid = repository.lookup_reference(STATE_REF).target
        while True:
            commit = repository[oid].peel(pygit2.Commit)
            yield commit
            if not commit.parent_ids:
                return
            oid = commit.parent_ids[0]
    except KeyError:
        return  # it was let go
    except pygit2.GitError as error:
        raise Unavailable(f"the history in {repository.path} cannot be read: {error}") from error


def beginning_by_mark(repository: pygit2.Repository, mark: int) -> tuple[str | None, int]:
    """The commit that made the retention's mark number ``mark``, and how many are older; None for no such."""
    found: str | None = None
    older = 0
    for commit in history(repository):
        if found is None:
            numbers = [int(match[1]) for note in notes(commit.message) if (match := _MARK.fullmatch(note))]
            found = str(commit.id) if numbers and min(numbers) <= mark else None
        else:
            older += 1
    return found, older


def beginning_by_number(repository: pygit2.Repository, keep: int) -> tuple[str | None, int]:
    """The oldest of the ``keep`` newest commits, and how many are older; None when there are no more."""
    found: str | None = None
    number = 0
    for commit in history(repository):
        number += 1
        if number == keep:
            found = str(commit.id)
    older = max(0, number - keep)
    return (found if older else None), older


def bytes_of(path: Path) -> int:
    """About how much room the objects of the store at ``path`` take; of loose ones a 256th is looked at."""
    found = 0
    with contextlib.suppress(OSError):
        found = sum(entry.stat().st_size for entry in os.scandir(path / "objects" / "pack"))
    with contextlib.suppress(OSError):
        found += 256 * sum(max(4096, entry.stat().st_size) for entry in os.scandir(path / "objects" / "17"))
    return found


def size(path: Path) -> Size:
    """How large the store at ``path`` is. Raises `Unavailable`."""
    told = dict(line.partition(": ")[::2] for line in _git(path, "count-objects", "-v").decode().splitlines())
    return Size(
        commits=sum(1 for _ in history(pygit2.Repository(str(path)))),
        loose=int(told["count"]),
        packed=int(told["in-pack"]),
        packs=int(told["packs"]),
        kilobytes=int(told["size"]) + int(told["size-pack"]),
    )


def compact(path: Path, beginning: str | None) -> None:
    """Let the history begin at a commit (None: where it does), and drop what nothing reaches any more.

    Clients put no packs together meanwhile: git gives up when one goes that it has seen. Raises
    `Unavailable`; then the store is as whole as it was.
    """
    with held(path / PRIVATE / TIDYING, fcntl.LOCK_EX):
        _compact(path, beginning)


def _compact(path: Path, beginning: str | None) -> None:
    if beginning is not None:
        # The only line: the state's is the only history that is longer than a day's artifacts.
        temporary = path / "shallow.sentinel"
        temporary.write_text(f"{beginning}\n", "ascii")
        temporary.replace(path / "shallow")
    # What commits packed in a hurry, or not at all, is packed anew.
    always = ("repack", "-d", "-F", "-l", "-q")
    try:
        _git(path, *always, "--cruft", f"--cruft-expiration={UNREACHABLE}")
    except Unavailable as error:
        # Before git 2.37, what nothing reaches and is not old enough becomes a file each.
        if "unknown option" not in str(error):
            raise
        _git(path, *always, "-A", f"--unpack-unreachable={UNREACHABLE}")
    _git(path, "prune", f"--expire={UNREACHABLE}")


class Turn:
    """The one turn that somebody has at a store, and what was left of it after the turn before."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @property
    def left(self) -> int:
        """The bytes that were left; 0 where that is not known."""
        text = os.pread(self._descriptor, 100, 0).decode("ascii", "replace").strip()
        return int(text) if text.isdecimal() else 0

    def over(self, path: Path) -> None:
        """Note what is left now."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{bytes_of(path)}\n".encode("ascii"), 0)


@contextlib.contextmanager
def alone(path: Path) -> Iterator[Turn | None]:
    """The turn at the store at ``path``, nobody else's inside; None while somebody else has it."""
    descriptor = os.open(path / PRIVATE / "upkeep", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield Turn(descriptor)
    finally:
        os.close(descriptor)


def _git(path: Path, *arguments: str) -> bytes:
    """Run git with this user's environment on a store of theirs. Raises `Unavailable`."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    program = installed_git(environ)
    ran = subprocess.run(
        [program, "-C", str(path), "-c", "pack.threads=1", *arguments],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if ran.returncode:
        why = ran.stderr.decode("utf-8", "replace").strip()
        raise Unavailable(f"`git {arguments[0]}` failed in {path}: {why}")
    return ran.stdout


class Helper:
    """Starts the upkeep of one store in a process of its own, and never two at a time."""

    def __init__(self, start: Callable[[list[str]], subprocess.Popen[bytes]] | None = None) -> None:
        self._start = start if start is not None else _spawn
        self._running: subprocess.Popen[bytes] | None = None

    def start(self, path: Path, mark: int) -> None:
        """Keep the store small; its history is to begin with the retention's ``mark``. Returns at once."""
        if self._running is not None and self._running.poll() is None:
            return
        self._running = self._start([sys.executable, "-m", __name__, str(path), str(mark)])


def _spawn(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def keep_small(path: Path, mark: int) -> None:
    """Pack the store and let go what is older than ``mark``, if either is worth it.

    Does nothing while another process does. Raises `Unavailable`.
    """
    with alone(path) as turn:
        if turn is None:
            return
        beginning, older = beginning_by_mark(pygit2.Repository(str(path)), mark)
        if older >= WORTH_IT or bytes_of(path) > 2 * turn.left + GROWTH:
            compact(path, beginning if older else None)
            turn.over(path)


def main(arguments: list[str]) -> None:
    """`keep_small` as a program that is in nobody's way."""
    os.nice(19)
    keep_small(Path(arguments[0]), int(arguments[1]))


if __name__ == "__main__":
    main(sys.argv[1:])
