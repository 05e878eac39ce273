"""The process that watches over one *lane*: a Python process that takes one run after another.

A reaper (`sentinel.peer.reaper`) for many runs. It is forked by the supervisor too, leads a session of its
own, and says ``ended`` of a run when none of the run's processes is left: the warm process itself says so as
long as it is clean, and when it is not, all of the tree is ended first. Time-out, cancelling and limits end
the whole tree, and with it the warm process; only the run that was going on ends by that.

Runs wait in a socket that keeps messages apart, so that each is taken by exactly one: by the warm process, or
by this one, when runs are *recalled* because the one before them takes long. When the warm process is gone,
this one says ``closing`` and goes; the supervisor knows which runs have not ended and starts them anew.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sentinel.clock import Clock
from sentinel.peer.processes import (
    NotStarted,
    become_subreaper,
    close_all_but,
    kill_tree,
    name_process,
    reap,
    spawn,
)
from sentinel.peer.reaper import SLICE, ChildWatch, Ending
from sentinel.peer.run.line import fields, line, words
from sentinel.peer.run.log import LiveLog
from sentinel.peer.run.order import decode_order, run_of
from sentinel.peer.run.spec import RunCause, RunEnd, RunSpec, StopReason
from sentinel.peer.run.warm_words import SECRET, beginning
from sentinel.peer.usage import Usage

_CHUNK = 1 << 16
#: Chunks of output that are read before something else is looked after.
_AT_ONCE = 16
#: From the kernel's headers; the socket module does not name it.
_SO_SNDBUFFORCE = 32
#: Bytes that may wait in the socket; the kernel allows less to whoever is not root.
_SOCKET_BYTES = 1 << 20
#: Seconds after which the use of memory and processes is looked at for the first time.
_FIRST_LOOK = 0.1
_MAX_MESSAGE = 4 << 20


@dataclass(slots=True)
class _Run:
    spec: RunSpec
    #: When it can have begun at the earliest.
    since: float
    log: LiveLog | None = None


class LaneReaper:
    """One lane, from the start of its process to the end of its tree."""

    def __init__(self, orders: int, reports: int, clock: Clock, secret: str) -> None:
        self._orders = orders
        self._reports = reports
        self._clock = clock
        self._unread = b""
        self._unheard = b""
        #: Runs that were not answered, in order; the first of them is going on.
        self._runs: deque[_Run] = deque()
        #: Messages that the socket had no room for.
        self._unsent: deque[bytes] = deque()
        self._secret = secret
        self._mark = beginning(secret)
        self._main = 0
        self._status: int | None = None
        self._idle_since = clock.now()
        self._ending = Ending(clock)
        #: The answer of a run after which the process ends; it counts when nothing is left.
        self._last: dict[str, Any] | None = None
        self._usage: Usage | None = None
        self._look_at = 0.0
        #: Whether a run was ever answered. What fails before that fails because of its first run.
        self._answered = False

    def run(self) -> None:
        """Serve the lane. Returns when no process of it is left."""
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self._ours, self._theirs):
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _SOCKET_BYTES)
        self._ours.setblocking(False)
        self._output, theirs = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._output, False)
        self._watch = ChildWatch()
        self._first_orders()
        if self._runs:
            spec = self._runs[0].spec
            self._idle = spec.lane_idle
            with suppress(OSError):  # each run's log says so, if it has one
                os.makedirs(os.path.dirname(spec.log_path), mode=0o700, exist_ok=True)  # noqa: PTH103, PTH120
            try:
                stdio = (self._theirs.fileno(), theirs, theirs)
                env = {**spec.env, SECRET: self._secret}
                self._main = spawn(spec.argv, env, spec.cwd, stdio, subreaper=True)
            except NotStarted as failure:
                self._ending.fail(str(failure))
        os.close(theirs)
        if self._main:
            self._serve()
        kill_tree(self._collect, self._clock)
        self._settle()
        self._report(line("closing"))

    def _first_orders(self) -> None:
        """Wait for the first run: nothing is started for none."""
        poll = select.poll()
        poll.register(self._orders, select.POLLIN)
        while not self._runs and self._ending.cause is None:
            poll.poll(SLICE * 1000)
            self._obey()

    # -- the loop --------------------------------------------------------------------------------------

    def _serve(self) -> None:
        poll = select.poll()
        for descriptor in (self._watch.fd, self._output, self._orders):
            poll.register(descriptor, select.POLLIN)
        ours = self._ours.fileno()
        poll.register(ours, 0)
        while True:
            poll.modify(ours, select.POLLOUT if self._unsent else 0)
            ready = dict(poll.poll(self._pause() * 1000))
            if self._watch.fd in ready:
                self._watch.clear()
                reap(self._collect)
            if self._orders in ready:
                self._obey()
            if ours in ready:
                self._feed()
            if self._output in ready and not self._hear():
                poll.unregister(self._output)
            if self._status is not None:
                # Answers that it gave before it ended count.
                self._hear()
                return
            self._look()
            if self._ending.overdue:
                return

    def _pause(self) -> float:
        now = self._clock.now()
        due = [SLICE]
        if self._ending.kill_at is not None:
            due.append(self._ending.kill_at - now)
        elif self._runs:
            current = self._runs[0]
            if current.spec.timeout is not None:
                due.append(current.since + current.spec.timeout - now)
            if self._limited(current.spec):
                due.append(max(self._look_at, current.since + _FIRST_LOOK) - now)
        return max(0.0, min(due))

    def _look(self) -> None:
        """Whether what goes on now has to be ended: its time, its limits, or nothing to do for long."""
        now = self._clock.now()
        if not self._runs:
            if self._idle and now - self._idle_since >= self._idle and self._ending.cause is None:
                self._ending.stop("drained", 0.0, None)
            return
        current = self._runs[0]
        spec = current.spec
        if spec.timeout is not None and now >= current.since + spec.timeout and self._ending.cause is None:
            self._ending.stop("timeout", spec.grace, None)
        if self._limited(spec) and now >= max(self._look_at, current.since + _FIRST_LOOK):
            if self._usage is None:
                self._usage = Usage(spec, self._clock)
            if (breach := self._usage.breach()) is not None:
                self._ending.stop(breach[0], 0.0, breach[1])
            self._look_at = self._clock.now() + (self._usage.pause or SLICE)

    def _limited(self, spec: RunSpec) -> bool:
        return spec.memory_limit is not None or spec.process_limit is not None

    # -- the supervisor --------------------------------------------------------------------------------

    def _obey(self) -> None:
        data = os.read(self._orders, _CHUNK)
        if not data:
            self._ending.stop("fenced", 0.0, None)
            return
        *lines, self._unread = (self._unread + data).split(b"\n")
        for each in lines:
            (word, *names), order = words(each)
            match word:
                case "start":
                    self._take(decode_order(order), order)
                case "stop":
                    self._end_run(names[0], **fields(order))
                case "recall":
                    self._recall()
        self._feed()

    def _take(self, spec: RunSpec, message: bytes) -> None:
        self._runs.append(_Run(spec, self._clock.now()))
        if len(self._runs) == 1:
            self._began()
        self._unsent.append(message)

    def _feed(self) -> None:
        with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            while self._unsent:
                self._ours.send(self._unsent[0])
                self._unsent.popleft()

    def _recall(self) -> None:
        """Give back every run that the process has not taken yet."""
        runs = self._take_back()
        self._runs = deque(run for run in self._runs if run.spec.run not in runs)
        self._report(line("recalled", runs=sorted(runs)))

    def _take_back(self) -> set[str]:
        """Names of the runs that the process has not taken, and will not take any more."""
        waiting = list(self._unsent)
        self._unsent.clear()
        with suppress(BlockingIOError, ConnectionResetError):
            while data := self._theirs.recv(_MAX_MESSAGE, socket.MSG_DONTWAIT):
                waiting.append(data)
        return {run_of(message) for message in waiting}

    def _end_run(self, name: str, why: StopReason, grace: float) -> None:
        if self._runs and self._runs[0].spec.run != name:
            self._recall()
        if self._runs and self._runs[0].spec.run == name:
            self._ending.stop(why, grace, None)

    # -- the process -----------------------------------------------------------------------------------

    def _hear(self) -> bool:
        """Take in output and answers; False at the end of both."""
        going_on = self._pump()
        while (found := self._next_answer()) is not None:
            output, answer = found
            self._append(output)
            if not self._runs or answer["run"] != self._runs[0].spec.run:
                continue
            self._answered = True
            if answer["last"]:
                self._last = answer
            else:
                self._finish(self._runs.popleft(), answer)
                self._began()
        self._keep_output()
        return going_on

    def _began(self) -> None:
        """Another run may have begun, or none is left."""
        now = self._clock.now()
        self._idle_since = now
        self._usage, self._look_at = None, 0.0
        if self._runs:
            self._runs[0].since = now

    def _pump(self) -> bool:
        """Read what is there; False at the end of it all."""
        with suppress(BlockingIOError):
            for _ in range(_AT_ONCE):
                data = os.read(self._output, _CHUNK)
                self._unheard += data
                if len(data) < _CHUNK:
                    return bool(data)
        return True

    def _next_answer(self) -> tuple[bytes, dict[str, Any]] | None:
        """The next answer that was read whole, and what was printed before it."""
        output, found, after = self._unheard.partition(self._mark)
        answer, end, rest = after.partition(b"\0")
        if not (found and end):
            return None
        self._unheard = rest
        return output, fields(answer)

    def _keep_output(self) -> None:
        """What is read and certainly belongs to the run that goes on, into its log."""
        at = self._unheard.find(self._mark)
        if at < 0:
            # A mark is written in one piece, but may be read in two.
            at = self._unheard.rfind(b"\0", max(0, len(self._unheard) - 256))
        certain = self._unheard if at < 0 else self._unheard[:at]
        self._append(certain)
        self._unheard = self._unheard[len(certain) :]

    def _append(self, data: bytes) -> None:
        if not data or not self._runs:
            return
        run = self._runs[0]
        if run.log is None:
            run.log = LiveLog(run.spec.log_path, run.spec.output_limit)
        run.log.append(data)

    def _collect(self, pid: int, status: int) -> None:
        if pid == self._main:
            self._status = status

    # -- ends ------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """The tree is gone: report the run that went on, if one did."""
        untouched = self._take_back()
        if not self._runs or (self._answered and self._runs[0].spec.run in untouched):
            return
        self._pump()
        run = self._runs.popleft()
        # Whatever is still unread was printed by this run, but for a mark that no answer followed.
        if self._unheard:
            self._runs.appendleft(run)
            self._append(self._unheard.partition(self._mark)[0])
            self._runs.popleft()
        if self._last is not None and self._ending.cause is None:
            self._finish(run, self._last)
            return
        cause, message, code = self._ending.verdict(self._status)
        self._finish(run, self._last or {"left": None, "files": True}, cause, message, code)

    def _finish(
        self,
        run: _Run,
        answer: dict[str, Any],
        cause: RunCause = "exit",
        message: str | None = None,
        code: int | None = None,
    ) -> None:
        log = run.log
        code = answer.get("code", code)
        end = RunEnd(
            run=run.spec.run,
            cause=cause,
            exit_code=code if code is not None and code >= 0 else None,
            signal=-code if code is not None and code < 0 else None,
            message=message or (None if log is None else log.problem),
            started_at=run.since,
            ended_at=self._clock.now(),
            log_bytes=0 if log is None else log.size,
            truncated=log is not None and log.truncated,
            left=answer["left"],
            files=answer["files"] or log is not None,
        )
        if log is not None:
            log.close()
        self._report(line("ended", end.run, **end.to_json()))

    def _report(self, event: bytes) -> None:
        with suppress(BrokenPipeError):  # the supervisor is gone, as the end of file on the orders says too
            os.write(self._reports, event)


def run_as_lane(orders: int, reports: int, clock: Clock) -> None:
    """Be the reaper of a lane in a process just forked from the supervisor; see `reaper.run_as_reaper`."""
    signal.set_wakeup_fd(-1)
    close_all_but({2, orders, reports})
    null = os.open(os.devnull, os.O_RDWR)  # becomes descriptor 0, the lowest one that is free
    os.dup2(null, 1, inheritable=False)
    os.setsid()
    become_subreaper()
    name_process("sentinel-lane")
    from sentinel.entropy import system_random  # what that imports, the supervisor does without

    LaneReaper(orders, reports, clock, f"{system_random().getrandbits(128):032x}").run()
