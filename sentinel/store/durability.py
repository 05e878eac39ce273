"""What it takes to have Git objects and refs on the disk.

libgit2 can sync everything that it writes, but then it waits twice for each object, one after the other: a
batch of 50 transactions has over 200 objects. So objects are written without waiting, then all of them are
started on their way, and then waited for, which the disk does in one go. Only refs, whose new content must be
there before the rename, are left to libgit2; it takes the setting for refs when they are first used.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pygit2

_lock = threading.Lock()
_users = 0


@contextlib.contextmanager
def syncing() -> Iterator[None]:
    """Inside, libgit2 syncs what it writes, and opens refs that it will always sync. It is process-wide."""
    _count(1)
    try:
        yield
    finally:
        _count(-1)


def _count(change: int) -> None:
    global _users
    with _lock:
        _users += change
        pygit2.settings.enable_fsync_gitdir(_users > 0)


def sync_files(files: Sequence[Path]) -> None:
    """Put ``files``, and their entries in their folders, on the disk. One that is not there is skipped."""
    sync_content(files)
    for folder in {file.parent for file in files}:
        _open_and(folder, os.fsync)


def sync_content(files: Sequence[Path]) -> None:
    """Put what is in ``files`` on the disk, all together. One that is not there is skipped."""
    for file in files:
        _open_and(file, _start)
    for file in files:
        _open_and(file, os.fsync)


def _start(descriptor: int) -> None:
    # Begins to write the file out, and does not wait.
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _open_and(path: Path, act: Callable[[int], None]) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # an object that was in a pack already
    try:
        act(descriptor)
    finally:
        os.close(descriptor)
