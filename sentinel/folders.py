"""Where this machine's private files are: observations, and what went wrong unexpectedly."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path


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
    temporary = Path(tempfile.gettempdir()) / f"sentinel-{os.getuid()}"
    return next((folder for folder in candidates if can_write(folder)), temporary)


def default_state_folder() -> Path:
    """`state_folder` for this process's environment, nothing configured."""
    return state_folder(None, os.environ)


def can_write(folder: Path) -> bool:
    """Whether ``folder`` can be written, or made where it does not exist yet."""
    existing = next((place for place in (folder, *folder.parents) if place.exists()), None)
    return existing is not None and existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def store_folder(state: Path, url: str) -> Path:
    """The part of the state folder for one store; a plain path and its ``file://`` URL share it."""
    place = url if "://" in url and not url.startswith("file://") else _absolute(url)
    return state / hashlib.sha256(place.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _absolute(url: str) -> str:
    return str(Path(url.removeprefix("file://").removeprefix("localhost")).expanduser().resolve())
