"""Private folders for connections, used again: each belongs to one connection at a time, and to nobody else.

A mirror that two connections shared would need rules for refs, shallow boundaries and repairs that are made
while another reads. An `flock` on a file in the folder makes the question go away: whoever opens a store
takes the first folder that is free, with what is in it, or makes one more.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path


class Slot:
    """A folder that is ours until `close`; as long as nobody deletes it."""

    def __init__(self, folder: Path, descriptor: int, ending: Callable[[], object]) -> None:
        self.folder = folder
        self._descriptor = descriptor
        self._ending = ending

    @property
    def ours(self) -> bool:
        """Whether the folder is still the one that was taken: it may have been deleted, and made anew."""
        try:
            there = os.stat(self.folder / "lock")  # noqa: PTH116 - compared with os.fstat
        except OSError:
            return False
        here = os.fstat(self._descriptor)
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)

    def close(self) -> None:
        """Let others have it. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._ending()


def take_slot(parent: Path | None) -> Slot:
    """The first free slot in ``parent``; without one, a temporary folder that goes with the slot.

    Raises `OSError`.
    """
    if parent is None:
        temporary = tempfile.TemporaryDirectory(prefix="sentinel-", ignore_cleanup_errors=True)
        slot = _try(Path(temporary.name), temporary.cleanup)
        assert slot is not None
        return slot
    for number in itertools.count():
        folder = parent / str(number)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        slot = _try(folder, _nothing)
        if slot is not None:
            return slot
    raise AssertionError("counting ended")


def _try(folder: Path, ending: Callable[[], object]) -> Slot | None:
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    slot = Slot(folder, descriptor, ending)
    if not slot.ours:
        with contextlib.suppress(OSError):
            os.close(descriptor)
        return _try(folder, ending)
    return slot


def _nothing() -> None:
    """A slot that stays leaves everything as it is."""
