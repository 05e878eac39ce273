"""Which repository a ``git+…`` store URL means, checked so that no part of it is ever taken for an option."""

from __future__ import annotations

import dataclasses
import re
from urllib.parse import unquote

from sentinel.errors import BadInput

#: Transports that a store URL may name after ``git+``.
TRANSPORTS = ("file", "ssh", "https", "http", "git")
#: Those that hide nothing from whoever listens on the way.
_IN_THE_CLEAR = ("http", "git")

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+-]*")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A repository that git reaches."""

    #: What the user wrote, for messages and remedies; there is no password in it.
    store: str
    #: What git is told.
    url: str
    transport: str
    #: ``host`` or ``host:port``; empty for a repository on this machine.
    authority: str

    @property
    def origin(self) -> str:
        """``scheme://host:port``, as credentials are asked for."""
        return f"{self.transport}://{self.authority}"

    @property
    def in_the_clear(self) -> bool:
        """Whether whoever listens on the way reads everything, tokens included."""
        return self.transport in _IN_THE_CLEAR


def locate(store: str) -> Location:
    """The location that a store URL names.

    Raises `BadInput` for a URL with a password, without a path, or with a host, user or port that git or
    ssh could take for something else.
    """
    scheme, mark, rest = store.partition("://")
    transport = scheme.removeprefix("git+")
    if not mark or not scheme.startswith("git+") or transport not in TRANSPORTS:
        raise BadInput(f"{_shown(store)} is no store URL of a git server; try git+ssh://HOST/PATH")
    _refuse_control_characters(store, rest)
    authority, slash, path = rest.partition("/")
    user, at, host_and_port = authority.rpartition("@")
    if ":" in user:
        raise BadInput(
            f"the store URL for {host_and_port} holds a password or token, which would end up in logs; leave "
            "it out, put it into a file, and name that file in SENTINEL_TOKEN_FILE"
        )
    if not slash or not path.strip("/"):
        raise BadInput(f"the store URL {store!r} has no path; write {scheme}://HOST/PATH/TO/FLEET.git")
    if "?" in path or "#" in path:
        raise BadInput(f"the path in {store!r} holds a ? or #; write it as %3F or %23")
    if transport == "file":
        if authority not in ("", "localhost"):
            raise BadInput(
                f"the store {store!r} names a host; write git+file:///PATH, or git+ssh://HOST/PATH"
            )
        return Location(store=store, url=f"file:///{path}", transport=transport, authority="")
    _check_authority(store, transport, user if at else None, host_and_port)
    return Location(
        store=store, url=f"{transport}://{authority}/{path}", transport=transport, authority=host_and_port
    )


def _refuse_control_characters(store: str, rest: str) -> None:
    if any(ord(char) < 0x20 or ord(char) == 0x7F or char.isspace() for char in unquote(rest, "latin-1")):
        raise BadInput(f"{_shown(store)} holds a blank or a control character, which no store URL may")


def _check_authority(store: str, transport: str, user: str | None, host_and_port: str) -> None:
    host, port = host_and_port, ""
    if not host.endswith("]") and ":" in host:
        host, _, port = host_and_port.rpartition(":")
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise BadInput(f"{_shown(store)} has no valid port after its host; use 1 to 65535")
    if not _HOST.fullmatch(host):
        raise BadInput(
            f"{_shown(store)} names no valid host; a host is letters, digits, dots and dashes, and does not "
            "begin with a dash"
        )
    if user is not None and (transport == "git" or not _USER.fullmatch(user)):
        raise BadInput(f"{_shown(store)} names no valid user before the @")


def _shown(store: str) -> str:
    """The URL without what stands before an ``@``, which may be a secret."""
    scheme, mark, rest = store.partition("://")
    authority, slash, path = rest.partition("/")
    return ascii(f"{scheme}{mark}{authority.rpartition('@')[2]}{slash}{path}"[:200])
