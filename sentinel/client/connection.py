"""The connection that all calls of a `Client` share."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from sentinel.client.identity import checked_actor, default_actor
from sentinel.client.options import ClientOptions
from sentinel.client.records import Records, unreadable
from sentinel.clock import Clock, SystemClock
from sentinel.entropy import system_random
from sentinel.errors import BadRecord
from sentinel.fleet import board
from sentinel.fleet.view import View
from sentinel.folders import default_state_folder, store_folder
from sentinel.model.ids import IdSource
from sentinel.store.base import Snapshot, Store, Transaction
from sentinel.store.opener import StoreOptions, open_store
from sentinel.store.transact import Transactor

T = TypeVar("T")


class Connection:
    """One store with all that decisions on it need; see `Client` for the parameters."""

    def __init__(
        self,
        store: str | Store,
        *,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        state_folder: Path | None = None,
        actor: str | None = None,
        options: ClientOptions | None = None,
    ) -> None:
        self._clock = clock if clock is not None else SystemClock()
        self._options = options if options is not None else ClientOptions()
        self._actor = checked_actor(actor) if actor is not None else default_actor()
        rng = rng if rng is not None else system_random()
        self._owned = isinstance(store, str)
        if isinstance(store, str):
            state_folder = store_folder(state_folder or default_state_folder(), store)
            store = _open(store, self._actor, self._options, state_folder)
        self.store = store
        #: Where observations are kept; None keeps none.
        self._state_folder = state_folder
        self._ids = IdSource(rng, self._clock.wall)
        self._transactor = Transactor(self.store, self._clock, rng, self._ids)
        self._records = Records()
        self._last_created = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the store if this client opened it. Idempotent."""
        if self._owned:
            self.store.close()

    def view(self) -> View:
        """Everything that is stored now, as typed records; unreadable ones are in its ``problems``."""
        return self._records.view(self._read())

    def problems(self) -> list[BadRecord]:
        """Records and sessions that cannot be read. The fleet works on without them."""
        registers = self.store.published()
        view = self.view()
        ended = self._records.ended(view.snapshot)[1]
        return [*view.problems, *ended, *board.bad_sessions(view, registers)]

    def _read(self) -> Snapshot:
        return self._transactor.retrying()(self.store.read)

    def _transact(self, decide: Callable[[Snapshot], tuple[Transaction | None, T]], *, dry_run: bool) -> T:
        def rehearse(snapshot: Snapshot) -> tuple[Transaction | None, T]:
            return None, decide(snapshot)[1]

        try:
            return self._transactor.transact(rehearse if dry_run else decide)
        except BadRecord as problem:
            raise unreadable(problem) from problem


def _open(url: str, actor: str, options: ClientOptions, state_folder: Path) -> Store:
    if url == "memory:":
        from sentinel.store.memory import MemoryStore

        return MemoryStore()
    return open_store(url, StoreOptions(actor=actor, fsync=options.fsync, state_folder=state_folder))
