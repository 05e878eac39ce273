"""Who joined last, where joins are spread over time."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from sentinel.clock import from_rfc3339
from sentinel.model.codec import Fields
from sentinel.model.record import Stored, stamp


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Door(Stored):
    """Each join writes it, so of workers that start in the same moment one passes, and the others see it."""

    worker: str = ""
    #: When it joined, by its own wall clock. It spreads the load and decides nothing.
    at: str = ""

    def closed_for(self, pause: float, wall: float) -> float:
        """Seconds from ``wall`` until ``pause`` seconds have passed since; zero where clocks disagree."""
        try:
            since = wall - from_rfc3339(self.at)
        except ValueError:
            return 0.0
        return pause - since if 0 <= since < pause else 0.0

    @classmethod
    def load(cls, key: str, document: Mapping[str, Any]) -> Door:
        """The record stored under ``key``. Raises `BadRecord` when it is none."""
        fields = Fields(key, document)
        return cls(
            worker=fields.text("worker", ""),
            at=fields.text("at", ""),
            **stamp(fields),
        )
