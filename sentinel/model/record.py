"""What every stored record has besides what it says: which version it is, and what a later product added."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self, TypedDict

from sentinel.model.codec import Document, Fields, flat


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The base of records that are stored as documents."""

    #: How often the record was written, this version included; 0 for one that never was.
    rev: int = 0
    #: The transaction that wrote it.
    tx: str = ""
    #: Fields that this version does not know; whoever rewrites the record keeps them.
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def stamped(self, rev: int, tx: str) -> Self:
        """The same record as version ``rev``, written by transaction ``tx``."""
        return dataclasses.replace(self, rev=rev, tx=tx)

    def document(self) -> Document:
        """The record as a JSON object."""
        return flat(self)


class Stamp(TypedDict):
    """The fields of `Stored`."""

    rev: int
    tx: str
    extra: Mapping[str, Any]


def stamp(fields: Fields) -> Stamp:
    """The fields of `Stored`, of a document of which all others were taken. Raises `BadRecord`."""
    return {"rev": fields.count("rev"), "tx": fields.text("tx"), "extra": fields.rest()}
