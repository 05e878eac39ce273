"""Who joined last, where joins are spread over time."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from sentinel.clock import from_rfc3339
from sentinel.model.codec import Document, Fields, flat


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Each join writes it, so of workers that start in the same moment one passes, and the others see it."""

    worker: str = ""
    #: When it joined, by its own wall clock. It spreads the load and decides nothing.
    at: str = ""

    rev: int = 0
    tx: str = ""
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def closed_for(self, pause: float, wall: float) -> float:
        """Seconds from ``wall`` until ``pause`` seconds have passed since; zero where clocks disagree."""
        try:
            since = wall - from_rfc3339(self.at)
        except ValueError:
            return 0.0
        return pause - since if 0 <= since < pause else 0.0

    def stamped(self, rev: int, tx: str) -> Self:
        return dataclasses.replace(self, rev=rev, tx=tx)

    def document(self) -> Document:
        return flat(self)

    @classmethod
    def load(cls, key: str, document: Mapping[str, Any]) -> Door:
        """The record stored under ``key``. Raises `BadRecord` when it is none."""
        fields = Fields(key, document)
        return cls(
            worker=fields.text("worker", ""),
            at=fields.text("at", ""),
            rev=fields.count("rev"),
            tx=fields.text("tx"),
            extra=fields.rest(),
        )
