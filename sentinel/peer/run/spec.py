"""What the supervisor is asked to run, and what it says came of it; both cross a pipe as JSON.

The supervisor process imports this module, so it must stay small: the standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self

#: Why the processes of a run are gone.
#:
#: ``exit``, ``signal``: the main process ended by itself, or by a signal that we did not send.
#: ``timeout``, ``memory``, ``cancelled``, ``drained``, ``fenced``: we ended it, for that reason.
#: ``error``: it could not be started, or it killed what watched over it; ``message`` says which.
RunCause = Literal["exit", "signal", "timeout", "memory", "cancelled", "drained", "fenced", "error"]

#: A lane that is yet to be chosen.
ANY_LANE = "any"

#: Why a running task is asked to stop.
StopReason = Literal["cancelled", "drained"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """One execution of one task, complete: whoever holds this needs nothing else to run it."""

    #: Unique among everything this supervisor ever starts.
    run: str
    #: The program and its arguments; never passed through a shell.
    argv: tuple[str, ...]
    #: The environment, as all runs of a worker share it; nothing is inherited beside it.
    env: Mapping[str, str]
    #: Variables of this run alone, besides ``env``.
    own: Mapping[str, str] = field(default_factory=dict)
    #: The folder that the program starts in.
    cwd: str
    #: What the program reads from its standard input; None is ``/dev/null``.
    stdin: str | None = None
    #: Seconds of wall time; None is without limit.
    timeout: float | None = None
    #: Seconds between SIGTERM and SIGKILL when the time-out passes.
    grace: float = 5.0
    #: How many bytes of standard output and error together reach the log.
    output_limit: int = 10 * 1024 * 1024
    #: Bytes of resident memory of the whole process tree; None is without limit.
    memory_limit: int | None = None
    #: How many processes the tree may have at a time; None is without limit.
    process_limit: int | None = None
    #: The file that output is written to while the program runs. Its folder is made when it is missing.
    log_path: str
    #: Where a Python function leaves its result; None when the program leaves none.
    result_path: str | None = None
    #: Where a task that reports progress does so.
    progress_path: str | None = None
    #: None for a process of its own. Otherwise its runs follow each other in one process that stays, in the
    #: order in which they came: ``argv`` is how that process starts, ``stdin`` what it is told of the run.
    #: `ANY_LANE` until somebody has chosen.
    lane: str | None = None
    #: After how many runs, and how many seconds without one, the process of a lane makes room for another.
    lane_runs: int = 0
    lane_idle: float = 0.0
    #: Descriptors, in the supervisor, of the standard input, output and error that the program gets as they
    #: are; None gives it `stdin` and the log.
    stdio: tuple[int, int, int] | None = None

    @property
    def environ(self) -> dict[str, str]:
        """The complete environment."""
        return {**self.env, **self.own}

    def to_json(self) -> dict[str, Any]:
        """This value as a JSON object, without what is as usual."""
        raw = {name: value for name, usual in _SPEC if (value := getattr(self, name)) != usual}
        return {**raw, "argv": list(self.argv), "env": dict(self.env), "own": dict(self.own)}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        """The value that `to_json` made ``raw`` from. Raises `TypeError` for missing or unknown fields."""
        stdio = raw.get("stdio")
        spec = cls(
            **{
                **raw,
                "argv": tuple(raw.get("argv", ())),
                "env": dict(raw.get("env", {})),
                "own": dict(raw.get("own", {})),
                "stdio": None if stdio is None else tuple(stdio),
            }
        )
        if not spec.argv:
            raise TypeError("argv is empty")
        return spec


_SPEC = tuple((field.name, field.default) for field in fields(RunSpec))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """How a run ended. When this exists, none of the run's processes does."""

    run: str
    cause: RunCause
    #: Exit status of the main process, unless a signal ended it or it never ran.
    exit_code: int | None = None
    #: The signal that ended the main process, if one did.
    signal: int | None = None
    #: One sentence for people, where the cause alone does not tell.
    message: str | None = None
    #: Seconds on ``CLOCK_BOOTTIME``.
    started_at: float
    #: Seconds on ``CLOCK_BOOTTIME``, read after the last process was gone.
    ended_at: float
    #: Bytes in the log file.
    log_bytes: int = 0
    #: Whether output was dropped: over the limit, or the log could not be written.
    truncated: bool = False
    #: What a run in a lane left as its result or error, as JSON; None when that is in a file, or missing.
    left: str | None = None
    #: Whether there are, or may be, files of it.
    files: bool = True

    def to_json(self) -> dict[str, Any]:
        """This value as a JSON object, without what is as usual."""
        return {name: value for name, usual in _END if (value := getattr(self, name)) != usual}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        """The value that `to_json` made ``raw`` from. Raises `TypeError` for missing or unknown fields."""
        return cls(**raw)


_END = tuple((field.name, field.default) for field in fields(RunEnd))
