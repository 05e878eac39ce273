"""The token of a GitHub App for git: it lasts an hour, so the file that git's askpass reads is kept new."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from sentinel.errors import Unavailable
from sentinel.github.api import Api
from sentinel.store.credentials import TOKEN_FILE


class GitToken:
    """A private file with the token of now.

    It stays when the process ends, with a token that soon does nothing; the next process writes its own.
    """

    def __init__(self, api: Api, state_folder: Path | None) -> None:
        self._api = api
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if state_folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="sentinel-", ignore_cleanup_errors=True)
            state_folder = Path(self._temporary.name)
        self._file = state_folder / "github-token"
        self._written = ""

    def environ(self, environ: Mapping[str, str]) -> dict[str, str]:
        """``environ`` with the file named in it."""
        return {**environ, TOKEN_FILE: str(self._file)}

    def refresh(self) -> None:
        """Write the token if it is another one by now. Raises `Unauthorised` and `Unavailable`."""
        token = self._api.token()
        if token == self._written and self._file.exists():
            return
        temporary = self._file.with_name(f"{self._file.name}.{os.getpid()}.{id(self)}")
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(token + "\n")
            temporary.replace(self._file)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise Unavailable(f"cannot write {self._file}: {error.strerror}; free space there") from error
        self._written = token
