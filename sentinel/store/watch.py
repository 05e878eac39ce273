"""Waits until a local store may have changed, without polling where the kernel can tell.

Three places matter: the folder of the state ref, ``packed-refs``, and the folder of the proof-of-death
files, where a supervisor writes that nothing is left to kill.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sentinel.clock import Clock, Event
from sentinel.model.layout import STATE_REF

#: Seconds between two looks where the kernel gives no notice.
POLL_SECONDS = 0.5

_Signature = frozenset[tuple[str, int, int]]


class Watch:
    """What one client waits with. Raises nothing: whoever cannot watch polls."""

    def __init__(self, repository: Path, alive: Path, clock: Clock, *, notify: bool = True) -> None:
        self._repository = repository
        self._state = repository / STATE_REF
        self._alive = alive
        self._clock = clock
        self._notify = notify
        self._inotify: Any = None
        self._places: dict[int, Path] = {}
        #: What listens to the kernel's notices, if anything does.
        self._listener: Event | None = None
        # From here on no change in there goes unnoticed, though the kernel is asked only at the first wait.
        self._alive_seen = self._signature()

    def wait(self, timeout: float, moved: Callable[[], bool]) -> bool:
        """Block for at most ``timeout`` seconds; True when ``moved()`` holds or ``alive`` has news."""
        limit = self._clock.now() + timeout
        if self._inotify is None and self._notify:
            self._notify = self._start()
        if self._inotify is None:
            return self._poll(limit, moved)
        # Asked after the kernel began to watch, so nothing falls between.
        if moved() or self._alive_changed():
            return True
        while True:
            left = limit - self._clock.now()
            events = self._inotify.read(timeout=max(0, int(left * 1000)))
            if events and self._matters(events, moved):
                return True
            if left <= 0:
                return False

    def listen(self, wakeup: Event, told: Callable[[], None], moved: Callable[[], bool]) -> bool:
        """Let ``wakeup`` wake when ``moved()`` holds after a change, or ``alive`` has news.

        ``told`` is called for every change. False where the kernel gives no notice.
        """
        if self._inotify is None and not (self._notify and self._start()):
            return False

        def noticed() -> bool:
            told()
            return moved()

        def heard() -> bool:
            events = self._inotify.read(timeout=0)
            news = bool(events) and self._matters(events, noticed)
            if self._inotify is None:
                self.listen(wakeup, told, moved)
            return news

        self._listener = wakeup
        wakeup.listen(self._inotify.fd, heard)
        return True

    def _poll(self, limit: float, moved: Callable[[], bool]) -> bool:
        while True:
            if moved() or self._alive_changed():
                return True
            left = limit - self._clock.now()
            if left <= 0:
                return False
            self._clock.sleep(min(left, POLL_SECONDS))

    def _alive_changed(self) -> bool:
        signature = self._signature()
        changed = signature != self._alive_seen
        self._alive_seen = signature
        return changed

    def _signature(self) -> _Signature:
        found = set()
        with contextlib.suppress(OSError):
            for file in self._alive.iterdir():
                with contextlib.suppress(OSError):
                    status = file.stat()
                    found.add((file.name, status.st_mtime_ns, status.st_size))
        return frozenset(found)

    def _start(self) -> bool:
        try:
            import inotify_simple
        except ImportError:
            return False
        flags = inotify_simple.flags
        gone = flags.DELETE_SELF | flags.MOVE_SELF
        # A ref's lock file is renamed to it, or, where only a packed ref was, linked.
        change = flags.CREATE | flags.MOVED_TO | flags.DELETE
        wanted = {
            self._state.parent: change | gone,
            self._repository: change | gone,
            self._alive: flags.CLOSE_WRITE | flags.MODIFY | flags.MOVED_TO | gone,
        }
        try:
            # Git removes the folders of refs that it packs.
            self._state.parent.mkdir(parents=True, exist_ok=True)
            self._inotify = inotify_simple.INotify()
            self._places = {self._inotify.add_watch(place, mask): place for place, mask in wanted.items()}
        except OSError:
            self.close()
            return False
        return True

    def _matters(self, events: list[Any], moved: Callable[[], bool]) -> bool:
        look = False
        for event in events:
            place = self._places.get(event.wd)
            if place is None or not event.name:
                # A watched folder went away, or the kernel lost events: watch anew at the next wait.
                self.close()
                return True
            if place == self._alive:
                self._alive_seen = self._signature()
                return True
            look = look or event.name in (self._state.name, "packed-refs")
        return look and moved()

    def close(self) -> None:
        """Stop watching. Idempotent."""
        if self._inotify is not None:
            if self._listener is not None:
                self._listener.ignore(self._inotify.fd)
            self._inotify.close()
            self._inotify = None
            self._places = {}
