"""The daemon's side of the supervisor: what it may ask, and what it is told.

`Overseer` is all that the rest of the daemon knows about running processes; a simulator has one of its
own. `SupervisorProcess` is the real one, over `sentinel.peer.supervisor` in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

import sentinel
from sentinel.clock import Event as Wakeup
from sentinel.peer.run.environment import clean
from sentinel.peer.run.spec import RunEnd, RunSpec, StopReason

_CHUNK = 1 << 16
#: Seconds that `SupervisorProcess.close` waits for the supervisor to be done with killing.
_CLOSE_PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Started:
    """The task's program runs."""

    run: str
    pid: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The run is over and none of its processes is left."""

    end: RunEnd


@dataclass(frozen=True, slots=True)
class Refused:
    """The run was not started and will not be; ``why`` is a sentence."""

    run: str
    why: str


@dataclass(frozen=True, slots=True)
class Recalled:
    """These runs had not begun, and will not: they were taken back from their lane."""

    runs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fenced:
    """The deadline passed at ``at`` (seconds on CLOCK_BOOTTIME): everything is being killed, for good."""

    at: float


@dataclass(frozen=True, slots=True)
class Empty:
    """The last word: nothing is left to kill since ``at``, and the proof file, if any, says so."""

    at: float


@dataclass(frozen=True, slots=True)
class Gone:
    """The last word of a supervisor that died without `Empty`: its reapers are killing what they watch."""

    #: Its exit status; a negative number is the signal that killed it.
    status: int


Event = Started | Ended | Refused | Recalled | Fenced | Empty | Gone


class Overseer(Protocol):
    """Starts tasks and ends them, also when the caller cannot.

    One overseer serves one incarnation. It is fenced from the moment its deadline passes, irrevocably;
    its last event is `Empty` or `Gone`, after which every request is without effect. A run whose `start`
    was answered neither by `Started`, `Ended` nor `Refused` by then does not exist. No method blocks, and
    all may be called from any thread.
    """

    def extend(self, deadline: float) -> None:
        """Let tasks be started and live until ``deadline``, in seconds on CLOCK_BOOTTIME.

        The caller computes it from confirmed and unresolved beats; the value given counts, also when it
        is earlier than the one before. Nothing starts before the first call.
        """

    def start(self, *specs: RunSpec) -> None:
        """Run ``specs``; each is answered by `Started`, `Refused`, or `Ended` alone when it cannot start.

        In a lane it runs after those that were started there before, and is answered by `Ended` or `Refused`.
        """

    def stop(self, run: str, why: StopReason, grace: float) -> None:
        """End a run: SIGTERM to its whole tree, after ``grace`` seconds SIGKILL. `Ended` follows.

        Asking again may shorten the grace; the first reason stays. An unknown run is ignored.
        """

    def recall(self, lane: str) -> None:
        """Take back what waits in a lane behind what runs there; `Recalled` follows, if the lane is there."""

    def end(self) -> None:
        """Kill everything at once (cause ``drained``). `Empty` follows."""

    def events(self) -> list[Event]:
        """What happened since the last call, in order."""

    def close(self) -> None:
        """Give up the supervisor, which kills whatever still runs. Blocks until it has, for some seconds."""


class SupervisorProcess:
    """The `Overseer` over a real supervisor process.

    ``wakeup`` is set whenever `events` has something new. ``proof_fd`` is an open descriptor, locked with
    ``flock``, of the file that is to say ``empty`` when everything is dead; the supervisor shares the lock
    until then, and the caller keeps its own descriptor. ``stdio`` are descriptors that a `RunSpec` may name
    for its program; the supervisor knows them by the same numbers. Raises `OSError` when no process can be
    made.
    """

    def __init__(self, wakeup: Wakeup, proof_fd: int | None = None, stdio: tuple[int, ...] = ()) -> None:
        self._wakeup = wakeup
        self._events: deque[Event] = deque()
        proof = [] if proof_fd is None else ["--proof-fd", str(proof_fd)]
        # Without site and most of the caller's environment: it needs neither, and this keeps it small and
        # free of secrets. The package is found where this process found it.
        package_root = str(Path(sentinel.__file__).resolve().parent.parent)
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-s", "-P", "-m", "sentinel.peer.supervisor", *proof],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**clean(os.environ), "PYTHONPATH": package_root},
            pass_fds=(*stdio, *(() if proof_fd is None else (proof_fd,))),
            start_new_session=True,
        )
        self._outbox: SimpleQueue[bytes | None] = SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="supervisor-reader", daemon=True)
        self._writer = threading.Thread(target=self._write, name="supervisor-writer", daemon=True)
        self._reader.start()
        self._writer.start()

    @property
    def pid(self) -> int:
        """The supervisor's process id, for people and tests; it proves nothing."""
        return self._process.pid

    def extend(self, deadline: float) -> None:
        self._send({"op": "extend", "deadline": deadline})

    def start(self, *specs: RunSpec) -> None:
        # In one piece: the writer is a thread, and waking it for each would cost more than all else.
        self._send(*({"op": "start", **spec.to_json()} for spec in specs))

    def stop(self, run: str, why: StopReason, grace: float) -> None:
        self._send({"op": "stop", "run": run, "why": why, "grace": grace})

    def recall(self, lane: str) -> None:
        self._send({"op": "recall", "lane": lane})

    def end(self) -> None:
        self._send({"op": "end"})

    def events(self) -> list[Event]:
        found = []
        while self._events:
            found.append(self._events.popleft())
        return found

    def close(self) -> None:
        self._outbox.put(None)
        self._reader.join(_CLOSE_PATIENCE)
        self._writer.join(_CLOSE_PATIENCE)

    def _send(self, *messages: dict[str, Any]) -> None:
        self._outbox.put(b"".join(json.dumps(message).encode() + b"\n" for message in messages))

    def _write(self) -> None:
        # A thread of its own: a supervisor that is stopped must not stop the beat or the control thread.
        pipe = self._process.stdin
        assert pipe is not None
        try:
            while (line := self._outbox.get()) is not None:
                pipe.write(line)
                pipe.flush()
        except BrokenPipeError:
            pass  # the supervisor is gone, and the reader says so
        finally:
            with suppress(BrokenPipeError):
                pipe.close()

    def _read(self) -> None:
        pipe = self._process.stdout
        assert pipe is not None
        event: Event | None = None
        unread = b""
        with pipe:
            # What is killed in the middle of a word leaves a line without an end, which says nothing.
            while data := os.read(pipe.fileno(), _CHUNK):
                *lines, unread = (unread + data).split(b"\n")
                for line in lines:
                    event = _event(json.loads(line))
                    self._events.append(event)
                if lines:
                    self._wakeup.set()
        status = self._process.wait()
        if not isinstance(event, Empty):
            self._events.append(Gone(status))
        self._outbox.put(None)
        self._wakeup.set()


def _event(message: dict[str, Any]) -> Event:
    kinds: dict[str, type[Started | Refused | Fenced | Empty]]
    kinds = {"started": Started, "refused": Refused, "fenced": Fenced, "empty": Empty}
    kind = message.pop("event")
    if kind == "ended":
        return Ended(RunEnd.from_json(message))
    if kind == "recalled":
        return Recalled(tuple(message["runs"]))
    return kinds[kind](**message)
