"""With what we sign in to GitHub: a token, a file that holds one, or a GitHub App.

==========================================  =========================================================
``SENTINEL_TOKEN_FILE``                     a file whose first line is a token, read anew at each request
``SENTINEL_GITHUB_APP_ID`` and              a GitHub App: its id, the id of its installation,
``SENTINEL_GITHUB_INSTALLATION_ID`` and     and the file of its private key
``SENTINEL_GITHUB_PRIVATE_KEY_FILE``
``GITHUB_TOKEN``                            a token; in GitHub Actions, the one that a job has
==========================================  =========================================================

The first that is set is used. No token is ever part of a message, a `repr` or a log.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from sentinel.github.errors import NoCredentials
from sentinel.model.redaction import READ
from sentinel.store.credentials import TOKEN, TOKEN_FILE

APP_ID = "SENTINEL_GITHUB_APP_ID"
INSTALLATION_ID = "SENTINEL_GITHUB_INSTALLATION_ID"
PRIVATE_KEY_FILE = "SENTINEL_GITHUB_PRIVATE_KEY_FILE"

Kind = Literal["token file", "app", "actions", "token"]

#: What may be in a header; anything else would be shown by the error that forbids it.
_TOKEN = re.compile(r"[\x21-\x7e]{1,1024}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """One way to sign in."""

    kind: Kind
    #: Where it comes from, for messages: never a value.
    described: str
    #: Tells credentials apart without showing them.
    fingerprint: str
    file: Path | None = None
    app_id: str = ""
    installation_id: int = 0
    _token: str = dataclasses.field(default="", repr=False)

    def token(self) -> str:
        """The token of now, for every kind but ``app``. Raises `NoCredentials` when there is none."""
        if self.file is None:
            return self._token
        try:
            with self.file.open(encoding="utf-8") as file:
                text = file.readline(4096).strip()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise NoCredentials(f"cannot read {self.described}: {reason}") from None
        return checked(text, self.described)

    def private_key(self) -> str:
        """The private key of an App. Raises `NoCredentials` when it cannot be read."""
        assert self.file is not None
        try:
            return self.file.read_text("utf-8")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise NoCredentials(f"cannot read {self.described}: {reason}") from None


def checked(token: str, described: str) -> str:
    """The token, if it can be one; from now on it is kept out of texts. Raises `NoCredentials`."""
    if not _TOKEN.fullmatch(token):
        problem = "holds no token" if not token else "holds what is no token"
        raise NoCredentials(f"{described} {problem}; put a token of GitHub there, alone on its first line")
    READ.remember(token)
    return token


def fingerprint(secret: str) -> str:
    """What tells secrets apart and gives none away."""
    return hashlib.sha256(b"task-sentinel " + secret.encode()).hexdigest()[:16]


def credential(environ: Mapping[str, str]) -> Credential:
    """The credential that the environment names. Raises `NoCredentials` for none, or half of one."""
    if environ.get(TOKEN_FILE):
        file = Path(environ[TOKEN_FILE]).expanduser().absolute()
        return Credential(
            kind="token file",
            described=f"the file in {TOKEN_FILE}",
            fingerprint=fingerprint(f"file {file}"),
            file=file,
        )
    app = {name: environ.get(name, "").strip() for name in (APP_ID, INSTALLATION_ID, PRIVATE_KEY_FILE)}
    if any(app.values()):
        return _app(app)
    token = environ.get(TOKEN, "").strip()
    if not token:
        raise NoCredentials(
            f"there are no credentials for GitHub; set {TOKEN}, or name a file that holds a token in "
            f"{TOKEN_FILE}"
        )
    in_actions = environ.get("GITHUB_ACTIONS") == "true"
    return Credential(
        kind="actions" if in_actions else "token",
        described=f"{TOKEN} of this job" if in_actions else TOKEN,
        fingerprint=fingerprint(f"token {checked(token, TOKEN)}"),
        _token=token,
    )


def _app(app: Mapping[str, str]) -> Credential:
    missing = [name for name, value in app.items() if not value]
    if missing:
        raise NoCredentials(f"a GitHub App needs {' and '.join(missing)}, too")
    if not app[INSTALLATION_ID].isascii() or not app[INSTALLATION_ID].isdigit():
        raise NoCredentials(f"{INSTALLATION_ID} is no number; it is the last part of the installation's URL")
    file = Path(app[PRIVATE_KEY_FILE]).expanduser().absolute()
    return Credential(
        kind="app",
        described=f"the GitHub App in {APP_ID}",
        fingerprint=fingerprint(f"app {app[APP_ID]} {app[INSTALLATION_ID]}"),
        file=file,
        app_id=app[APP_ID],
        installation_id=int(app[INSTALLATION_ID]),
    )
