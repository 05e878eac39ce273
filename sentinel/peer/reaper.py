"""The process that watches over one task and ends it, with everything it ever forked. Linux only.

Forked by the supervisor, never executed on its own: its memory is the supervisor's, shared. It leads a
session of its own and is a child subreaper, so that double-forked and ``setsid``-ed grandchildren become
its children and one task's processes can be told from another's. It says ``ended`` only when ``waitpid``
has no child left to offer.

Two pipes tie it to the supervisor. *Orders* brings stop requests; its end of file means that the
supervisor fenced itself or died, and the task is killed at once. *Reports* carries what happened.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress

from sentinel.clock import Clock
from sentinel.peer.processes import (
    NotStarted,
    become_subreaper,
    close_all_but,
    kill_tree,
    name_process,
    reap,
    send_all,
    spawn,
)
from sentinel.peer.run.line import fields, line, words
from sentinel.peer.run.log import LiveLog
from sentinel.peer.run.spec import RunCause, RunEnd, RunSpec
from sentinel.peer.usage import Usage

#: Poll slices in seconds: poll counts CLOCK_MONOTONIC, which stands still while the machine is suspended.
SLICE = 1.0
_CHUNK = 1 << 16
#: A bound on what a pipe still holds when the task is dead: it may have handed its end to others.
_LAST_CHUNKS = 256


class ChildWatch:
    """Makes the end of any child wake a poll on `fd`, for this process alone."""

    def __init__(self) -> None:
        self.fd, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def clear(self) -> None:
        """Forget what `fd` has signalled so far; to be called before reaping."""
        with suppress(BlockingIOError):
            os.read(self.fd, _CHUNK)


class Ending:
    """How one tree of processes is brought to its end, and why it ended."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: Why it is being ended; None while it is left to itself.
        self.cause: RunCause | None = None
        self._message: str | None = None
        #: When SIGKILL follows the SIGTERM that was sent.
        self.kill_at: float | None = None
        self._oom_kills = oom_kills()

    @property
    def overdue(self) -> bool:
        """Whether it was asked to end, and its time for that is over."""
        return self.kill_at is not None and self._clock.now() >= self.kill_at

    def fail(self, message: str) -> None:
        """There is nothing to end, for it could not be started."""
        self.cause, self._message = "error", message

    def stop(self, cause: RunCause, grace: float, message: str | None) -> None:
        """Ask the tree to end, and end it after ``grace`` seconds. The first reason given stays the cause."""
        kill_at = self._clock.now() + grace
        if self.kill_at is None or kill_at < self.kill_at:
            self.kill_at = kill_at
        if self.cause is not None:
            return
        self.cause, self._message = cause, message
        if grace > 0:
            # A stopped process would not see the SIGTERM before it is continued.
            send_all((os.getpid(),), (signal.SIGTERM, signal.SIGCONT))

    def verdict(self, status: int | None) -> tuple[RunCause, str | None, int | None]:
        """Cause, message and exit code (negative for a signal), by the main process's wait status, if any."""
        code = None if status is None else os.waitstatus_to_exitcode(status)
        cause, message = self.cause, self._message
        if cause is None and code is not None:
            cause = "exit" if code >= 0 else "signal"
            if code < 0:
                message = f"it was ended by {signal_name(-code)}, which was not sent by this worker"
            if code == -signal.SIGKILL and oom_kills() > self._oom_kills:
                cause, message = "memory", "the machine ran out of memory and ended it"
        return cause or "error", message, code


