"""Runs registered functions one after another: ``python -m sentinel.peer.run.warm``, one *lane* of a worker.

Standard input is a socket that keeps messages apart. Each that arrives is a run, a `RunSpec`, whose
``stdin`` is an order as `sentinel.peer.run.child` reads it. Each is answered on standard output, where that
of the run ends (see `sentinel.peer.run.warm_words`): ``run``, ``code``, ``left``, ``files``, ``last``.

**What runs share:** the interpreter, the modules and whatever functions leave in them. **What each gets as
if it were alone:** environment, working folder, handling of SIGTERM, standard streams, arguments, log, and
limits. A run that leaves threads or processes behind, or was asked to end, is the last one of its process.
"""

from __future__ import annotations

import contextlib
import json
import os
import posix
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from sentinel.peer.run import child
from sentinel.peer.run.context import ended_by_sigterm, heed_sigterm
from sentinel.peer.run.order import decode_order
from sentinel.peer.run.spec import RunSpec
from sentinel.peer.run.warm_words import SECRET, marked

#: Bytes of a message that are read at most; no order is longer.
MAX_MESSAGE = 4 << 20
#: Bytes of what a function returned that go into the answer; more is left in a file.
_MAX_INLINE = 64 * 1024
#: The same where others may write to the same pipe: encoded once more it is six times as long at most, and
#: the kernel writes 4 KiB in one piece.
_MAX_SHARED = 512


class Lane:
    """The process: takes one run after another until it is told or has reason to end."""

    def __init__(self, messages: socket.socket, secret: str) -> None:
        self._messages = messages
        self._secret = secret
        # A copy, for functions may close what is theirs.
        self._output = os.dup(1)
        self._me = os.getpid()
        #: The environment that was set last, and what it is underneath, by which a change of it shows.
        self._env = dict(os.environ)
        self._raw = dict(posix.environ)
        #: Runs that it has taken.
        self._taken = 0

    def run(self) -> None:
        """Until the other side closes, or the process has to make room for a fresh one."""
        while True:
            data = self._messages.recv(MAX_MESSAGE)
            if not data:
                return
            spec = decode_order(data)
            self._taken += 1
            self._become(spec.environ, spec.cwd)
            heed_sigterm()
            order = json.loads(spec.stdin or "")
            code, blob = child.carry_out(order)
            if os.getpid() != self._me:
                # The function forked, and its child came back here: the answer is the parent's to give.
                os._exit(0)
            if self._answer(spec, code, blob, order["result_path"]):
                return

    def _become(self, env: Mapping[str, str], cwd: str) -> None:
        """Environment, folder and signal handling of the next run."""
        before = self._env if posix.environ == self._raw else dict(os.environ)
        for name in before.keys() - env.keys():
            del os.environ[name]
        for name, value in env.items():
            if before.get(name) != value:
                os.environ[name] = value
        self._env, self._raw = dict(env), dict(posix.environ)
        with contextlib.suppress(FileNotFoundError):
            if os.getcwd() == cwd:  # noqa: PTH109 - what pathlib makes of it is dear
                return
        os.chdir(cwd)

    def _answer(self, spec: RunSpec, code: int, blob: bytes, result_path: str) -> bool:
        """Tell how a run ended; whether this process ends with it."""
        for stream, original in ((sys.stdout, sys.__stdout__), (sys.stderr, sys.__stderr__)):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
            if original is not None and stream is not original:
                with contextlib.suppress(OSError, ValueError):
                    original.flush()
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        progress = spec.progress_path
        shared = _something_is_left()
        last = self._taken >= spec.lane_runs or ended_by_sigterm() or shared
        # Only what is short goes out in one piece where what is left may print, too.
        inline = len(blob) <= (_MAX_SHARED if shared else _MAX_INLINE)
        if not inline:
            child.leave(Path(result_path), blob)
        answer = {
            "run": spec.run,
            "code": code,
            "left": blob.decode() if inline else None,
            "files": not inline or (progress is not None and os.path.exists(progress)),  # noqa: PTH110 - dear
            "last": last,
        }
        _write_all(self._output, marked(self._secret, json.dumps(answer)))
        return last


def _something_is_left() -> bool:
    """Whether the run left a thread or a process behind; what it orphaned became this process's child."""
    if threading.active_count() > 1:
        return True
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    return False


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            # A function has changed how its own standard output is written, which is the same.
            os.set_blocking(descriptor, True)
        except OSError:
            return  # nobody reads any more


def main() -> int:
    """Be a lane; the exit status."""
    messages = socket.socket(fileno=os.dup(0))
    messages.set_inheritable(False)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    heed_sigterm()
    Lane(messages, os.environ.pop(SECRET)).run()
    return 128 + signal.SIGTERM if ended_by_sigterm() else 0


if __name__ == "__main__":
    sys.exit(main())
