"""SIGTERM and SIGINT as a count that a control loop reads.

A Python signal handler runs in the main thread, possibly in the middle of the very event that it would have
to set. So the handler only counts, and the byte that the interpreter writes for each signal wakes a thread
that sets the event.
"""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

log = logging.getLogger(__name__)


class Signals:
    """How many SIGTERMs and SIGINTs have come; the first drains, a second ends at once."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def heeded(self, wake: Callable[[], None]) -> Iterator[None]:
        """Count signals and call ``wake`` for each, from another thread. Main thread only; not reentrant."""
        reading, writing = socket.socketpair()
        writing.setblocking(False)

        def relay() -> None:
            with suppress(OSError):
                while reading.recv(64):
                    wake()

        before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
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