class Reaper:
    """One run, from start to the end of its last process."""

    def __init__(self, spec: RunSpec, orders: int, reports: int, clock: Clock) -> None:
        self._spec = spec
        self._orders = orders
        self._reports = reports
        self._clock = clock
        self._began = clock.now()
        self._main = 0
        #: Wait status of the main process, once it has ended.
        self._status: int | None = None
        self._ending = Ending(clock)
        self._pending = b""

    def run(self) -> None:
        """Start the task, watch it, end it, report. Returns when no process of it is left."""
        log = LiveLog(self._spec.log_path, self._spec.output_limit)
        output, theirs = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(output, False)
        watch = ChildWatch()
        usage = Usage(self._spec, self._clock)
        stdin = _standard_input(self._spec.stdin)
        if self._abandoned():
            self._ending.cause = "fenced"
        else:
            try:
                stdio = self._spec.stdio or (stdin, theirs, theirs)
                self._main = spawn(self._spec.argv, self._spec.environ, self._spec.cwd, stdio)
            except NotStarted as failure:
                self._ending.fail(str(failure))
        os.close(theirs)
        os.close(stdin)
        if self._main:
            self._report(line("started", self._spec.run, pid=self._main))
            self._watch(watch, output, log, usage)
        kill_tree(self._collect, self._clock)
        for _ in range(_LAST_CHUNKS):
            if not _pump(output, log):
                break
        self._report(line("ended", self._spec.run, **self._end(log).to_json()))

    def _abandoned(self) -> bool:
        """Whether the supervisor fenced itself or died while this process was getting ready."""
        poll = select.poll()
        poll.register(self._orders, 0)
        return any(events & select.POLLHUP for _, events in poll.poll(0))

    def _watch(self, watch: ChildWatch, output: int, log: LiveLog, usage: Usage) -> None:
        """Until the main process has ended or must be killed."""
        poll = select.poll()
        for descriptor in (watch.fd, output, self._orders):
            poll.register(descriptor, select.POLLIN)
        look_at = self._clock.now()
        while True:
            ready = {descriptor for descriptor, _ in poll.poll(self._pause(look_at) * 1000)}
            if watch.fd in ready:
                watch.clear()
                reap(self._collect)
            if self._status is not None:
                return
            if output in ready and _pump(output, log) == 0:
                poll.unregister(output)  # every writer closed it; the task may run on in silence
            if self._orders in ready:
                self._obey()
            now = self._clock.now()
            if self._spec.timeout is not None and now >= self._began + self._spec.timeout:
                self._ending.stop("timeout", self._spec.grace, f"it ran longer than {self._spec.timeout:g} s")
            if usage.pause is not None and now >= look_at:
                if (breach := usage.breach()) is not None:
                    self._ending.stop(breach[0], 0, breach[1])
                look_at = now + (usage.pause or SLICE)
            if self._ending.overdue:
                return

    def _pause(self, look_at: float) -> float:
        """Seconds to sleep at most before something is due."""
        due = [SLICE]
        now = self._clock.now()
        if self._spec.timeout is not None and self._ending.cause is None:
            due.append(self._began + self._spec.timeout - now)
        if self._spec.memory_limit is not None or self._spec.process_limit is not None:
            due.append(look_at - now)
        if self._ending.kill_at is not None:
            due.append(self._ending.kill_at - now)
        return max(0.0, min(due))

    def _obey(self) -> None:
        data = os.read(self._orders, _CHUNK)
        if not data:
            self._ending.stop("fenced", 0, None)
            return
        *lines, self._pending = (self._pending + data).split(b"\n")
        for each in lines:
            order = fields(words(each)[1])
            self._ending.stop(order["why"], order["grace"], None)

    def _collect(self, pid: int, status: int) -> None:
        if pid == self._main:
            self._status = status

    def _end(self, log: LiveLog) -> RunEnd:
        cause, message, code = self._ending.verdict(self._status)
        return RunEnd(
            run=self._spec.run,
            cause=cause,
            exit_code=code if code is not None and code >= 0 else None,
            signal=-code if code is not None and code < 0 else None,
            message=message or log.problem,
            started_at=self._began,
            ended_at=self._clock.now(),
            log_bytes=log.size,
            truncated=log.truncated,
        )

    def _report(self, event: bytes) -> None:
        with suppress(BrokenPipeError):  # the supervisor is gone, as the end of file on the orders says too
            os.write(self._reports, event)


def run_as_reaper(spec: RunSpec, orders: int, reports: int, clock: Clock) -> None:
    """Be the reaper for ``spec`` in a process just forked from the supervisor.

    Before anything else every descriptor but the two pipes and standard error is closed: above all the
    proof file, whose lock would otherwise seem held for as long as this process lives.
    """
    signal.set_wakeup_fd(-1)
    close_all_but({2, orders, reports, *(spec.stdio or ())})
    null = os.open(os.devnull, os.O_RDWR)  # becomes descriptor 0, the lowest one that is free
    os.dup2(null, 1, inheritable=False)
    os.setsid()
    become_subreaper()
    name_process("sentinel-reap")
    Reaper(spec, orders, reports, clock).run()


def _standard_input(text: str | None) -> int:
    """A descriptor to read ``text`` from, which nobody has to feed."""
    if text is None:
        return os.open(os.devnull, os.O_RDONLY)
    descriptor = os.memfd_create("stdin")
    left = memoryview(text.encode("utf-8", "surrogateescape"))
    while left:
        left = left[os.write(descriptor, left) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _pump(output: int, log: LiveLog) -> int | None:
    """Move a chunk of output into the log: its bytes, 0 at the end of it all, None when there is none now."""
    try:
        data = os.read(output, _CHUNK)
    except BlockingIOError:
        return None
    log.append(data)
    return len(data)


def oom_kills() -> int:
    """How many processes the kernel has killed for want of memory since boot."""
    try:
        with open("/proc/vmstat", "rb") as file:  # noqa: PTH123 - pathlib would cost the supervisor memory
            text = file.read()
    except OSError:
        return 0
    return int(text.partition(b"\noom_kill ")[2].split(b"\n", 1)[0] or 0)


def signal_name(number: int) -> str:
    """What people call a signal."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
