"""SIGTERM, SIGINT and SIGHUP as counts that a control loop reads.

A Python signal handler runs in the main thread, possibly in the middle of the very event that it would have
to set. So the handler only counts, and the byte that the interpreter writes for each signal wakes a thread
that sets the event.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

log = logging.getLogger(__name__)


class Signals:
    """How many SIGTERMs and SIGINTs have come (the first drains, a second ends at once); SIGHUPs apart."""

    def __init__(self) -> None:
        self.count = 0
        self.hangups = 0
        self._terminals: tuple[int, ...] = ()

    @contextmanager
    def heeded(self, wake: Callable[[], None], *, hangups: bool = False) -> Iterator[None]:
        """Count signals and call ``wake`` for each, from another thread. Main thread only; not reentrant.

        With ``hangups`` a SIGHUP is counted, too; if it came because the terminal is gone that this process
        was started from, it counts as a SIGTERM.
        """
        reading, writing = socket.socketpair()
        writing.setblocking(False)

        def relay() -> None:
            with suppress(OSError):
                while reading.recv(64):
                    wake()

        before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        if hangups:
            self._terminals = tuple(number for number in range(3) if os.isatty(number))
            before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._hang_up)
        wakeup_fd = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        thread = threading.Thread(target=relay, name="signals", daemon=True)
        thread.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup_fd)
            for number, handler in before.items():
                signal.signal(number, handler)
            writing.close()
            thread.join(1.0)
            reading.close()

    def _note(self, number: int, _: object) -> None:
        self.count += 1
        meaning = "draining" if self.count == 1 else "ending at once"
        log.info("%s: %s", signal.Signals(number).name, meaning)

    def _hang_up(self, number: int, frame: object) -> None:
        if self._terminals and not any(os.isatty(terminal) for terminal in self._terminals):
            self._note(number, frame)
            return
        self.hangups += 1
        log.info("SIGHUP: reading the configuration again")
