"""What happened in a simulation: its hash, by which two runs are compared, and its last lines, for people."""

from __future__ import annotations

import collections
import hashlib
import logging
import struct
from collections.abc import Callable

_SWITCH = struct.Struct("<dI").pack
#: How many lines are kept for the timeline.
_KEPT = 4_000


class Trace:
    """Every event and every switch goes into the hash; the newest events are kept to be read."""

    def __init__(self, *, keep: int = _KEPT) -> None:
        self._hash = hashlib.sha256()
        self._lines: collections.deque[tuple[float, str, str]] = collections.deque(maxlen=keep)
        self.events = 0
        #: How often each raised an alarm.
        self.alarms: collections.Counter[str] = collections.Counter()
        self.switches = 0

    def switched(self, at: float, actor: int) -> None:
        """The actor of this number goes on."""
        self.switches += 1
        self._hash.update(_SWITCH(at, actor))

    def note(self, at: float, who: str, what: str) -> None:
        """``who`` (an actor, the store, the faults) did ``what``."""
        self.events += 1
        if "ALARM" in what:
            self.alarms[who] += 1
        self._hash.update(f"{at!r} {who} {what}\n".encode("utf-8", "backslashreplace"))
        self._lines.append((at, who, what))

    @property
    def digest(self) -> str:
        """The same for the same course of events, on any machine."""
        return self._hash.hexdigest()

    def timeline(self, *, last: int = 80, about: str | None = None) -> str:
        """The last lines as a table of time, actor and event; with ``about`` only those with that text."""
        lines = [line for line in self._lines if about is None or about in line[2] or about in line[1]][
            -last:
        ]
        width = max((len(who) for _, who, _ in lines), default=0)
        return "\n".join(f"{at:12.4f}  {who:<{width}}  {what}" for at, who, what in lines)


class TraceHandler(logging.Handler):
    """Takes the log lines of the product into a trace."""

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._note = note

    def emit(self, record: logging.LogRecord) -> None:
        self._note(f"{record.levelname.lower()}: {record.getMessage()}")
