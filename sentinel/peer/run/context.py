"""What a running task knows about itself: `current_task`.

Everything comes from the environment that the worker gives a task, so it works in a registered function, in
processes that the function starts, and in a Python program that a command task runs.
"""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from sentinel.clock import SystemClock
from sentinel.errors import BadInput, SentinelError
from sentinel.peer.run.progress import MAX_TEXT, append

TASK_ID = "SENTINEL_TASK_ID"
RUN = "SENTINEL_RUN"
ATTEMPT = "SENTINEL_ATTEMPT"
FENCING_TOKEN = "SENTINEL_FENCING_TOKEN"
IDEMPOTENCY_KEY = "SENTINEL_IDEMPOTENCY_KEY"
PROGRESS_FILE = "SENTINEL_PROGRESS_FILE"


class NoCurrentTask(SentinelError):
    """`current_task` was called by something that no worker runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentTask:
    """The task that this process works for."""

    id: str
    #: From 1; a person's retry opens the next one.
    run: int
    #: From 1; executions begun in this run.
    attempt: int
    #: Grows with every claim of this task. Give it to systems that can refuse writes with an older one.
    fencing_token: int
    #: The same for all attempts of one run: give it to systems that can recognise a repeated request.
    idempotency_key: str
    _progress_file: Path | None = field(default=None, repr=False)

    def progress(self, done: float | str) -> None:
        """Tell how far this task is: a fraction from 0 to 1, or one line of at most 500 characters.

        The latest counts. Never fails for reasons of the machine: a task must not die of a full disk only
        because it reported on itself. Raises `BadInput` for a fraction or a text out of bounds.
        """
        if isinstance(done, str):
            if len(done) > MAX_TEXT or len(done.splitlines()) > 1:
                raise BadInput(f"progress is one line of at most {MAX_TEXT} characters, or a fraction")
        elif not (math.isfinite(done) and 0 <= done <= 1):
            raise BadInput(f"progress {done!r} is not a fraction from 0 to 1")
        if self._progress_file is not None:
            append(self._progress_file, done, wall=SystemClock().wall())

    def cancelled(self) -> bool:
        """Whether the worker has asked this task to end, by SIGTERM: it was cancelled, drained or timed out.

        A function that never asks is ended by `SystemExit` when SIGTERM comes, so that its ``finally`` blocks
        run. One that has asked is expected to return by itself; after the grace it is killed either way.
        Known to the process that runs the function and to those it forks.
        """
        _Termination.asked_for = True
        return _Termination.requested


def current_task(environ: Mapping[str, str] | None = None) -> CurrentTask:
    """The task that this process works for. Raises `NoCurrentTask` outside of one.

    ``environ`` is the environment to look in; None is this process's own.
    """
    found = os.environ if environ is None else environ
    try:
        progress_file = found.get(PROGRESS_FILE)
        return CurrentTask(
            id=found[TASK_ID],
            run=int(found[RUN]),
            attempt=int(found[ATTEMPT]),
            fencing_token=int(found[FENCING_TOKEN]),
            idempotency_key=found[IDEMPOTENCY_KEY],
            _progress_file=Path(progress_file) if progress_file else None,
        )
    except (KeyError, ValueError) as error:
        raise NoCurrentTask(
            "there is no current task: this process was not started by a Task Sentinel worker; "
            "submit the task instead of calling its function"
        ) from error


class _Termination:
    #: SIGTERM has come.
    requested = False
    #: The task looks for itself whether it has.
    asked_for = False


def heed_sigterm() -> None:
    """Make SIGTERM end this process as `CurrentTask.cancelled` describes."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        _Termination.requested = True
        if not _Termination.asked_for:
            raise SystemExit(128 + signal.SIGTERM)

    _Termination.asked_for = False
    signal.signal(signal.SIGTERM, handle)


def ended_by_sigterm() -> bool:
    """Whether a `SystemExit` that passes now is (also) an answer to SIGTERM."""
    return _Termination.requested
