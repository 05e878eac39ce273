"""Acquiring a named lock as one look after another, including over a holder that is dead or silent."""

from __future__ import annotations

import contextlib
import dataclasses

from sentinel.clock import rfc3339
from sentinel.errors import LockHeld, StoreError
from sentinel.fleet import failover, locks
from sentinel.fleet.counting import count_conflict
from sentinel.fleet.observer import Observer
from sentinel.fleet.proof import DeathProof
from sentinel.fleet.view import Reader, load_lock, load_session
from sentinel.model.layout import lock_key, session_register
from sentinel.model.lock import Lock
from sentinel.store.base import ABSENT, Conflicted, Expected, Snapshot, Transaction
from sentinel.store.transact import Transactor

#: How often counting is tried; a number is not worth more.
_COUNT_TRIES = 3


@dataclasses.dataclass(slots=True, kw_only=True)
class Acquisition:
    """Who wants which lock, and how this host judges the present holder."""

    transactor: Transactor
    observer: Observer
    proof: DeathProof
    name: str
    holder: str
    #: The incarnation to hold it, or None for a ticket.
    incarnation: str | None
    ttl: float
    #: My own stale threshold in seconds: no holder is taken for dead before.
    stale: float
    #: Whether a try found it held: told with the acquisition, or else by `give_up`.
    met: bool = dataclasses.field(default=False, init=False)

    def attempt(self, *, dry_run: bool = False) -> Lock:
        """One look, and the lock if it can be had. Raises `LockHeld` while it cannot, and store errors."""
        clock = self.transactor.clock
        suspected = self._judge_the_holder(act=not dry_run)
        if suspected is not None and dry_run:
            at = rfc3339(clock.wall())
            return suspected.acquire(holder=self.holder, incarnation=self.incarnation, ttl=self.ttl, at=at)

        def decide(snapshot: Snapshot) -> tuple[Transaction | None, Lock]:
            transaction, lock = locks.acquire(
                self.transactor.change(snapshot),
                snapshot,
                self.name,
                holder=self.holder,
                incarnation=self.incarnation,
                ttl=self.ttl,
                observer=self.observer,
                wall=clock.wall(),
                met=self.met,
            )
            return (None if dry_run else transaction), lock

        try:
            return self.transactor.transact(decide)
        except LockHeld:
            self.met = not dry_run
            raise

    def give_up(self) -> None:
        """Count that the lock could not be had. A store that is away, or a crowd, makes the count too low."""
        for _ in range(_COUNT_TRIES if self.met else 0):
            with contextlib.suppress(StoreError):
                snapshot = self.transactor.store.read()
                change = self.transactor.change(snapshot)
                wall = self.transactor.clock.wall()
                if not count_conflict(change, snapshot, self.name, refused=True, wall=wall):
                    return
                counted = change.transaction(f"count that {self.holder} did not get lock {self.name}")
                (outcome,) = self.transactor.store.commit([counted])
                if not isinstance(outcome, Conflicted):
                    return

    def _judge_the_holder(self, *, act: bool) -> Lock | None:
        """Look at the holder; the lock, if that is an incarnation to be failed over, which ``act`` does."""
        clock, store = self.transactor.clock, self.transactor.store
        sent = clock.now()
        snapshot = store.read()
        lock = load_lock(snapshot, self.name)
        if lock is None or not lock.held:
            return None
        if lock.incarnation is None:
            key = lock_key(self.name)
            self.observer.note(key, snapshot.version(key), sent=sent, reply=clock.now())
            return None
        registers = store.published()
        name = session_register(lock.incarnation)
        version: Expected = registers[name].version if name in registers else ABSENT
        session = load_session(name, registers.get(name))
        self.observer.note(
            name,
            version,
            sent=sent,
            reply=clock.now(),
            announced=None if session is None else session.ttl,
        )
        view = Reader().view(snapshot)
        if not view.live(lock.incarnation) or lock.incarnation == self.incarnation:
            return None
        found = failover.suspect(
            view, registers, self.observer, lock.incarnation, stale=self.stale, proof=self.proof
        )
        if found is not None and act:
            failover.fail_over(self.transactor, view, found, by=self.holder)
        return None if found is None else lock

    def held(self) -> bool:
        """Whether this acquisition's incarnation holds the lock now. Raises store errors."""
        lock = load_lock(self.transactor.store.read(), self.name)
        return lock is not None and lock.held and lock.incarnation == self.incarnation
