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


class Ring:
    """Workers with weights, among whom lots are drawn. Equal to itself alone: see `ring`."""

    def __init__(self, weights: tuple[tuple[str, float], ...]) -> None:
        self._weights = weights
        #: Worker → its place in what `ranking` gives.
        self.places = {worker: place for place, (worker, _) in enumerate(weights)}

    def drawn(self, key: str) -> tuple[int, ...]:
        """See `ranking`."""
        lots = [(-weighted_lot(key, worker, weight), worker) for worker, weight in self._weights]
        ranks = [0] * len(lots)
        for rank, (_, worker) in enumerate(sorted(lots)):
            ranks[self.places[worker]] = rank
        return tuple(ranks)

    def first(self, key: str) -> str | None:
        """Who wins the lots drawn for ``key``; None where there is nobody."""
        if len(self._weights) < 2:
            return self._weights[0][0] if self._weights else None
        return max(self._weights, key=lambda one: (weighted_lot(key, *one), one[0]))[0]


@functools.lru_cache(maxsize=256)
def ring(weights: tuple[tuple[str, float], ...]) -> Ring:
    """The ring of these workers, the same one for equal ``weights``."""
    return Ring(weights)


@functools.lru_cache(maxsize=8_192)
def ranking(among: Ring, key: str) -> tuple[int, ...]:
    """The rank that each worker of ``among`` has in the lots drawn for ``key``, from 0, by its place.

    A long queue is ranked at every look, and from one look to the next hardly any of it is new.
    """
    return among.drawn(key)
