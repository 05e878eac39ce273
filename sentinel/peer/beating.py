"""A beat thread around a block of work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sentinel.clock import Clock
from sentinel.peer.beat import Beat
from sentinel.peer.surroundings import Thread
from sentinel.store.base import Store


@contextmanager
def beating(
    beat: Beat,
    store: Store,
    clock: Clock,
    start_thread: Callable[[str, Callable[[], None]], Thread],
    *,
    patience: float,
    left: Callable[[], bool],
) -> Iterator[None]:
    """Run ``beat`` in a thread until the block ends, then close its ``store``.

    When the incarnation ``left`` cleanly, its register is removed too.

    The store is the beat's own: a commit that hangs must not keep a beat from being sent. A beat that hangs
    itself is waited for ``patience`` seconds and left to end alone.
    """
    stop = clock.event()
    thread = start_thread("beat", lambda: beat.run(stop))
    try:
        yield
    finally:
        stop.set()
        thread.join(patience)
        if not thread.is_alive():
            if left():
                beat.retire()
            store.close()
