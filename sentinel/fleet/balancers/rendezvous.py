"""Rendezvous hashing: everybody draws the same lots, so everybody finds the same winner without talking.

Each worker draws a number for a key, and the highest wins. When a worker leaves, only the keys that it had
won move; when one joins, it takes its share and nothing else moves.
"""

from __future__ import annotations

import functools
import hashlib
import math

_RANGE = float(2**64)


@functools.lru_cache(maxsize=65_536)
def lot(key: str, worker: str) -> float:
    """The number above 0 and below 1 that ``worker`` draws for ``key``."""
    digest = hashlib.blake2b(f"{worker}\0{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + 0.5) / _RANGE


def weighted_lot(key: str, worker: str, weight: float) -> float:
    """A lot that wins in proportion to ``weight``, which is above 0."""
    drawn = min(lot(key, worker), 1.0 - 2**-53)
    return -weight / math.log(drawn)
