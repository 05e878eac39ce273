"""Shared memory inside a task: `sentinel.memory`.

The store and its secrets stay in the daemon. A task reaches it through a Unix socket in the folder of its
run, with a token that its environment holds; the daemon lets its writes land only while the task is under its
claim. Nothing is opened before a task first asks for something.

One request is one line of JSON, ``{"token", "call", "with": {…}}``, and so is its reply, ``{"reply": …}`` or
``{"error": {"kind", "message"}}``.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import io
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sentinel import errors
from sentinel.errors import SentinelError, Unavailable
from sentinel.model.memory import Change, Entry, Wish
from sentinel.model.memory_calls import Memory, MemoryPort

SOCKET = "SENTINEL_MEMORY_SOCKET"
TOKEN = "SENTINEL_MEMORY_TOKEN"


class NoSharedMemory(SentinelError):
    """`sentinel.memory` was used by something that no worker runs."""


@contextlib.contextmanager
def short_path(path: str) -> Iterator[str]:
    """Another name of ``path`` that is short enough for a socket, as long as the block runs.

    A socket's name has at most 107 bytes, and the folders of runs lie deep. Raises `OSError`.
    """
    folder, name = os.path.split(path)
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)


class TaskPort:
    """Shared memory through the worker that runs this task; see `MemoryPort`. For all threads alike."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._mutex = threading.Lock()
        self._stream: io.BufferedRWPair | None = None
        #: The process that opened it: a forked child opens its own.
        self._pid = 0
        self._queued = False

    def read(self, namespace: str, key: str, max_age: float | None) -> Entry | None:
        return _entry(self._ask("read", namespace=namespace, key=key, max_age=max_age))

    def scan(self, namespace: str | None, prefix: str, max_age: float | None) -> list[Entry]:
        rows = self._ask("scan", namespace=namespace, prefix=prefix, max_age=max_age)
        return [Entry.of_row(row) for row in rows]

    def changes(
        self, namespace: str, key: str | None, prefix: str, known: Mapping[str, str], timeout: float
    ) -> list[Change]:
        rows = self._ask(
            "changes", namespace=namespace, key=key, prefix=prefix, known=dict(known), timeout=timeout
        )
        return [
            Change(
                namespace=row["namespace"],
                key=row["key"],
                entry=Entry.of_row(row) if row["event"] == "set" else None,
            )
            for row in rows
        ]

    def write(self, wish: Wish, *, dry_run: bool) -> Entry | None:
        return _entry(self._ask("write", wish=encoded(wish), dry_run=dry_run))

    def queue(self, wish: Wish) -> None:
        self._ask("queue", wish=encoded(wish))
        if not self._queued:
            self._queued = True
            atexit.register(self.finish)

    def flush(self) -> Sequence[str]:
        self._queued = False
        return list(self._ask("flush"))

    def stats(self) -> dict[str, Any]:
        return dict(self._ask("stats"))

    def finish(self) -> None:
        """Land what is queued before the task ends, and print what was dropped. Raises store errors."""
        if self._queued and self._pid == os.getpid():
            for sentence in self.flush():
                sys.stderr.write(f"sentinel.memory: {sentence}\n")

    def _ask(self, call: str, **given: Any) -> Any:
        request = json.dumps({"token": self._environ.get(TOKEN, ""), "call": call, "with": given})
        with self._mutex:
            try:
                stream, self._stream = self._connected(), None
                stream.write(request.encode() + b"\n")
                stream.flush()
                line = stream.readline()
            except OSError as error:
                raise Unavailable(f"the worker of this task cannot be reached: {error.strerror}") from error
            if not line.endswith(b"\n"):
                raise Unavailable("the worker of this task closed its shared memory")
            # Not before the whole reply is there: whoever was interrupted, by SIGTERM or an exception, must
            # not take it for the reply to the next request.
            self._stream = stream
        answer = json.loads(line)
        if "error" in answer:
            raise _raised(answer["error"])
        return answer["reply"]

    def _connected(self) -> io.BufferedRWPair:
        if self._stream is not None and self._pid == os.getpid():
            return self._stream
        path = self._environ.get(SOCKET)
        if not path:
            raise NoSharedMemory(
                "there is no shared memory here: this process was not started by a Task Sentinel worker; "
                "use sentinel.Client(store).memory"
            )
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, short_path(path) as short:
            connection.connect(short)
            # The stream keeps it open.
            self._stream = connection.makefile("rwb")
        self._pid = os.getpid()
        return self._stream


def encoded(wish: Wish) -> dict[str, Any]:
    """A write as JSON; its value as a text of its own, for requests may not nest as deep as values."""
    return {**dataclasses.asdict(wish), "value": json.dumps(wish.value)}


def _entry(row: Mapping[str, Any] | None) -> Entry | None:
    return None if row is None else Entry.of_row(row)


def _raised(error: Mapping[str, str]) -> SentinelError:
    kind = getattr(errors, error["kind"], None)
    if isinstance(kind, type) and issubclass(kind, SentinelError) and kind is not errors.ConfigurationError:
        return kind(error["message"])
    return SentinelError(error["message"])


_port: TaskPort | None = None


def _own_port() -> TaskPort:
    global _port
    if _port is None:
        _port = TaskPort(os.environ)
    return _port


class TaskMemory(Memory):
    """Shared memory of the task that this process works for; see `Memory` for the calls."""

    def __init__(self) -> None:
        super().__init__(_own_port())

    @contextlib.contextmanager
    def through(self, port: MemoryPort) -> Iterator[None]:
        """Reach it another way while the block runs: for fleets in which tasks are no processes."""
        before = self._port, self._read
        self._port, self._read = port, type(self._read)()
        try:
            yield
        finally:
            self._port, self._read = before


#: What ``sentinel.memory`` is.
memory = TaskMemory()


def finish() -> None:
    """Land what this process has queued, before its result counts. Raises store errors."""
    _own_port().finish()
