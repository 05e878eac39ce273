"""What a warm process and the process that watches over it say to each other besides JSON."""

from __future__ import annotations

#: The variable by which the secret comes that marks whose output ends where.
SECRET = "SENTINEL_LANE_SECRET"


def end_mark(secret: str, run: str) -> bytes:
    """What stands in the output where that of ``run`` ends."""
    return f"\0{secret} {run}\0".encode()
