"""Ids: what may name a task, a worker or a lock, and how new ones are made.

An id ends up in commit messages, JSON and environment variables, and an encoding of it in file and ref
names. The rule is narrow so that no id can ever be read as a path, an option or a command.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator

from sentinel.errors import BadInput

MAX_ID_LENGTH = 128

_ID = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
#: Two characters for ten bits.
_PAIRS = [one + two for one in _CROCKFORD for two in _CROCKFORD]

RULE = (
    "lower-case letters and digits, joined by single '.', '_' or '-', "
    f"at most {MAX_ID_LENGTH} characters (such as build-42)"
)


def is_id(text: object) -> bool:
    """Whether ``text`` is a valid id."""
    return isinstance(text, str) and len(text) <= MAX_ID_LENGTH and _ID.fullmatch(text) is not None


def check_id(text: str, what: str) -> str:
    """``text`` itself when it is a valid id; ``what`` says of what (``task id``) in the error.

    Raises `BadInput`, with the offending text shown escaped and shortened.
    """
    if is_id(text):
        return text
    shown = ascii(text[:40]) + ("…" if len(text) > 40 else "")
    raise BadInput(f"{what} {shown} is not valid: use {RULE}")


def _head(value: int) -> str:
    """All of a ULID but the last two characters."""
    return "".join([_PAIRS[(value >> shift) & 1023] for shift in range(120, 0, -10)])


class IdSource:
    """Makes ids that never repeat, from injected randomness and wall time."""

    def __init__(self, rng: random.Random, wall: Callable[[], float]) -> None:
        self._rng = rng
        self._wall = wall

    def ulid(self) -> str:
        """A lower-case ULID: 48 bits of milliseconds, then 80 random bits, so that ids sort by time.

        The layout is that of the ULID specification (Crockford's base 32, 26 characters); lower case
        because ids here are.
        """
        return _head(value := self._fresh()) + _PAIRS[value & 1023]

    def ulids(self) -> Iterator[str]:
        """ULIDs for what belongs together: they count up from one that is new, as the specification says.

        Nobody else ever counts up to one of them: that takes two beginnings that are close in 80 random bits.
        """
        value = self._fresh()
        while True:
            head = _head(value)
            for last in _PAIRS[value & 1023 :]:
                yield head + last
            value = (value | 1023) + 1

    def _fresh(self) -> int:
        return (int(self._wall() * 1000) & ((1 << 48) - 1)) << 80 | self._rng.getrandbits(80)

    def nonce(self) -> str:
        """128 random bits in hexadecimal, to make two otherwise equal commits different."""
        return f"{self._rng.getrandbits(128):032x}"
