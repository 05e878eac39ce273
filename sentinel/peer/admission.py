"""Joining the fleet: over nobody, over a predecessor proven dead or silent, and never over a living one."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable

from sentinel.clock import rfc3339
from sentinel.errors import StoreError, WorkerIdInUse
from sentinel.fleet import failover, registry
from sentinel.fleet.observer import Observer
from sentinel.fleet.pacing import Rhythm, Seen, seen
from sentinel.fleet.proof import DeathProof
from sentinel.fleet.view import Reader, View, load_session
from sentinel.model.layout import session_register
from sentinel.model.worker import Incarnation, Worker
from sentinel.store.base import Committed, Expected, Register, Store, Transaction
from sentinel.store.transact import Transactor

log = logging.getLogger(__name__)

#: So many times the usual pause passes between two looks of one who waits because others go first.
_LOOK_EVERY = 8.0


class Admission:
    """Tries to make one incarnation of one worker live."""

    def __init__(
        self,
        *,
        transactor: Transactor,
        worker: Worker,
        incarnation: Incarnation,
        observer: Observer,
        proof: DeathProof,
        rhythm: Callable[[Seen], Rhythm] | None = None,
    ) -> None:
        self._transactor = transactor
        self._worker = worker
        self._incarnation = incarnation
        self._stale = incarnation.ttl
        self._observer = observer
        self._proof = proof
        # None where everybody may join at once.
        self._rhythm_of = rhythm
        #: How the worker goes on in the fleet that it joins; None where that is as configured.
        self.rhythm: Rhythm | None = None
        #: When it may try to join, on this machine's clock.
        self._not_before = float("-inf")
        self._reader = Reader()
        self._first_seen: tuple[str, Expected] | None = None
        self._pending: Transaction | None = None

    @property
    def incarnation(self) -> Incarnation:
        """The incarnation as it joins, or joined: with the TTL that is right for the fleet it found."""
        return self._incarnation

    @property
    def closed_for(self) -> float:
        """Seconds for which others go first; zero when they do not, whatever else is in the way."""
        return max(0.0, self._not_before - self._transactor.clock.now())

    @property
    def _store(self) -> Store:
        return self._transactor.store

    def attempt(self) -> bool:
        """Look once; True when the incarnation is live now, False when it is too early to tell.

        Raises `WorkerIdInUse` when a predecessor beats, and store errors.
        """
        clock = self._transactor.clock
        if self._pending is None:
            sent = clock.now()
            snapshot, registers = self._store.look()
            reply = clock.now()
            view = self._reader.view(snapshot)
            self._observer.look(
                failover.watched(view, registers),
                sent=sent,
                reply=reply,
                announced=failover.announced(view, registers),
                # What earlier processes saw of other things goes on with the work itself.
                keep=self._observer.sightings(),
            )
            before = registry.predecessor(view.snapshot, self._worker.id)
            if self._closed(view):
                if before is not None:
                    self._refuse_the_living(view, before, registers.get(session_register(before)))
                return False
            if before is not None:
                found = failover.take_over(
                    self._transactor,
                    view,
                    registers,
                    self._observer,
                    before,
                    stale=self._stale,
                    proof=self._proof,
                    by=self._worker.id,
                )
                if found is None:
                    self._refuse_the_living(view, before, registers.get(session_register(before)))
                    return False
                log.warning("failed over the predecessor %s of %s: %s", before, self._worker.id, found.ground)
                view = self._reader.view(self._store.read())
                if registry.predecessor(view.snapshot, self._worker.id) is not None:
                    return False
            change = self._transactor.change(view.snapshot)
            one_by_one = self.rhythm is not None and self.rhythm.joins > 0
            self._pending = registry.join(
                change, view.snapshot, self._worker, self._incarnation, one_by_one=one_by_one
            )
        # Sent again as it is after an unknown outcome: a join must not happen twice.
        (outcome,) = self._store.commit([self._pending])
        self._pending = None
        return isinstance(outcome, Committed)

    def _closed(self, view: View) -> bool:
        """Whether others go first. Decides on the TTL of the fleet that it sees, too."""
        if self._rhythm_of is None:
            return False
        found = seen(view, self._incarnation.id)
        self.rhythm = self._rhythm_of(dataclasses.replace(found, gathering=found.workers > 1))
        times, clock = self.rhythm.times, self._transactor.clock
        self._incarnation = dataclasses.replace(
            self._incarnation,
            ttl=times.stale,
            interval=times.interval,
            started_at=rfc3339(clock.wall()),
        )
        if self.closed_for > 0:
            return True
        pause = self.rhythm.joins
        closed_for = registry.door(view.snapshot).closed_for(pause, clock.wall())
        if closed_for > 0:
            # Not all who wait are to try in the moment in which it opens.
            self._not_before = clock.now() + closed_for + self._transactor.rng.uniform(0.0, pause)
        return closed_for > 0

    def _refuse_the_living(self, view: View, before: str, register: Register | None) -> None:
        session = load_session(session_register(before), register)
        if session is not None and session.sealed_by is not None:
            # It changed because somebody else is failing it over, which is the opposite of a beat.
            return
        version: Expected | None = None if register is None else register.version
        if self._first_seen is None or self._first_seen[0] != before:
            self._first_seen = (before, version or "")
            return
        if register is not None and register.version != self._first_seen[1]:
            raise registry.in_use(self._worker.id, before, view.incarnations.get(before))


def wait_until_joined(
    admission: Admission, *, poll: float, wait: Callable[[float], bool], waiting: Callable[[], None]
) -> bool:
    """Attempt until joined; False when ``wait(seconds)`` says to give up. ``waiting`` is called at most once.

    A store that is away is waited for, too. Raises `WorkerIdInUse`.
    """
    told = False
    while True:
        try:
            if admission.attempt():
                return True
        except WorkerIdInUse:
            raise
        except StoreError as error:
            log.warning("cannot join yet: %s", error)
        if not told:
            waiting()
            told = True
        # Whether a predecessor lives is to be seen meanwhile.
        if wait(min(admission.closed_for, _LOOK_EVERY * poll) or poll):
            return False
