"""Trees of processes: who descends from whom, and how to start one and end all of it.

Linux only. A process that made itself *child subreaper* inherits every orphan below it, so nothing that
a task leaves behind (double forks, ``setsid``) gets out of its reaper's tree. ``/proc`` says whom to
kill next, but it is read one process at a time while the tree changes. Whether everything is gone, only
``waitpid`` tells, by ``ECHILD``.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from sentinel.clock import Clock

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36

_PAGE = os.sysconf("SC_PAGE_SIZE")
#: A task is offered to the kernel's out-of-memory killer before the daemons that watch over it.
_OOM_SCORE = 500
#: Seconds between two rounds of killing, at first and at most.
_FIRST_PAUSE = 0.0005
_LONGEST_PAUSE = 0.25
#: A tree that still grows after so many sweeps is killed as far as it is known, then swept anew.
_MAX_SWEEPS = 64


@dataclass(frozen=True, slots=True)
class Process:
    """A process as ``/proc`` showed it. ``pid`` alone names nobody: it is used again."""

    pid: int
    parent: int
    #: Clock ticks after boot at which it began; with `pid` the identity of a process.
    started: int
    #: Bytes of resident memory.
    resident: int


class NotStarted(Exception):
    """A program could not be started; the message is one sentence for people."""


def become_subreaper() -> None:
    """Inherit, from now on, every orphaned descendant of this process. Raises `OSError`."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def name_process(name: str) -> None:
    """Show ``name`` (at most 15 characters) for this process in ``ps`` and ``top``."""
    _prctl(_PR_SET_NAME, name.encode())


def table() -> dict[int, Process]:
    """Every process that can be seen now. Not atomic: read what it says as a hint."""
    found = {}
    with os.scandir("/proc") as entries:
        for entry in entries:
            if entry.name.isdigit() and (process := _look(entry.name)) is not None:
                found[process.pid] = process
    return found


