"""From what the supervisor reports of a run to what the fleet records of the attempt."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from signal import Signals
from typing import Any

from sentinel.model.codec import MAX_INLINE_BYTES, decode, encode
from sentinel.model.evolve import evolve
from sentinel.model.redaction import Redactor
from sentinel.model.task import Cause, Ending
from sentinel.peer.run.spec import RunCause, RunEnd, RunSpec

log = logging.getLogger(__name__)

#: Largest result in bytes that is read at all; the child refuses to write a larger one.
MAX_RESULT_BYTES = 16 * 1024 * 1024
#: So many characters are not too large for a record, even if redaction makes them four times as many.
_SHORT = MAX_INLINE_BYTES // 16

_CAUSES: dict[RunCause, Cause] = {
    "timeout": "timeout",
    "memory": "memory",
    "cancelled": "cancelled",
    "drained": "drained",
    "fenced": "drained",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended, except for the names of what is to be stored of it."""

    #: Log and large result, as far as there are any.
    blobs: tuple[bytes, ...]
    _ending: Ending
    _log: dict[str, Any] | None
    _large: bool

    def ending(self, names: Sequence[str], commit: str | None = None) -> Ending:
        """The ending, with the names that the store gave to the blobs, and the ``commit`` that holds them."""
        if not self.blobs:
            return self._ending
        if not self.blobs:
            return self._ending
        where = {} if commit is None else {"commit": commit}
        return evolve(
            self._ending,
            log=None if self._log is None else {"blob": names[0], **where, **self._log},
            result_blob=names[-1] if self._large else None,
        )


def outcome_of(end: RunEnd, spec: RunSpec, redactor: Redactor, *, started: bool) -> Outcome:
    """How the attempt ended; ``started`` tells whether its program ever ran.

    What it printed, said and returned passes the redactor before anybody else sees it.
    """
    output = redactor.data(_read(Path(spec.log_path), spec.output_limit)) if end.files else b""
    left = _result(end, spec)
    cause, message = _judge(end, spec, left)
    value = redactor.value(left.get("result")) if cause is None else None
    message = None if message is None else redactor.text(message)
    short = end.left is not None and len(end.left) <= _SHORT
    inline = b"" if short else encode(value)
    large = len(inline) > MAX_INLINE_BYTES
    ending = Ending(
        cause=cause,
        message=message,
        result=None if large else value,
        exit_code=end.exit_code,
        # What could not be started will not be started the next time; whatever ran may run better.
        retry=started,
    )
    return Outcome(
        blobs=tuple(blob for blob in (output, inline if large else b"") if blob),
        _ending=ending,
        _log={"bytes": len(output), "truncated": end.truncated} if output else None,
        _large=large,
    )


def _judge(end: RunEnd, spec: RunSpec, left: dict[str, Any]) -> tuple[Cause | None, str | None]:
    if end.cause in _CAUSES:
        return _CAUSES[end.cause], end.message or _sentence(end, spec)
    if end.cause == "exit" and end.exit_code == 0 and "error" not in left:
        if spec.result_path is not None and "result" not in left:
            return "error", "it ended without leaving a result"
        return None, None
    error = left.get("error")
    if isinstance(error, dict):
        return "error", f"{error.get('kind')}: {error.get('message')}"
    if error is not None:
        return "error", "it left an error that is not of the form in which errors are left"
    return "error", end.message or _sentence(end, spec)


def _sentence(end: RunEnd, spec: RunSpec) -> str:
    if end.cause == "timeout":
        return f"it ran longer than {spec.timeout:g} s"
    if end.cause == "memory":
        return f"its processes used more than {spec.memory_limit} bytes"
    if end.signal is not None:
        try:
            return f"it was ended by {Signals(end.signal).name}"
        except ValueError:
            return f"it was ended by signal {end.signal}"
    if end.cause == "exit":
        return f"it ended with exit status {end.exit_code}"
    return end.cause


def _result(end: RunEnd, spec: RunSpec) -> dict[str, Any]:
    if spec.result_path is None:
        return {}
    try:
        text = (
            _read(Path(spec.result_path), MAX_RESULT_BYTES + 1024) if end.left is None else end.left.encode()
        )
        value = decode(text, limit=MAX_RESULT_BYTES + 1024)
    except ValueError as error:
        log.warning("run %s left an unreadable result: %s", spec.run, error)
        return {}
    return value if isinstance(value, dict) else {}


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limit)
    except OSError:
        return b""
