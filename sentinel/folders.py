"""Where this machine's private files are: observations, and what went wrong unexpectedly."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote


def state_folder(configured: Path | None, environ: Mapping[str, str]) -> Path:
    """The folder for private files, not yet made: the configured one, else the first that can be written.

    Candidates are ``$XDG_STATE_HOME/sentinel``, ``~/.local/state/sentinel`` and a folder of this user's own
    below the one for temporary files.
    """
    if configured is not None:
        return configured.absolute()
    candidates = []
    if environ.get("XDG_STATE_HOME", "").startswith("/"):
        candidates.append(Path(environ["XDG_STATE_HOME"]) / "sentinel")
    if environ.get("HOME", "").startswith("/"):
        candidates.append(Path(environ["HOME"]) / ".local" / "state" / "sentinel")
    return next((folder for folder in candidates if can_write(folder)), None) or _temporary()


def _temporary() -> Path:
    import tempfile  # costs 20 ms, and most commands need it never

    folder = Path(tempfile.gettempdir()) / f"sentinel-{os.getuid()}"
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return folder
    # Whoever could write here could make others look silent.
    if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022:
        return folder
    return Path(tempfile.mkdtemp(prefix="sentinel-"))


def default_state_folder() -> Path:
    """`state_folder` for this process's environment, nothing configured."""
    return state_folder(None, os.environ)


def can_write(folder: Path) -> bool:
    """Whether ``folder`` can be written, or made where it does not exist yet."""
    existing = next((place for place in (folder, *folder.parents) if place.exists()), None)
    return existing is not None and existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def store_folder(state: Path, url: str) -> Path:
    """The part of the state folder for one store; a plain path and its ``file://`` URL share it."""
    return state / hashlib.sha256(_place(url).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _place(url: str) -> str:
    if url.startswith("file://"):
        return str(Path(unquote(url.removeprefix("file://").removeprefix("localhost"))).resolve())
    return url if "://" in url else str(Path(url).expanduser().resolve())
