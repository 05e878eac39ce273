"""The daemon's side of the supervisor: what it may ask, and what it is told.

`Overseer` is all that the rest of the daemon knows about running processes; a simulator has one of its
own. `SupervisorProcess` is the real one, over `sentinel.peer.supervisor` in a process of its own.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import sentinel
from sentinel.clock import Event as Wakeup
from sentinel.clock import SystemClock
from sentinel.peer.outbox import Outbox, widen
from sentinel.peer.run.environment import clean
from sentinel.peer.run.line import fields, line, passed, words
from sentinel.peer.run.order import encode_order
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
    all but `events` and `close` may be called from any thread.
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

    ``wakeup`` listens, and ends a wait whenever `events` has something new; whoever waits with it and calls
    `events` is one thread. ``proof_fd`` is an open descriptor, locked with ``flock``, of the file that is to
    say ``empty`` when everything is dead; the supervisor shares the lock until then, and the caller keeps its
    own descriptor. ``stdio`` are descriptors that a `RunSpec` may name for its program; the supervisor knows
    them by the same numbers. Raises `OSError` when no process can be made.
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
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._orders = Outbox(self._process.stdin)
        self._reports: IO[bytes] | None = self._process.stdout
        self._unread = b""
        #: The last thing that was heard.
        self._last: Event | None = None
        os.set_blocking(self._reports.fileno(), False)
        widen(self._reports.fileno())
        wakeup.listen(self._reports.fileno(), self._hear)

    @property
    def pid(self) -> int:
        """The supervisor's process id, for people and tests; it proves nothing."""
        return self._process.pid

    def extend(self, deadline: float) -> None:
        self._orders.put(line("extend", deadline=deadline))

    def start(self, *specs: RunSpec) -> None:
        # In one piece: the supervisor is woken once for all of them.
        self._orders.put(
            b"".join(
                passed(
                    "start",
                    spec.run,
                    *(() if spec.lane is None else (spec.lane,)),
                    data=encode_order(spec),
                )
                for spec in specs
            )
        )

    def stop(self, run: str, why: StopReason, grace: float) -> None:
        self._orders.put(line("stop", run, why=why, grace=grace))

    def recall(self, lane: str) -> None:
        self._orders.put(line("recall", lane))

    def end(self) -> None:
        self._orders.put(line("end"))

    def events(self) -> list[Event]:
        self._hear()
        found = list(self._events)
        self._events.clear()
        return found

    def close(self) -> None:
        self._orders.close()
        clock = SystemClock()
        until = clock.now() + _CLOSE_PATIENCE
        while self._reports is not None and (left := until - clock.now()) > 0:
            select.select([self._reports], [], [], left)
            self._hear()
        self._let_go()

    def _let_go(self) -> None:
        if self._reports is not None:
            self._wakeup.ignore(self._reports.fileno())
            self._reports.close()
            self._reports = None

    def _hear(self) -> bool:
        """Take in what the supervisor has said; whether there is anything that `events` has not told."""
        if self._reports is not None:
            with suppress(BlockingIOError):
                while data := os.read(self._reports.fileno(), _CHUNK):
                    self._take_in(data)
                self._let_go()
                status = self._process.wait()
                if not isinstance(self._last, Empty):
                    self._events.append(Gone(status))
        return bool(self._events)

    def _take_in(self, data: bytes) -> None:
        # What is killed in the middle of a word leaves a line without an end, which says nothing.
        *lines, self._unread = (self._unread + data).split(b"\n")
        for each in lines:
            self._last = _event(each)
            self._events.append(self._last)


def _event(line: bytes) -> Event:
    (kind, *names), data = words(line)
    told = fields(data)
    match kind:
        case "ended":
            return Ended(RunEnd.from_json(told))
        case "started":
            return Started(names[0], **told)
        case "refused":
            return Refused(names[0], **told)
        case "recalled":
            return Recalled(tuple(told["runs"]))
        case "fenced":
            return Fenced(**told)
        case _:
            return Empty(**told)
