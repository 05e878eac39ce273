"""A GitHub that none of us wrote, on loopback: npm's `emulate`, with users, a repository and an App."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import requests

from tests.github.proxy import ALIASES

_SCRIPT = Path(__file__).parent / "tools" / "emulator.mjs"

OWNER, REPO = "acme", "fleet"
#: Login → permission in acme/fleet; ``none`` is a stranger. The fleet itself signs in as ``robot``.
USERS = {
    "acme": "admin",
    "robot": "push",
    "writer": "push",
    "triager": "triage",
    "reader": "pull",
    "stranger": "none",
}
APP_ID, INSTALLATION_ID = 4711, 100
#: What it gives out differs from tokens of users in that it may do only this.
APP_PERMISSIONS = {"contents": "write", "issues": "write", "metadata": "read"}


def token(login: str) -> str:
    """The token of a user, at the proxy."""
    return f"ghp_{login}_0123456789abcdef"


def aliases(login: str) -> list[str]:
    """The tokens of a user at the emulator, which gives 5,000 requests an hour to each."""
    return [f"{login}-{number}" for number in range(ALIASES)]


class Emulator:
    """The running emulator."""

    def __init__(self, tools: Path) -> None:
        command = ["node", str(_SCRIPT), str(tools / "node_modules")]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        begun = self._tell(_seed())
        self.port: int = begun["port"]
        #: The private key of the App.
        self.private_key: str = begun["keys"][str(APP_ID)]
        self._give_permissions()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def _tell(self, message: Mapping[str, Any]) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        _write(stdin, message)
        answer = stdout.readline()
        if not answer:
            raise RuntimeError(f"the emulator ended with {self._process.wait()}")
        told: dict[str, Any] = json.loads(answer)
        return told

    def set_time(self, wall: float | None) -> None:
        """Let it be ``wall`` there, in seconds since 1970, from now on; None: the real time again."""
        self._tell({"now": None if wall is None else round(wall * 1000)})

    def reset(self) -> None:
        """Make everything as it was at the beginning."""
        self.set_time(None)
        self._tell({})
        self._give_permissions()

    def _give_permissions(self) -> None:
        for login, permission in USERS.items():
            if permission in ("admin", "none"):
                continue
            path = f"repos/{OWNER}/{REPO}/collaborators/{login}"
            given = self.call("PUT", path, {"permission": permission})
            assert given.status_code == 201, given.text

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, login: str = OWNER
    ) -> requests.Response:
        """One request past the proxy and its meter, as a person with a browser would."""
        headers = {"Authorization": f"Bearer {aliases(login)[-1]}"}
        return requests.request(method, f"{self.url}/{path}", json=body, headers=headers, timeout=30)

    def close(self) -> None:
        """End it."""
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _write(stdin: IO[str], message: Mapping[str, Any]) -> None:
    stdin.write(json.dumps(message) + "\n")
    stdin.flush()


def _seed() -> dict[str, Any]:
    return {
        "tokens": {
            alias: {"login": login, "scopes": ["repo"]} for login in USERS for alias in aliases(login)
        },
        "github": {
            "users": [{"login": login, "name": login.title()} for login in USERS],
            "repos": [{"owner": OWNER, "name": REPO, "description": "A fleet"}],
            "apps": [
                {
                    "app_id": APP_ID,
                    "slug": "sentinel",
                    "name": "Sentinel",
                    "permissions": APP_PERMISSIONS,
                    "events": [],
                    "installations": [{"installation_id": INSTALLATION_ID, "account": OWNER}],
                }
            ],
        },
    }
