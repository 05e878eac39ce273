"""Waiting: look, sleep until the store may have changed, look again. No busy polling."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sentinel.client.records import Records
from sentinel.errors import LockHeld, WaitTimeout
from sentinel.fleet.acquisition import Acquisition
from sentinel.fleet.observer import KeptObserver
from sentinel.model.lock import Lock
from sentinel.model.task import Task
from sentinel.store.transact import Transactor

Changed = Callable[[list[Task]], None]

#: Longest pause in seconds between two looks at tasks; a store that tells of changes wakes us earlier.
_LOOK_EVERY = 10.0
#: The same for a lock, whose expiry no change of the store tells of.
_LOCK_EVERY = 1.0
#: Seconds after which sightings are kept even while still waiting, in case of a sudden end.
_KEEP_EVERY = 5.0


def wait_until_ended(
    transactor: Transactor,
    records: Records,
    ids: Sequence[str],
    *,
    timeout: float | None,
    on_change: Changed | None,
) -> list[Task]:
    """The tasks when all have ended. Raises `NotFound`, and `WaitTimeout` after ``timeout`` seconds."""
    store, clock = transactor.store, transactor.clock
    started = clock.now()
    before: list[Task] | None = None
    while True:
        found = records.follow(transactor.retrying()(store.read), ids)
        if on_change is not None and found != before:
            on_change(found)
        before = found
        running = [task for task in found if not task.ended]
        if not running:
            return found
        pause = _LOOK_EVERY
        if timeout is not None:
            pause = min(pause, started + timeout - clock.now())
            if pause <= 0:
                raise WaitTimeout(_in_vain(running, timeout))
        store.wait(pause)


def acquire_when_free(acquisition: Acquisition, kept: KeptObserver | None, *, wait: float) -> Lock:
    """The lock as soon as it can be had. Raises `LockHeld` when that was not within ``wait`` seconds."""
    clock = acquisition.transactor.clock
    started = kept_at = clock.now()
    try:
        while True:
            try:
                return acquisition.attempt()
            except LockHeld:
                left = started + wait - clock.now()
                if left <= 0:
                    raise
            if clock.now() - kept_at >= _KEEP_EVERY:
                kept_at = clock.now()
                _keep(acquisition, kept)
            acquisition.transactor.store.wait(min(left, _LOCK_EVERY))
    finally:
        _keep(acquisition, kept)


def _keep(acquisition: Acquisition, kept: KeptObserver | None) -> None:
    if kept is not None:
        kept.save(acquisition.observer.sightings())


def _in_vain(running: Sequence[Task], timeout: float) -> str:
    first = f"task {running[0].id} is still {running[0].state} after {timeout:g} s"
    more = f" (and {len(running) - 1} more)" if len(running) > 1 else ""
    return f"{first}{more}; `sentinel tasks why {running[0].id}` tells why"
