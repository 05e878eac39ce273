"""How far running attempts say they are. It goes along with beats, and is for people."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from sentinel.model.codec import Document, flat
from sentinel.model.line import one_line

#: Attempts of one worker that a beat tells of, and the longest text of one, in characters: beats stay small.
MAX_REPORTS = 20
MAX_REPORT = 200


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The latest that one attempt said."""

    task: str
    epoch: int
    #: A fraction from 0 to 1, or one line.
    done: float | str
    #: When it said so, by its machine's clock.
    at: str

    @property
    def text(self) -> str:
        """For people: ``40 %``, or the line."""
        return self.done if isinstance(self.done, str) else f"{100 * self.done:.0f} %"

    def document(self) -> Document:
        """The report as JSON."""
        return flat(self)


def load_reports(raw: object) -> tuple[Report, ...]:
    """The reports in a beat. What is none is left out: the beat counts, whatever it says about progress."""
    return tuple(_reports(raw))[:MAX_REPORTS]


def _reports(raw: object) -> Iterator[Report]:
    for item in raw if isinstance(raw, list) else ():
        if not isinstance(item, Mapping):
            continue
        found: Mapping[str, Any] = item
        task, epoch, done, at = (found.get(name) for name in ("task", "epoch", "done", "at"))
        if not (isinstance(task, str) and type(epoch) is int and isinstance(at, str)):
            continue
        if isinstance(done, str):
            yield Report(task=task, epoch=epoch, done=one_line(done, MAX_REPORT), at=one_line(at, 40))
        elif isinstance(done, int | float) and not isinstance(done, bool) and 0 <= done <= 1:
            yield Report(task=task, epoch=epoch, done=float(done), at=one_line(at, 40))
