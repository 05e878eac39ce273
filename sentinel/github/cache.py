"""Answers that can be asked for again for nothing: GitHub does not charge for "not modified".

ETags hold for one token and one URL. The cache is bounded by bytes; what nobody asked for longest goes first.
"""

from __future__ import annotations

import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Mapping

#: Bytes of answers that are kept for one credential.
MAX_BYTES = 16 * 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """An answer as it came."""

    etag: str
    status: int
    headers: Mapping[str, str]
    text: str


class EtagCache:
    """Answers by token and URL. Shared by threads."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str], Kept] = OrderedDict()

    def get(self, token: str, url: str) -> Kept | None:
        """What was kept for a token (by its fingerprint) and URL."""
        with self._lock:
            kept = self._kept.get((token, url))
            if kept is not None:
                self._kept.move_to_end((token, url))
            return kept

    def put(self, token: str, url: str, kept: Kept) -> None:
        """Keep an answer; one that is larger than a quarter of the cache is not worth it."""
        with self._lock:
            before = self._kept.pop((token, url), None)
            self._bytes -= 0 if before is None else len(before.text)
            if len(kept.text) * 4 > self._max_bytes:
                return
            self._kept[token, url] = kept
            self._bytes += len(kept.text)
            while self._bytes > self._max_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= len(oldest.text)
