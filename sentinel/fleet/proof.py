"""Proof of death, on one host: a file that only a living daemon or supervisor keeps locked.

The daemon locks the file when its incarnation begins and shares the lock with its supervisor; no task ever
inherits it. When the supervisor has nothing left to kill it writes ``empty`` into the file and exits. So
whoever gets the lock *and* reads ``empty``, in the very file that was announced, knows that the daemon and
all of its task processes are gone. A killed supervisor leaves no mark: then only silence counts. Process ids
prove nothing: two containers share a boot id but not their processes.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from sentinel.model.layout import session_register
from sentinel.model.worker import Incarnation, Proof

EMPTY = b"empty"


class DeathProof(Protocol):
    """Tells whether an incarnation is proven dead. False means: not proven."""

    def proven(self, incarnation: Incarnation) -> bool:
        """Whether neither its daemon nor any of its tasks can be running any more."""


class NoProof:
    """For stores that several hosts reach, and where proof is switched off."""

    def proven(self, incarnation: Incarnation) -> bool:  # noqa: ARG002 - the port names it
        """Never."""
        return False


class ProofFolder:
    """Proof files in a folder that all clients of a local store share."""

    def __init__(self, folder: Path, boot: str) -> None:
        self._folder = folder
        self._boot = boot

    def begin(self, incarnation: str) -> tuple[int, Proof]:
        """Create and lock a new incarnation's file: its descriptor, not inheritable, and what to announce.

        Raises `OSError`.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(incarnation)
        # Locked before it has its name, so that a sweep never sees it unheld.
        fresh = path.with_name(f".{path.name}")
        descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fresh.rename(path)
        status = os.fstat(descriptor)
        return descriptor, Proof(boot=self._boot, device=status.st_dev, inode=status.st_ino)

    def proven(self, incarnation: Incarnation) -> bool:
        """Whether the lock was obtained and ``empty`` read, in the file that was announced."""
        announced = incarnation.proof
        if announced is None or not announced.boot or announced.boot != self._boot:
            return False
        try:
            descriptor = os.open(self._path(incarnation.id), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            status = os.fstat(descriptor)
            if (status.st_dev, status.st_ino) != (announced.device, announced.inode):
                return False
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return os.read(descriptor, 16).strip() == EMPTY
        except OSError:
            return False
        finally:
            os.close(descriptor)

    def remove(self, incarnation: str) -> None:
        """Remove the file of an incarnation that is gone and that nobody has to prove dead."""
        self._path(incarnation).unlink(missing_ok=True)

    def sweep(self, live: Iterable[str]) -> None:
        """Remove the files of incarnations that are not in ``live`` and that nobody holds."""
        keep = {self._path(incarnation).name for incarnation in live}
        try:
            paths = list(self._folder.iterdir())
        except OSError:
            return
        for path in paths:
            if path.name not in keep and not path.name.startswith("."):
                self._remove_unheld(path)

    def _remove_unheld(self, path: Path) -> None:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except OSError:
            return
        finally:
            os.close(descriptor)

    def _path(self, incarnation: str) -> Path:
        return self._folder / session_register(incarnation)


def boot_id() -> str:
    """The kernel's id of this boot, the same in all containers of a host; empty where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
