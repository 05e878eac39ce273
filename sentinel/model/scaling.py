"""What the scaler remembers from one look to the next, whoever the next scaler is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from sentinel.model.codec import Fields
from sentinel.model.record import Stored, stamp


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scaling(Stored):
    """The one record of the scaler. Times are seconds since 1970 by the clock of whoever was the scaler."""

    #: How many looks in a row wanted more workers, and fewer.
    up_votes: int = 0
    down_votes: int = 0
    #: When workers were last started or drained; None when they never were.
    changed_at: float | None = None
    #: Workers that were asked for and have not joined yet → when.
    starting: Mapping[str, float] = dataclasses.field(default_factory=dict)
    #: Workers that a scaler started, and so may start again and remove.
    managed: tuple[str, ...] = ()
    #: Workers that were told to drain and have not left yet.
    stopping: tuple[str, ...] = ()

    @classmethod
    def load(cls, key: str, document: Mapping[str, Any]) -> Scaling:
        """The record stored under ``key``. Raises `BadRecord` when it is none."""
        fields = Fields(key, document)
        starting = Fields(key, fields.mapping("starting"))
        return cls(
            up_votes=fields.count("up_votes", 0),
            down_votes=fields.count("down_votes", 0),
            changed_at=fields.take("changed_at", (int, float, type(None)), None),
            starting={name: starting.seconds(name) for name in list(starting.rest())},
            managed=fields.texts("managed"),
            stopping=fields.texts("stopping"),
            **stamp(fields),
        )
