"""Whose turn it is to deal with GitHub: one peer at a time, while it lives and holds the lock."""

from __future__ import annotations

import logging

from sentinel.errors import LockHeld, LockLost
from sentinel.fleet import locks
from sentinel.fleet.duty import Post
from sentinel.fleet.observer import Observer
from sentinel.fleet.view import load_lock
from sentinel.model import layout
from sentinel.store.base import ABSENT, Snapshot, Transaction
from sentinel.store.transact import Change

log = logging.getLogger(__name__)


class Lost(Exception):
    """The lock or the incarnation is not ours any more."""


class Tenure:
    """One incarnation's hold on the lock of the intake."""

    def __init__(self, post: Post) -> None:
        self._post = post

    def held(self) -> bool:
        """Whether it is ours now. Raises store errors."""
        return self.mine(self._post.transactor.store.read())

    def mine(self, snapshot: Snapshot) -> bool:
        """Whether it was ours in ``snapshot``."""
        me = self._post.incarnation
        lock = load_lock(snapshot, layout.INTAKE_LOCK)
        live = snapshot.version(layout.incarnation_key(me)) is not ABSENT
        return live and lock is not None and lock.incarnation == me

    def begin(self) -> bool:
        """Take it if it is free; whether it is ours then. Raises store errors."""

        def decide(snapshot: Snapshot) -> tuple[Transaction | None, None]:
            if self.mine(snapshot):
                return None, None
            transaction, _ = locks.acquire(
                self._post.transactor.change(snapshot),
                snapshot,
                layout.INTAKE_LOCK,
                holder=self._post.worker,
                incarnation=self._post.incarnation,
                ttl=0.0,
                # Who holds it otherwise is for the control loops to judge; this takes what is free.
                observer=Observer(),
                wall=self._post.clock.wall(),
            )
            return transaction, None

        try:
            self._post.transactor.transact(decide)
        except (LockHeld, LockLost):
            return False
        log.info("%s deals with GitHub from now on", self._post.worker)
        return True

    def guarded(self, snapshot: Snapshot) -> Change:
        """A change that lands only while lock and incarnation are ours. Raises `Lost`."""
        if not self.mine(snapshot):
            raise Lost
        change = self._post.transactor.change(snapshot)
        change.expect_present(layout.lock_key(layout.INTAKE_LOCK))
        return change.expect_present(layout.incarnation_key(self._post.incarnation))
