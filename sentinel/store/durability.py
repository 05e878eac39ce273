"""Whether libgit2 waits for the disk. The switch is process-wide, so open connections are counted.

With it on, libgit2 syncs each loose object and its folder before the object counts as written, and the
new content of a ref before and its folder after the rename. The one thing it leaves out, the entry of a new
folder in *its* folder, `sentinel init` has done: it makes the folders that objects and refs will need.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pygit2

_lock = threading.Lock()
_users = 0


@contextlib.contextmanager
def syncing() -> Iterator[None]:
    """Inside, everything that libgit2 writes in this process is on the disk before the call returns."""
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


def sync_folder(folder: Path) -> None:
    """Put the entries of ``folder`` on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
