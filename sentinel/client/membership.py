"""The calls on registered workers."""

from __future__ import annotations

from sentinel.client.connection import Connection
from sentinel.errors import NotFound
from sentinel.fleet import board, registry
from sentinel.fleet.board import WorkerRow
from sentinel.model.ids import check_id
from sentinel.store.base import Snapshot, Transaction


class WorkerCalls(Connection):
    """Shows and forgets workers."""

    def workers(self) -> list[WorkerRow]:
        """All registered workers, sorted by id."""
        registers = self.store.published()
        return board.worker_rows(self.view(), registers, self._clock.wall())

    def worker(self, id: str) -> WorkerRow:
        """One registered worker. Raises `NotFound`."""
        check_id(id, "worker id")
        for row in self.workers():
            if row.id == id:
                return row
        raise NotFound(f"there is no worker {id!r}; `sentinel workers list` shows all")

    def remove_worker(self, id: str, *, dry_run: bool = False) -> None:
        """Forget a worker that is not live. Raises `NotFound`, and `Conflict` while it is."""
        check_id(id, "worker id")

        def decide(snapshot: Snapshot) -> tuple[Transaction | None, None]:
            return registry.remove(self._transactor.change(snapshot), snapshot, id), None

        self._transact(decide, dry_run=dry_run)
