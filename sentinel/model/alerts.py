"""The alerts of a fleet: conditions that were seen twice in a row, and when each was raised."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from sentinel.errors import BadRecord
from sentinel.model.codec import Document, Fields, flat
from sentinel.model.record import Stored, stamp


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One condition that holds."""

    code: str
    severity: str
    subject: str | None
    #: As it was when it was raised.
    message: str
    since: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Alerts(Stored):
    """The one record of what is wrong; whoever watches rewrites it when that changes."""

    #: By the key of the condition.
    active: Mapping[str, Alert] = dataclasses.field(default_factory=dict)

    def document(self) -> Document:
        return {**flat(self), "active": {key: flat(alert) for key, alert in self.active.items()}}

    @classmethod
    def load(cls, key: str, document: Mapping[str, Any]) -> Alerts:
        """The record stored under ``key``. Raises `BadRecord` when it is none."""
        fields = Fields(key, document)
        active = {name: _load(key, found) for name, found in fields.mapping("active").items()}
        return cls(active=active, **stamp(fields))


def _load(key: str, document: object) -> Alert:
    if not isinstance(document, dict):
        raise BadRecord(key, "an alert is no object")
    fields = Fields(key, document)
    return Alert(
        code=fields.text("code"),
        severity=fields.text("severity"),
        subject=fields.maybe_text("subject"),
        message=fields.text("message"),
        since=fields.text("since"),
    )
