"""Runs ONE registered function in a fresh interpreter: ``python -m sentinel.peer.run.child``.

Reads an order from standard input (JSON: ``modules``, ``type``, ``args``, ``positional``, ``result_path``,
``result_limit``; the identity of the task comes by the environment) and leaves ``{"result": …}`` or
``{"error": {"kind", "message", "traceback"}}`` at ``result_path``, in one piece or not at all. Exit status
0 or 1, or 143 when SIGTERM ended the function; then nothing is left.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sentinel.errors import BadInput
from sentinel.model.codec import encode
from sentinel.peer.run.context import ended_by_sigterm, heed_sigterm
from sentinel.peer.run.registered import check_arguments, load, registered

_MAX_MESSAGE = 4_000
#: The end of a traceback tells more than its beginning.
_MAX_TRACEBACK = 16_000

#: Modules that were loaded by this process.
_loaded: set[str] = set()


class BadResult(Exception):
    """What the function returned cannot be the result of a task."""


def main() -> int:
    """Carry out the order on standard input; the exit status."""
    heed_sigterm()
    order = json.loads(_standard_input())
    me = os.getpid()
    status, blob = carry_out(order)
    if os.getpid() != me:
        # The function forked, and its child came back here: the result is the parent's to leave.
        os._exit(0)
    leave(Path(order["result_path"]), blob)
    return status


def carry_out(order: Mapping[str, Any]) -> tuple[int, bytes]:
    """Call the function; the exit status that stands for how it went, and what is to be left of it.

    Raises `SystemExit` when SIGTERM ended the function.
    """
    try:
        result = _call(order)
        _land_memory()
        return 0, _encoded(result, order["result_limit"])
    except SystemExit as leaving:
        if ended_by_sigterm():
            raise
        if leaving.code in (None, 0):
            return 0, encode({"result": None})
        return 1, _failure("SystemExit", f"the function called sys.exit({leaving.code!r})", "")
    except BaseException as error:  # noqa: BLE001 - whatever user code raises is the task's error
        return 1, _failure(type(error).__name__, str(error), _trace(error))


def _land_memory() -> None:
    """What the function has queued for shared memory lands before its result counts."""
    used = sys.modules.get("sentinel.peer.run.memory")
    if used is not None:
        used.finish()


def _standard_input() -> bytes:
    """All of standard input, which is ``/dev/null`` from then on: the function has no input of its own."""
    chunks = []
    while chunk := os.read(0, 1 << 16):
        chunks.append(chunk)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return b"".join(chunks)


def _call(order: Mapping[str, Any]) -> Any:
    if not _loaded.issuperset(order["modules"]):
        load(order["modules"], entry_points=False)
        _loaded.update(order["modules"])
    check_arguments(order["type"], order["args"], order["positional"])
    function = registered()[order["type"]].function
    value = function(*order["positional"], **order["args"])
    if inspect.iscoroutine(value):
        import asyncio  # half of what this process would cost to start, and most functions do without

        return asyncio.run(value)
    return value


def _encoded(value: object, limit: int) -> bytes:
    try:
        blob = encode({"result": value})
    except ValueError as error:
        raise BadResult(f"the function returned what is not a JSON value: {error}") from error
    size = len(blob) - len(b'{"result":}')
    if size > limit:
        raise BadResult(
            f"the function returned {size} bytes, more than the limit of {limit}; "
            "write large data elsewhere and return where it is"
        )
    return blob


def _failure(kind: str, message: str, trace: str) -> bytes:
    if trace:
        sys.stderr.write(trace)
    error = {"kind": kind, "message": message[:_MAX_MESSAGE], "traceback": trace[-_MAX_TRACEBACK:]}
    return encode({"error": {name: _utf8(text) for name, text in error.items()}})


def _trace(error: BaseException) -> str:
    """The traceback, without the frames of this module; none for errors that are sentences for people."""
    if isinstance(error, BadInput | BadResult):
        return ""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames))


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def leave(path: Path, blob: bytes) -> None:
    """Leave ``blob`` at ``path``, in one piece or not at all. Raises `OSError`."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(blob)
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main())
