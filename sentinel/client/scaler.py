"""The scaler: one at a time by a lock, its decision recorded before anything is done.

Each look that changes something is one transaction: it renews the lock at our epoch and writes what is
remembered, so a scaler that lost the lock records nothing and does nothing. What a scaler that was paused
between its record and its deed then does cannot be undone from outside; it is the deed that was recorded.
"""

from __future__ import annotations

import dataclasses
import logging
from contextlib import suppress

from sentinel.client.facade import Client
from sentinel.client.providers import Provider, ProviderFailed
from sentinel.clock import rfc3339
from sentinel.errors import Conflict, LockLost, NotFound, StoreError
from sentinel.fleet import locks
from sentinel.fleet.metrics import measure
from sentinel.fleet.scaling import Decision, Rules, decide
from sentinel.fleet.view import load
from sentinel.model import layout
from sentinel.model.scaling import Scaling
from sentinel.store.base import Snapshot, Transaction

log = logging.getLogger(__name__)

#: The lock whose holder scales the fleet.
LOCK = "autoscaler"
#: Part of the lock's TTL after which it is renewed, and after which we take it for lost.
_RENEW, _LOST = 1 / 3, 0.8


class Scaler(Client):
    """A client that keeps the fleet at its right size."""

    rules: Rules
    provider: Provider
    #: Life of the lock without a look, in seconds.
    ttl: float = 120.0
    #: Seconds that a worker that is to go may take to end its work; 0 waits for as long as it takes.
    drain_deadline: float = 0.0

    _epoch: int | None = None
    _renewed = 0.0
    _failed: frozenset[str] = frozenset()

    def plan(self) -> Decision:
        """What would be decided now. Nothing is written and nothing done."""
        return self._decide(self._read())

    def elect(self, wait: float) -> None:
        """Become the scaler. Raises `LockHeld` when another is, after ``wait`` seconds."""
        sent = self._clock.now()
        self._epoch = self.acquire_lock(LOCK, self.ttl, wait, quiet=True).epoch
        self._renewed = sent

    def resign(self) -> None:
        """Let another be the scaler."""
        if self._epoch is not None:
            with suppress(StoreError, Conflict, NotFound):
                self.release_lock(LOCK, self._epoch)
            self._epoch = None

    def look(self) -> Decision:
        """Decide, record it, and do it. Raises `LockLost` when we are not the scaler any more."""
        sent = self._clock.now()
        renewing = sent - self._renewed >= self.ttl * _RENEW

        def decision(snapshot: Snapshot) -> tuple[Transaction | None, tuple[Decision, bool]]:
            found = self._decide(snapshot)
            transaction = self._record(snapshot, found, renewing=renewing)
            return transaction, (found, transaction is not None)

        found, recorded = self._transactor.transact(decision)
        if recorded:
            self._renewed = sent
        self._do(found)
        return found

    def _decide(self, snapshot: Snapshot) -> Decision:
        view = self._records.view(snapshot)
        registers = self._transactor.retrying()(self.store.published)
        wall = self._clock.wall()
        metrics = measure(view, self._records.ended(snapshot)[0], registers, wall)
        memory = _remembered(snapshot)
        starting = {name: since for name, since in memory.starting.items() if name not in self._failed}
        return decide(metrics, self.rules, dataclasses.replace(memory, starting=starting), wall)

    def _record(self, snapshot: Snapshot, found: Decision, *, renewing: bool) -> Transaction | None:
        lock = locks.existing(snapshot, LOCK)
        if not lock.ticket or lock.epoch != self._epoch:
            raise LockLost(f"lock {LOCK} is in other hands: another scaler is at work")
        changed = found.memory != _remembered(snapshot)
        if not changed and not renewing:
            return None
        change = self._transactor.change(snapshot)
        change.put(layout.lock_key(LOCK), lock.renew(ttl=self.ttl, at=rfc3339(self._clock.wall())))
        if changed:
            change.put(layout.SCALING, found.memory)
        if found.action == "hold":
            return change.transaction(f"renew lock {LOCK} epoch {lock.epoch} by {self._actor}")
        names = ", ".join(found.start or found.drain)
        verb = "start" if found.start else "drain"
        return change.transaction(
            f"scale {found.action} from {found.size} to {found.target}: {verb} {names}, by {self._actor}"
        )

    def _do(self, found: Decision) -> None:
        failed: set[str] = set()
        for name in found.start:
            self._still_ours()
            try:
                self.provider.start(name)
            except ProviderFailed as error:
                log.error("%s", error)
                failed.add(name)
        self._failed = frozenset(failed)
        for name in found.drain:
            self._still_ours()
            with suppress(NotFound):
                self.drain_worker(name, self.drain_deadline)
        for name in found.forget:
            self._still_ours()
            try:
                self.provider.stop(name)
            except ProviderFailed as error:
                log.error("%s", error)
            # One that was started again meanwhile is not forgotten.
            with suppress(NotFound, Conflict):
                self.remove_worker(name)

    def _still_ours(self) -> None:
        if self._clock.now() - self._renewed > self.ttl * _LOST:
            raise LockLost(f"lock {LOCK} was not renewed for too long; what is left undone is given up")


def _remembered(snapshot: Snapshot) -> Scaling:
    found = load(snapshot, layout.SCALING, Scaling.load)
    return found if isinstance(found, Scaling) else Scaling()
