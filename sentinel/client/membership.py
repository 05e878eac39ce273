"""The calls on registered workers."""

from __future__ import annotations

from sentinel.client.connection import Connection
from sentinel.errors import NotFound
from sentinel.fleet import board, registry
from sentinel.fleet.board import WorkerRow
from sentinel.model.ids import check_id
from sentinel.model.worker import Worker
from sentinel.store.base import Snapshot, Transaction


class WorkerCalls(Connection):
    """Shows, cordons, drains and forgets workers."""

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

    def cordon_worker(self, id: str, *, dry_run: bool = False) -> None:
        """Let the worker take nothing new, through restarts. Raises `NotFound`."""
        self._cordon(id, True, dry_run)

    def uncordon_worker(self, id: str, *, dry_run: bool = False) -> None:
        """Let the worker take tasks again, and lift an order to drain. Raises `NotFound`."""
        self._cordon(id, False, dry_run)

    def drain_worker(self, id: str, deadline: float = 0.0, *, dry_run: bool = False) -> str | None:
        """Cordon the worker, and let its daemon end its work and leave; the incarnation that is to leave.

        What still runs after ``deadline`` seconds is handed back; 0 waits for it. Raises `NotFound`.
        """
        check_id(id, "worker id")

        def decide(snapshot: Snapshot) -> tuple[Transaction | None, Worker]:
            return registry.drain(self._transactor.change(snapshot), snapshot, id, deadline=deadline)

        return self._transact(decide, dry_run=dry_run).drain

    def wait_until_gone(self, incarnation: str) -> None:
        """Wait until an incarnation is not live any more: it has left, or was failed over."""
        while self.view().live(incarnation):
            self.store.wait(1.0)

    def _cordon(self, id: str, cordoned: bool, dry_run: bool) -> None:
        check_id(id, "worker id")

        def decide(snapshot: Snapshot) -> tuple[Transaction | None, Worker]:
            return registry.cordon(self._transactor.change(snapshot), snapshot, id, cordoned=cordoned)

        self._transact(decide, dry_run=dry_run)

    def remove_worker(self, id: str, *, dry_run: bool = False) -> None:
        """Forget a worker that is not live. Raises `NotFound`, and `Conflict` while it is."""
        check_id(id, "worker id")

        def decide(snapshot: Snapshot) -> tuple[Transaction | None, None]:
            return registry.remove(self._transactor.change(snapshot), snapshot, id), None

        self._transact(decide, dry_run=dry_run)
