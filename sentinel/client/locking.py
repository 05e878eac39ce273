"""The calls on named locks, for callers that are no process of the fleet."""

from __future__ import annotations

from sentinel.client.observing import Observing
from sentinel.client.records import unreadable
from sentinel.client.waiting import acquire_when_free
from sentinel.errors import BadInput, BadRecord, LockHeld
from sentinel.fleet import locks
from sentinel.fleet.acquisition import Acquisition
from sentinel.fleet.submission import check_number
from sentinel.model.ids import check_id
from sentinel.model.lock import MAX_TTL, MIN_TTL, Lock
from sentinel.store.base import Snapshot, Transaction


class LockCalls(Observing):
    """Takes, keeps and frees named locks."""

    def locks(self) -> list[Lock]:
        """All named locks, held and free, sorted by name."""
        return sorted(self.view().locks.values(), key=lambda lock: lock.name)

    def lock(self, name: str) -> Lock:
        """One named lock. Raises `NotFound`."""
        check_id(name, "lock name")
        try:
            return locks.existing(self._read(), name)
        except BadRecord as problem:
            raise unreadable(problem) from problem

    def acquire_lock(
        self,
        name: str,
        ttl: float = 300.0,
        wait: float = 0.0,
        *,
        dry_run: bool = False,
        quiet: bool = False,
    ) -> Lock:
        """Hold a lock until it is released or was not renewed for ``ttl`` seconds, on whoever's clock looks.

        The lock's ``epoch`` is needed to renew and to release it. Raises `LockHeld` when it did not come free
        within ``wait`` seconds. Whether another holder's time is over is judged by what this and earlier
        commands saw, so a first look never takes a lock that is held. Not to get it counts as a conflict,
        unless ``quiet``, for who asks again and again.
        """
        check_id(name, "lock name")
        ttl = check_number(ttl, "ttl", MIN_TTL, MAX_TTL, unit="seconds")
        kept, observer = self._sightings()
        acquisition = Acquisition(
            transactor=self._transactor,
            observer=observer,
            proof=self._proof(),
            name=name,
            holder=self._actor,
            incarnation=None,
            ttl=ttl,
            stale=self._options.stale,
        )
        try:
            if dry_run:
                return acquisition.attempt(dry_run=True)
            return acquire_when_free(acquisition, kept, wait=wait)
        except LockHeld:
            if not quiet:
                acquisition.give_up()
            raise
        except BadRecord as problem:
            raise unreadable(problem) from problem

    def renew_lock(self, name: str, epoch: int, ttl: float | None = None, *, dry_run: bool = False) -> Lock:
        """Start the time of a lock that `acquire_lock` gave anew. Raises `NotFound` and `LockLost`."""
        check_id(name, "lock name")
        if ttl is not None:
            ttl = check_number(ttl, "ttl", MIN_TTL, MAX_TTL, unit="seconds")

        def decide(snapshot: Snapshot) -> tuple[Transaction | None, Lock]:
            change = self._transactor.change(snapshot)
            return locks.renew(change, snapshot, name, epoch=epoch, ttl=ttl, wall=self._clock.wall())

        return self._transact(decide, dry_run=dry_run)

    def release_lock(
        self, name: str, epoch: int | None = None, *, force: bool = False, dry_run: bool = False
    ) -> Lock:
        """Free a lock held at ``epoch``, or (``force``) by anyone. Raises `NotFound`, `LockLost`."""
        check_id(name, "lock name")
        if (epoch is None) != force:
            raise BadInput("a lock is released either by its epoch or by force; give one of the two")

        def decide(snapshot: Snapshot) -> tuple[Transaction | None, Lock]:
            change = self._transactor.change(snapshot)
            return locks.release(change, snapshot, name, epoch=epoch, by=self._actor)

        return self._transact(decide, dry_run=dry_run)
