"""Who a client says it is: for the audit and for other people, never for a decision."""

from __future__ import annotations

import getpass
import socket

from sentinel.errors import BadInput

MAX_ACTOR = 80


def default_actor() -> str:
    """``user@host`` of this process, as one word."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        # A container may run under a user id that has no name.
        user = "somebody"
    host = socket.gethostname().partition(".")[0]
    word = "".join(character for character in f"{user}@{host}" if character.isprintable())
    return "-".join(word.split())[:MAX_ACTOR]


def checked_actor(actor: str) -> str:
    """``actor`` itself when it can stand in one line of the audit. Raises `BadInput`."""
    if not 0 < len(actor) <= MAX_ACTOR or not actor.isprintable() or " " in actor:
        raise BadInput(
            f"the actor {actor[:40]!a} is not valid: use 1 to {MAX_ACTOR} printable characters without spaces"
        )
    return actor
