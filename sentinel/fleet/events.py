"""The audit as events: each note of the state's history, sorted by what it is about."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from sentinel.clock import rfc3339
from sentinel.model.codec import Document
from sentinel.store.base import Entry

KINDS = ("task", "worker", "lock", "failover", "alert", "scaling", "memory", "count", "other")
#: Shown unless others are asked for: who counts what is nobody's event.
SHOWN = tuple(kind for kind in KINDS if kind != "count")

#: What a note is about → the words that it may begin with; the first that fits counts.
_BEGINNINGS: Mapping[str, tuple[str, ...]] = {
    "failover": ("fail over",),
    "count": ("count",),
    "alert": ("alert", "end of alert"),
    "scaling": ("scale",),
    "memory": ("set memory", "delete memory"),
    "lock": ("acquire lock", "renew lock", "release lock", "force the release of lock", "free lock"),
    "worker": ("join", "leave", "enter", "remove worker", "cordon", "uncordon", "drain"),
    "task": (
        *("submit", "claim", "finish", "fail", "requeue", "hand back", "free", "bury"),
        *("cancel", "ask to cancel", "retry", "mean", "nothing is meant", "rebalance"),
    ),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened to the fleet."""

    #: The commit that it landed in.
    revision: str
    #: By the clock of whoever committed it; None where the store keeps no time.
    at: str | None
    #: Who committed it.
    by: str
    kind: str
    text: str

    def document(self) -> Document:
        """The event as JSON."""
        return dataclasses.asdict(self)


def events(entries: Sequence[Entry]) -> Iterator[Event]:
    """The events of audit entries that come newest first, oldest first."""
    for entry in reversed(entries):
        for note in entry.notes:
            yield Event(
                revision=entry.revision,
                at=None if entry.at is None else rfc3339(entry.at),
                by=entry.by,
                kind=kind_of(note),
                text=note,
            )


def kind_of(note: str) -> str:
    """What a note is about, one of `KINDS`."""
    for kind, beginnings in _BEGINNINGS.items():
        if any(note.startswith(f"{words} ") for words in beginnings):
            return kind
    return "other"
