"""With which credentials git reaches a server: a token through our askpass, or what the user's git knows.

A token is a file named in ``SENTINEL_TOKEN_FILE``, for whatever host the store is on, or ``GITHUB_TOKEN``,
which is for GitHub alone: it is given to github.com, to the host of ``GITHUB_SERVER_URL`` and to this
machine, and to nobody else who happens to have a store. With a token the user's credential helpers are
left out, for git would hand the token to them to be stored.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from sentinel.model.redaction import READ
from sentinel.store import askpass
from sentinel.store.location import Location

#: Longest token in characters.
_MOST = 4096
TOKEN_FILE = "SENTINEL_TOKEN_FILE"
TOKEN = "GITHUB_TOKEN"
SERVER = "GITHUB_SERVER_URL"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What git's environment and configuration get so that the server lets us in."""

    environ: Mapping[str, str]
    config: Mapping[str, str]
    #: Whether a token of ours is used, so that the user's helpers are not.
    own: bool
    #: Where the credentials come from, for messages: never a value.
    described: str
    #: What our askpass reads the token from each time that git asks; None for a token that stays as it is.
    file: Path | None = None

    def remember(self) -> None:
        """Have the token that the file holds now kept out of texts from now on."""
        if self.file is not None:
            # Git itself is told what is wrong with the file.
            with contextlib.suppress(OSError, ValueError), self.file.open(encoding="utf-8") as file:
                READ.remember(file.readline(_MOST).strip())


def credentials(location: Location, environ: Mapping[str, str], folder: Path) -> Credentials:
    """The credentials for ``location``; a small program that git can call is written into ``folder``.

    Raises `OSError` when it cannot be.
    """
    if location.transport not in ("http", "https"):
        return _without("the keys of ssh and its agent" if location.transport == "ssh" else "nothing")
    file = environ.get(TOKEN_FILE, "")
    path: Path | None = None
    if file:
        path = Path(file).expanduser().absolute()
        given = {askpass.FILE: str(path), askpass.VARIABLE: ""}
        described = f"the file in {TOKEN_FILE}"
    elif environ.get(TOKEN) and _is_for_github(location, environ):
        given = {askpass.FILE: "", askpass.VARIABLE: TOKEN}
        described = TOKEN
    else:
        return _without("git's credential helper")
    return Credentials(
        environ={"GIT_ASKPASS": str(_program(folder)), askpass.ORIGIN: location.origin, **given},
        config={"credential.helper": ""},
        own=True,
        described=described,
        file=path,
    )


def _without(described: str) -> Credentials:
    # Set and empty: git then asks neither ssh's askpass nor a window.
    return Credentials(environ={"GIT_ASKPASS": ""}, config={}, own=False, described=described)


def _is_for_github(location: Location, environ: Mapping[str, str]) -> bool:
    host = location.authority.partition(":")[0] if "[" not in location.authority else location.authority
    server = environ.get(SERVER, "").partition("://")[2].strip("/").rpartition("@")[2]
    return host == "github.com" or location.authority == server or _is_this_machine(host)


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _program(folder: Path) -> Path:
    program = folder / "askpass"
    # Isolated and without `site`: it needs nothing of either, and starts in a tenth of the time.
    command = shlex.join([sys.executable, "-I", "-S", askpass.__file__])
    text = f'#!/bin/sh\nexec {command} "$1"\n'
    if not program.exists() or program.read_text("utf-8") != text:
        program.write_text(text, "utf-8")
        program.chmod(0o700)
    return program
