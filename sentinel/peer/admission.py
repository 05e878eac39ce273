"""Joining the fleet: over nobody, over a predecessor proven dead or silent, and never over a living one."""

from __future__ import annotations

import logging
from collections.abc import Callable

from sentinel.errors import StoreError, WorkerIdInUse
from sentinel.fleet import failover, registry
from sentinel.fleet.observer import Observer
from sentinel.fleet.proof import DeathProof
from sentinel.fleet.view import Reader, View, load_session
from sentinel.model.layout import session_register
from sentinel.model.worker import Incarnation, Worker
from sentinel.store.base import Committed, Expected, Register, Store, Transaction
from sentinel.store.transact import Transactor

log = logging.getLogger(__name__)


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
    ) -> None:
        self._transactor = transactor
        self._worker = worker
        self._incarnation = incarnation
        self._observer = observer
        self._proof = proof
        self._reader = Reader()
        self._first_seen: tuple[str, Expected] | None = None
        self._pending: Transaction | None = None

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
            )
            before = registry.predecessor(view.snapshot, self._worker.id)
            if before is not None:
                found = failover.take_over(
                    self._transactor,
                    view,
                    registers,
                    self._observer,
                    before,
                    stale=self._incarnation.ttl,
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
            self._pending = registry.join(change, view.snapshot, self._worker, self._incarnation)
        # Sent again as it is after an unknown outcome: a join must not happen twice.
        (outcome,) = self._store.commit([self._pending])
        self._pending = None
        return isinstance(outcome, Committed)

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
    """Attempt until joined; False when ``wait(poll)`` says to give up. ``waiting`` is called once, if at all.

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
        if wait(poll):
            return False
