"""Where each set-up stands: a file system of its own, and a Redis of its own.

Deleting many files on ext4 makes later creation of files up to 75 times slower for many seconds. So nothing
that is measured shares a file system with what was measured before, where this user may mount one.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_IMAGE_BYTES = 4 << 30


@contextmanager
def fresh_folder(base: Path | None) -> Iterator[Path]:
    """An empty folder on a new ext4 of its own; where that cannot be mounted, just an empty folder."""
    with tempfile.TemporaryDirectory(dir=base) as outer, ExitStack() as stack:
        folder = Path(outer) / "ground"
        folder.mkdir()
        image = Path(outer) / "image"
        with image.open("wb") as file:
            file.truncate(_IMAGE_BYTES)
        if _quietly("mkfs.ext4", "-q", str(image)) and _quietly(
            "mount", "-o", "loop", str(image), str(folder)
        ):
            stack.callback(_quietly, "umount", "-l", str(folder))
        yield folder


def _quietly(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextmanager
def redis_server(folder: Path, *, fsync: bool) -> Iterator[str]:
    """The URL of a Redis server of its own; with ``fsync`` it replies when a write is on the disk."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    durable = ("yes", "--appendfsync", "always") if fsync else ("no",)
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    command += ["--save", "", "--appendonly", *durable]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait()


def redis_version() -> str | None:
    """Version of the installed Redis server, or None."""
    if shutil.which("redis-server") is None:
        return None
    told = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout
    return told.partition("v=")[2].split()[0]
