"""What running attempts say about their progress, as the next beat tells it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from sentinel.clock import rfc3339
from sentinel.model.line import one_line
from sentinel.model.progress import MAX_REPORT, MAX_REPORTS, Report
from sentinel.model.redaction import Redactor
from sentinel.peer.run.progress import latest


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that runs, and the file in which it says how far it is."""

    task: str
    epoch: int
    path: str


def reports_of(attempts: Sequence[Attempt], redactor: Redactor) -> tuple[Report, ...]:
    """The latest report of each attempt that made one, without secrets; of too many, the newest."""
    found = []
    for attempt in attempts:
        said = latest(Path(attempt.path))
        if said is None:
            continue
        done = said.done
        if isinstance(done, str):
            done = one_line(redactor.text(done), MAX_REPORT)
        elif not 0 <= done <= 1:
            # It did not come through `progress()`.
            continue
        else:
            done = float(done)
        try:
            at = rfc3339(said.at)
        except (ValueError, OverflowError, OSError):
            continue
        found.append(Report(task=attempt.task, epoch=attempt.epoch, done=done, at=at))
    found.sort(key=lambda report: report.at, reverse=True)
    return tuple(found[:MAX_REPORTS])
