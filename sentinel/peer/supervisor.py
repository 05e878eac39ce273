"""The process that starts tasks and ends them even when the daemon cannot. Linux only.

``python -m sentinel.peer.supervisor [--proof-fd N]``, started by `sentinel.peer.overseer` and talking lines
(`sentinel.peer.run.line`) over standard input and output:

- in: ``extend {deadline}``, ``start RUN [LANE] {run, argv, …}``, ``stop RUN {why, grace}``,
  ``recall LANE {}``, ``end {}``
- out: ``started RUN {pid}``, ``ended RUN {run, cause, …}``, ``refused RUN {why}``, ``recalled {runs}``,
  ``fenced {at}``, ``empty {at}``

**What it guarantees.** A task is started only while ``now < deadline`` on CLOCK_BOOTTIME. When that
deadline passes, or the daemon's end of the pipe closes, everything it ever started is killed and this
process never starts anything again. ``empty`` is said, and written into the proof file, only when
``waitpid`` has no child left. **What it cannot do:** act while it is stopped itself, or end processes of
another user. If it is killed it leaves no mark, and each reaper ends its own task.

One thread and one loop, which stands for the mutex between starting and fencing. Standard library only:
it is to be small, and to stay when everything else is swapped out.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sentinel.clock import Clock, SystemClock
from sentinel.peer.lane import run_as_lane
from sentinel.peer.processes import Process, become_subreaper, below, kill_round, name_process, reap
from sentinel.peer.reaper import SLICE, ChildWatch, run_as_reaper
from sentinel.peer.run.line import fields, line, words
from sentinel.peer.run.order import decode_order
from sentinel.peer.run.spec import RunCause, RunEnd, RunSpec

_CHUNK = 1 << 16
#: Seconds by which the pause between two rounds of killing grows.
_ROUND = 0.005
#: Seconds that reapers get to report when everything is killed, before they are killed too.
_LAST_WORDS = 0.5


@dataclass(slots=True)
class _Watched:
    """A reaper, and the runs that it watches over: one, or those of a lane that have not ended, in order."""

    #: Each with the line by which it came.
    runs: dict[str, bytes]
    reaper: int
    #: Our ends of its two pipes.
    orders: int
    reports: int
    started_at: float
    heard: bytes = b""
    lane: str | None = None
    #: Orders that its pipe had no room for.
    unsent: bytearray = field(default_factory=bytearray)
    #: How often in a row no process without a reaper was seen, since this run's reaper died.
    clean: int = 0
    dead: bool = False


class Supervisor:
    """The loop. ``proof`` is the descriptor of the proof file, if there is one."""

    def __init__(self, clock: Clock, proof: int | None, inbox: int, outbox: int) -> None:
        self._clock = clock
        self._proof = proof
        self._inbox: int | None = inbox
        self._outbox = outbox
        self._deadline: float | None = None
        #: Set once and for good when this process begins to kill everything: the cause, and since when.
        self._ending: RunCause | None = None
        self._ending_at = 0.0
        #: Rounds of killing in a row that left something.
        self._rounds = 0
        self._reapers: dict[int, _Watched] = {}
        #: Run → who watches over it.
        self._runs: dict[str, _Watched] = {}
        #: Lane → who serves it.
        self._lanes: dict[str, _Watched] = {}
        self._unread = b""
        self._unsent = bytearray()

    def run(self) -> None:
        """Until everything is dead, after the deadline, the daemon's death or its ``end``."""
        watch = ChildWatch()
        while True:
            ready = self._poll(watch.fd)
            # Before anything else: whoever slept past the deadline must not read a later one.
            self._fence_if_late()
            if watch.fd in ready:
                watch.clear()
            self._hear_reapers(ready)
            reap(self._note_death)
            self._settle_dead_reapers()
            if self._inbox in ready:
                self._hear_daemon()
            if self._ending is not None and not self._kill_everything():
                break
            self._flush()
        self._finish()

    def _poll(self, child_watch: int) -> set[int]:
        poll = select.poll()
        poll.register(child_watch, select.POLLIN)
        if self._inbox is not None:
            poll.register(self._inbox, select.POLLIN)
        if self._unsent:
            poll.register(self._outbox, select.POLLOUT)
        for watched in self._reapers.values():
            if not watched.dead:
                poll.register(watched.reports, select.POLLIN)
            if watched.unsent and watched.orders >= 0:
                poll.register(watched.orders, select.POLLOUT)
        return {descriptor for descriptor, _ in poll.poll(self._pause() * 1000)}

    def _pause(self) -> float:
        """Seconds to sleep at most; the end of a child wakes us earlier."""
        if self._ending is not None or any(watched.dead for watched in self._reapers.values()):
            self._rounds += 1
            return min(SLICE, _ROUND * self._rounds)
        self._rounds = 0
        if self._deadline is None:
            return SLICE
        return min(SLICE, max(0.0, self._deadline - self._clock.now()))

    # --- the daemon

    def _hear_daemon(self) -> None:
        assert self._inbox is not None
        data = os.read(self._inbox, _CHUNK)
        if not data:
            self._inbox = None
            self._end_everything("fenced")
            return
        *lines, self._unread = (self._unread + data).split(b"\n")
        for order in lines:
            (word, *names), data = words(order)
            self._fence_if_late()
            match word:
                case "extend":
                    self._deadline = fields(data)["deadline"]
                case "start":
                    self._start(order, *names)
                case "stop" if self._ending is None:
                    self._order(self._runs.get(names[0]), order)
                case "recall":
                    self._order(self._lanes.get(names[0]), order)
                case "end":
                    self._end_everything("drained")
        for watched in list(self._lanes.values()):
            self._send_orders(watched)

    def _start(self, order: bytes, run: str, lane: str | None = None) -> None:
        if self._ending is not None:
            self._tell("refused", run, why="this worker has fenced itself and starts nothing any more")
        elif self._deadline is None:
            self._tell("refused", run, why="no heartbeat of this worker has been confirmed yet")
        elif run in self._runs:
            self._tell("refused", run, why="a run of this name is going on")
        else:
            try:
                self._begin(order, run, lane)
            except (TypeError, ValueError, OSError) as error:
                self._tell("refused", run, why=f"it cannot be started: {error}")

    def _begin(self, order: bytes, run: str, lane: str | None) -> None:
        """Hand a run to its lane, or to a reaper of its own."""
        if lane is None:
            spec = _spec(order)
            watched = self._fork_reaper(
                lambda orders, reports: run_as_reaper(spec, orders, reports, self._clock), None
            )
        else:
            known = self._lanes.get(lane)
            watched = known or self._fork_reaper(
                lambda orders, reports: run_as_lane(orders, reports, self._clock), lane
            )
            watched.unsent += order + b"\n"
        watched.runs[run] = order
        self._runs[run] = watched

    def _fork_reaper(self, be: Callable[[int, int], None], lane: str | None) -> _Watched:
        their_orders, orders = os.pipe()
        reports, their_reports = os.pipe()
        theirs, ours = (their_orders, their_reports), (orders, reports)
        try:
            pid = os.fork()
        except OSError:
            _close(theirs + ours)
            raise
        if pid == 0:
            status = 70
            try:
                be(*theirs)
                status = 0
            except BaseException:  # noqa: BLE001 - nothing may return into the supervisor's loop
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(status)
        _close(theirs)
        os.set_blocking(reports, False)
        os.set_blocking(orders, False)
        watched = _Watched({}, pid, *ours, self._clock.now(), lane=lane)
        self._reapers[pid] = watched
        if lane is not None:
            self._lanes[lane] = watched
        return watched

    def _order(self, watched: _Watched | None, order: bytes) -> None:
        if watched is not None and watched.orders >= 0:
            watched.unsent += order + b"\n"
            self._send_orders(watched)

    def _send_orders(self, watched: _Watched) -> None:
        # Gone: its end is on the way.
        with suppress(BrokenPipeError, BlockingIOError):
            while watched.unsent and watched.orders >= 0:
                del watched.unsent[: os.write(watched.orders, watched.unsent)]

    def _tell(self, event: str, *names: str, **told: Any) -> None:
        self._unsent += line(event, *names, **told)

    def _flush(self) -> None:
        """Send what the pipe takes: a daemon that is stopped must not stop us."""
        try:
            while self._unsent:
                del self._unsent[: os.write(self._outbox, self._unsent)]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._unsent.clear()
            self._end_everything("fenced")

    # --- the reapers

    def _hear_reapers(self, ready: Iterable[int]) -> None:
        for watched in list(self._reapers.values()):
            if watched.orders in ready:
                self._send_orders(watched)
            if watched.reports in ready:
                self._hear_reaper(watched)

    def _hear_reaper(self, watched: _Watched) -> None:
        with suppress(BlockingIOError):
            while data := os.read(watched.reports, _CHUNK):
                watched.heard += data
        *lines, watched.heard = watched.heard.split(b"\n")
        for report in lines:
            (kind, *names), data = words(report)
            if kind == "closing":
                self._close_lane(watched)
                break
            if kind == "recalled":
                for run in fields(data)["runs"]:
                    self._run_over(watched, run)
            elif kind == "ended":
                self._run_over(watched, names[0])
                if watched.lane is None:
                    self._forget(watched)
                if self._ending is not None and self._was_ours(end := fields(data)):
                    self._tell(kind, *names, **end | {"cause": self._ending, "message": None})
                    continue
            self._unsent += report + b"\n"

    def _run_over(self, watched: _Watched, run: str) -> None:
        watched.runs.pop(run, None)
        self._runs.pop(run, None)

    def _close_lane(self, watched: _Watched) -> None:
        """The process of a lane is gone: what it did not come to goes to another one."""
        left = list(watched.runs.items())
        if self._ending is not None:
            return
        self._forget(watched)
        for run, order in left:
            try:
                self._begin(order, run, watched.lane)
            except OSError as error:
                self._tell("refused", run, why=f"it cannot be started: {error}")

    def _was_ours(self, end: Mapping[str, Any]) -> bool:
        """Whether a run ended because we are ending everything: its reaper may not know who killed it."""
        cause, ended_at = end["cause"], end["ended_at"]
        return bool(cause == "fenced" or (cause == "signal" and ended_at >= self._ending_at))

    def _forget(self, watched: _Watched) -> None:
        _close((watched.orders, watched.reports))
        del self._reapers[watched.reaper]
        for run in list(watched.runs):
            self._run_over(watched, run)
        if watched.lane is not None and self._lanes.get(watched.lane) is watched:
            del self._lanes[watched.lane]

    def _note_death(self, pid: int, _status: int) -> None:
        if (watched := self._reapers.get(pid)) is not None:
            watched.dead = True

    def _settle_dead_reapers(self) -> None:
        """End what reapers left behind that did not live to report; their trees are ours now."""
        for watched in [watched for watched in self._reapers.values() if watched.dead]:
            self._hear_reaper(watched)
        dead = [watched for watched in self._reapers.values() if watched.dead]
        if not dead or self._ending is not None:
            return
        killed = kill_round(self._without_reaper)
        for watched in dead:
            # Twice, because one reading of /proc can miss a process whose parent dies meanwhile.
            watched.clean = 0 if killed else watched.clean + 1
            if watched.clean == 2:
                self._bury(watched, "error", "the process that watched over the task was killed or failed")

    def _without_reaper(self, processes: Mapping[int, Process]) -> list[Process]:
        me = os.getpid()
        reapers = {watched.reaper for watched in self._reapers.values() if not watched.dead}
        strays = [p for p in processes.values() if p.parent == me and p.pid not in reapers]
        return strays + below([stray.pid for stray in strays], processes)

    def _bury(self, watched: _Watched, cause: RunCause, message: str | None) -> None:
        """Report the end of what a reaper watched over that cannot report it.

        Of the runs of a lane only the first can have been going on; the others are as good as never begun,
        and if one was, then it runs twice.
        """
        left = list(watched.runs.items())
        self._forget(watched)
        for place, (run, order) in enumerate(left):
            if place and self._ending is None:
                self._tell("refused", run, why="the process that was to run it is gone")
                continue
            size = 0
            with suppress(OSError):
                size = os.stat(_spec(order).log_path).st_size  # noqa: PTH116 - pathlib would cost memory
            end = RunEnd(
                run=run,
                cause=cause,
                message=message,
                started_at=watched.started_at,
                ended_at=self._clock.now(),
                log_bytes=size,
                truncated=True,
            )
            self._tell("ended", run, **end.to_json())

    # --- the end

    def _fence_if_late(self) -> None:
        if self._ending is None and self._deadline is not None and self._clock.now() >= self._deadline:
            self._end_everything("fenced")

    def _end_everything(self, cause: RunCause) -> None:
        """Begin to kill; irrevocable."""
        if self._ending is not None:
            return
        self._ending, self._ending_at = cause, self._clock.now()
        if cause == "fenced":
            self._tell("fenced", at=self._ending_at)
        for watched in self._reapers.values():
            # End of file on its orders: each reaper kills its own tree too, and reports how that went.
            os.close(watched.orders)
            watched.orders = -1

    def _kill_everything(self) -> bool:
        """One round of killing; whether anything is left.

        Reapers come last. If this process were killed half-way, those that live would finish its work.
        """
        if not reap(self._note_death):
            return False
        me = os.getpid()
        spared: set[int] = set()
        if self._clock.now() < self._ending_at + _LAST_WORDS:
            spared = set(self._reapers)
        kill_round(lambda processes: [p for p in below((me,), processes) if p.pid not in spared])
        return reap(self._note_death)

    def _finish(self) -> None:
        """Nothing is left to kill: leave the mark, say so, and go."""
        for watched in list(self._reapers.values()):
            self._hear_reaper(watched)
        for watched in list(self._reapers.values()):
            self._bury(watched, self._ending or "fenced", None)
        if self._proof is not None:
            # No sync to disk: the mark speaks to readers under the same running kernel only.
            with suppress(OSError):
                os.pwrite(self._proof, b"empty", 0)
                os.ftruncate(self._proof, len(b"empty"))
            os.close(self._proof)
        if self._inbox is not None:
            os.set_blocking(self._inbox, False)
            with suppress(BlockingIOError):
                self._hear_daemon()
        self._tell("empty", at=self._clock.now())
        os.set_blocking(self._outbox, True)
        with suppress(BrokenPipeError):
            while self._unsent:
                del self._unsent[: os.write(self._outbox, self._unsent)]


def _spec(order: bytes) -> RunSpec:
    """What a ``start`` asks for. Raises `TypeError` and `ValueError`."""
    return decode_order(words(order)[1])


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        if descriptor >= 0:
            os.close(descriptor)


def main(arguments: list[str]) -> None:
    """Be the supervisor. The daemon decides when to stop, so signals meant for it are ignored here;
    SIGABRT is what systemd's watchdog sends to the whole group."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGABRT):
        signal.signal(number, signal.SIG_IGN)
    with suppress(PermissionError):  # it leads a session already
        os.setsid()
    become_subreaper()
    name_process("sentinel-super")
    proof = int(arguments[1]) if arguments[:1] == ["--proof-fd"] else None
    if proof is not None:
        os.set_inheritable(proof, False)
    os.set_blocking(1, False)
    gc.freeze()
    Supervisor(SystemClock(), proof, inbox=0, outbox=1).run()


if __name__ == "__main__":
    main(sys.argv[1:])
