"""The store of a fleet on many hosts: any Git server, by the git command line, with explicit leases.

Documents are files on the branch ``sentinel/state``, each session is a ref of its own, large blobs hang on
one ref a day. Objects are read and written in a private mirror; only git talks to the server. A push names
the object id that it expects (``--force-with-lease=<ref>:<oid>``), and the server checks it under its own
lock: that is the compare-and-swap. `docs/decisions/0007-remote-store.md` tells what was weighed.
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from sentinel.clock import Clock, SystemClock
from sentinel.entropy import system_random
from sentinel.errors import Unavailable
from sentinel.model.ids import IdSource
from sentinel.model.layout import STATE_REF
from sentinel.store.artifacts import Artifacts
from sentinel.store.base import (
    Committed,
    Conflicted,
    Entry,
    Expected,
    Outcome,
    Register,
    Rider,
    Snapshot,
    Store,
    Transaction,
    Version,
    Written,
)
from sentinel.store.high_water import HighWater
from sentinel.store.history import entries
from sentinel.store.landing import Landing
from sentinel.store.location import Location, locate
from sentinel.store.mirror import Mirror
from sentinel.store.opener import StoreOptions
from sentinel.store.pace import JITTER, Pace
from sentinel.store.remote_sessions import Sessions
from sentinel.store.remote_state import State
from sentinel.store.riding import Riding
from sentinel.store.tree import GitSnapshot
from sentinel.store.way import Way

log = logging.getLogger(__name__)

#: Tries of one commit against competitors before it gives up.
_TRIES = 30
#: Longest pause between two of them, in seconds.
_LONGEST_PAUSE = 1.0


class RemoteStore(Store):
    """One client of a repository on a Git server.

    ``timeout`` is what one exchange with the server may take, in seconds; ``prepare`` is called before each,
    for credentials that do not last. Raises `NotAStore` when there is no
    fleet of this kind, `Unavailable` when the server cannot be reached, `ConfigurationError` without a git.
    """

    hears = False

    def __init__(
        self,
        location: Location,
        options: StoreOptions,
        *,
        environ: Mapping[str, str],
        clock: Clock | None = None,
        rng: random.Random | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self._clock = clock if clock is not None else SystemClock()
        self._rng = rng if rng is not None else system_random()
        self._ids = IdSource(self._rng, self._clock.wall)
        self._mirror = Mirror(
            location,
            state_folder=options.state_folder,
            environ=environ,
            timeout=options.timeout,
            prepare=prepare,
        )
        self._state = State(location, self._mirror, HighWater(options.state_folder))
        self._sessions = Sessions(
            self._mirror, actor=options.actor, ids=self._ids, clock=self._clock, attempts=self._attempts
        )
        self._artifacts = Artifacts(
            self._mirror, actor=options.actor, ids=self._ids, clock=self._clock, attempts=self._attempts
        )
        self._riding = Riding(self._mirror, self._sessions)
        way = Way(
            self._mirror,
            self._state,
            self._riding.send,
            actor=options.actor,
            ids=self._ids,
            clock=self._clock,
        )
        self._landing = Landing(way, self._attempts)
        self._pace = Pace()
        #: When `wait` looks next, on this machine's clock.
        self._due = float("-inf")
        self._seen: str | None = None
        try:
            self._state.newest()
        except BaseException:
            self._mirror.close()
            raise

    # -- reading --------------------------------------------------------------------------------------

    def read(self) -> GitSnapshot:
        return self._read(sessions=False)

    def look(self) -> tuple[Snapshot, Mapping[str, Register]]:
        """State and sessions, brought by one call of git."""
        return self._read(sessions=True), self._sessions.fetched()

    def _read(self, *, sessions: bool) -> GitSnapshot:
        if self._mirror.crowded and not self._landing.open:
            self._mirror.renew("most of what is in it is out of date")
        snapshot = self._state.newest(sessions=sessions)
        self._landing.settle(snapshot)
        if snapshot.revision != self._seen:
            self._pace.looked(moved=True)
            self._due = min(self._due, self._clock.now() + self._pace.pause)
        self._seen = snapshot.revision
        return snapshot

    # -- committing -----------------------------------------------------------------------------------

    def carry(self, transactions: Sequence[Transaction], rider: Rider) -> list[Outcome]:
        with self._riding.of(rider):
            return self.commit(transactions)

    def commit(self, transactions: Sequence[Transaction]) -> list[Outcome]:
        if not transactions:
            return []
        self._mirror.ensure()
        return self._landing.commit(transactions)

    def _attempts(self) -> Iterator[None]:
        """Yield for each try, with growing random pauses between; where a try takes long, longer ones."""
        pause = 0.02
        for _ in range(_TRIES):
            began = self._clock.now()
            yield
            took = min(self._clock.now() - began, _LONGEST_PAUSE)
            self._clock.sleep(self._rng.uniform(0.0, max(pause, took)))
            pause = min(pause * 2, _LONGEST_PAUSE)

    # -- registers ------------------------------------------------------------------------------------

    def publish(self, name: str, document: Written, expect: Expected) -> Committed | Conflicted:
        return self._sessions.publish(name, document, expect)

    def published(self) -> Mapping[str, Register]:
        return self._sessions.published()

    # -- blobs ----------------------------------------------------------------------------------------

    def keep_and_carry(self, blobs: Sequence[bytes], rider: Rider) -> list[str]:
        with self._riding.of(rider):
            return self.keep(blobs)

    def keep(self, blobs: Sequence[bytes]) -> list[str]:
        return self._artifacts.keep(blobs, self._riding.send)

    @property
    def kept_in(self) -> str | None:
        return self._artifacts.kept_in

    def kept(self, name: str) -> bytes | None:
        return self._artifacts.kept(name)

    def days(self) -> dict[str, Version]:
        return self._artifacts.days()

    def drop_day(self, day: str, version: Version) -> bool:
        return self._artifacts.drop_day(day, version)

    def audit(self, limit: int, after: str | None = None) -> list[Entry]:
        head = self._state.newest().commit
        return entries(self._mirror.repository, head, limit, after)

    # -- waiting --------------------------------------------------------------------------------------

    def wait(self, timeout: float) -> bool:
        limit = self._clock.now() + timeout
        while True:
            now = self._clock.now()
            if timeout > 0 and self._due > now:
                self._clock.sleep(min(self._due, limit) - now)
                if self._clock.now() < self._due:
                    return False
            try:
                moved = self._mirror.look(STATE_REF) != self._seen
            except Unavailable:
                moved = True  # whoever reads next is told why
            self._pace.looked(moved=moved)
            pause = self._pace.pause * self._rng.uniform(1 - JITTER, 1 + JITTER)
            self._due = self._clock.now() + pause
            if moved or self._clock.now() >= limit:
                return moved

    def close(self) -> None:
        self._mirror.close()


_warned: set[str] = set()


def open_remote(url: str, options: StoreOptions) -> RemoteStore:
    """A new connection to the fleet on a Git server.

    Raises `BadInput` for a URL that cannot be used, `NotAStore` when there is no fleet, `Unavailable` when
    the server cannot be reached, and `ConfigurationError` without a git that is new enough.
    """
    location = locate(url)
    warn_in_the_clear(location)
    return RemoteStore(location, options, environ=os.environ)


def warn_in_the_clear(location: Location) -> None:
    """Say once that everybody on the way can read along."""
    if location.in_the_clear and location.store not in _warned:
        _warned.add(location.store)
        log.warning(
            "%s is not encrypted: whoever is on the way reads everything, tokens included, and can change "
            "it; use git+https:// or git+ssh://",
            location.store,
        )