def below(roots: Iterable[int], processes: Mapping[int, Process]) -> list[Process]:
    """All descendants of ``roots`` in ``processes``, the roots themselves left out."""
    children: dict[int, list[Process]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    for root in roots:
        found.extend(children.pop(root, ()))
    for process in found:  # grows while it is walked: breadth first
        # Taken out, for a table that changed while it was read may even show a circle.
        found.extend(children.pop(process.pid, ()))
    return found


def send(process: Process, number: int) -> None:
    """Signal ``process`` unless it is gone. A later process with the same pid is never hit."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    except OSError:  # a kernel or a sandbox without pidfds
        if _is_same(process):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, number)
        return
    try:
        if _is_same(process):
            # Another user's process cannot be ended; then ECHILD never comes, and nothing is claimed.
            with suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(handle, number)
    finally:
        os.close(handle)


def send_all(roots: Iterable[int], numbers: Sequence[int]) -> None:
    """Send each of ``numbers`` once to every descendant of ``roots`` that is there now."""
    for process in below(roots, table()):
        for number in numbers:
            send(process, number)


def kill_round(choose: Callable[[Mapping[int, Process]], Iterable[Process]]) -> int:
    """Stop everything that ``choose`` picks until no new ones appear, then kill it; how many that were.

    Stopping first is what beats a fork bomb: a stopped process does not fork while the others are sought.
    One round need not be the last: call again until `reap` finds no children.
    """
    stopped: dict[tuple[int, int], Process] = {}
    for _ in range(_MAX_SWEEPS):
        fresh = [p for p in choose(table()) if (p.pid, p.started) not in stopped]
        if not fresh:
            break
        for process in fresh:
            send(process, signal.SIGSTOP)
            stopped[process.pid, process.started] = process
    for process in stopped.values():
        send(process, signal.SIGKILL)
    return len(stopped)


def reap(collect: Callable[[int, int], None]) -> bool:
    """Hand pid and wait status of each ended child to ``collect``; whether any child is left."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
        collect(pid, status)


def kill_tree(collect: Callable[[int, int], None], clock: Clock) -> None:
    """Until no child is left, whether it ended by itself, by our hand, or is unknown as yet."""
    me = os.getpid()
    pause = _FIRST_PAUSE
    while reap(collect):
        kill_round(lambda processes: below((me,), processes))
        if not reap(collect):
            return
        clock.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


def close_all_but(keep: Collection[int]) -> None:
    """Close every file descriptor of this process that is not in ``keep``."""
    with os.scandir("/proc/self/fd") as entries:
        numbers = [int(entry.name) for entry in entries]
    for number in numbers:
        if number not in keep:
            with suppress(OSError):  # the descriptor that the listing itself used is among them
                os.close(number)


def spawn(
    argv: tuple[str, ...],
    env: Mapping[str, str],
    cwd: str,
    stdio: tuple[int, int, int],
    *,
    subreaper: bool = False,
) -> int:
    """Start a program as leader of a session of its own; returns its pid once it really runs.

    It gets ``stdio`` as standard input, output and error, default signal handling and no other file
    descriptor, and is killed when the calling process dies. With ``subreaper`` it inherits its orphans
    itself. To be called from a single-threaded process only. Raises `NotStarted`.
    """
    heard, told = os.pipe()
    try:
        pid = os.fork()
    except OSError as error:
        os.close(heard)
        os.close(told)
        raise NotStarted(f"no new process can be made: {error.strerror}") from error
    if pid == 0:
        _become(argv, env, cwd, stdio, told, subreaper=subreaper)
    os.close(told)
    with os.fdopen(heard, "rb") as pipe:
        failure = pipe.read()
    if failure:
        os.waitpid(pid, 0)
        raise NotStarted(failure.decode("utf-8", "replace")[:1000])
    return pid


def _become(
    argv: tuple[str, ...],
    env: Mapping[str, str],
    cwd: str,
    stdio: tuple[int, int, int],
    told: int,
    *,
    subreaper: bool,
) -> NoReturn:
    # Runs in the forked child. Success closes `told` by close-on-exec, so that silence means it runs.
    step = "prepare"
    try:
        os.setsid()
        for standard, given in enumerate(stdio):
            os.dup2(given, standard)
        close_all_but({0, 1, 2, told})
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if subreaper:
            become_subreaper()
        _offer_to_oom_killer()
        _default_signals()
        step = "enter"
        os.chdir(cwd)
        step = "run"
        os.execvpe(argv[0], argv, env)
    except BaseException as error:  # noqa: BLE001 - nothing may return into the parent's code
        os.write(told, _why_not(step, error, argv[0], cwd).encode("utf-8", "replace"))
    finally:
        os._exit(127)


def _why_not(step: str, error: BaseException, program: str, cwd: str) -> str:
    reason = error.strerror if isinstance(error, OSError) else error
    if step == "enter":
        return f"the working directory {cwd} cannot be entered: {reason}"
    if step == "run" and isinstance(error, FileNotFoundError):
        return f"command not found: {program}"
    return f"{program} cannot be started: {reason}"


def _default_signals() -> None:
    # Python ignores SIGPIPE, the supervisor ignores more; both would outlive the exec.
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _offer_to_oom_killer() -> None:
    try:
        descriptor = os.open("/proc/self/oom_score_adj", os.O_RDWR)
    except OSError:
        return
    try:
        if int(os.read(descriptor, 16)) < _OOM_SCORE:
            os.pwrite(descriptor, str(_OOM_SCORE).encode(), 0)
    except OSError:
        pass  # a sandbox may forbid it; the task runs as well without
    finally:
        os.close(descriptor)


def _look(pid: int | str) -> Process | None:
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    try:
        line = os.read(descriptor, 2048)
    except ProcessLookupError:
        return None
    finally:
        os.close(descriptor)
    # The name may hold blanks and brackets, so the fields are counted from its last closing bracket.
    fields = line[line.rindex(b")") + 2 :].split()
    return Process(int(pid), int(fields[1]), int(fields[19]), int(fields[21]) * _PAGE)


def _is_same(process: Process) -> bool:
    now = _look(process.pid)
    return now is not None and now.started == process.started


def _prctl(option: int, value: int | bytes) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    argument = ctypes.c_char_p(value) if isinstance(value, bytes) else ctypes.c_ulong(value)
    if libc.prctl(option, argument, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option} failed")
