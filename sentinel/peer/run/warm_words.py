"""How a warm process answers to the process that watches over it.

An answer stands in its output, a JSON object between a mark with a secret and a NUL, which JSON never holds:
so it also says whose output ends there.
"""

from __future__ import annotations

#: The variable by which the secret comes.
SECRET = "SENTINEL_LANE_SECRET"


def beginning(secret: str) -> bytes:
    """The mark before an answer."""
    return f"\0{secret} ".encode()


def marked(secret: str, answer: str) -> bytes:
    """An answer as it stands in the output."""
    return f"\0{secret} {answer}\0".encode()
