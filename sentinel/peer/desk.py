"""How the tasks of one incarnation reach shared memory: a port, because simulated tasks are no processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from sentinel.clock import Clock
from sentinel.fleet.shared_memory import MemoryOptions
from sentinel.model.ids import IdSource
from sentinel.model.task import Fence
from sentinel.peer.errands import Errands
from sentinel.peer.run.spec import RunSpec
from sentinel.store.base import Store
from sentinel.store.transact import Transactor


class Desk(Protocol):
    """How the tasks of one incarnation reach shared memory. All methods may be called from any thread."""

    def admit(self, spec: RunSpec, fence: Fence) -> RunSpec:
        """``spec`` with what its task needs to reach shared memory, under this claim."""

    def dismiss(self, fence: Fence) -> None:
        """No process of this claim's task is left."""

    def stir(self) -> None:
        """The store may have changed."""

    def close(self) -> None:
        """Serve nobody any more."""


class NoDesk:
    """For incarnations whose tasks have no shared memory."""

    def admit(self, spec: RunSpec, fence: Fence) -> RunSpec:  # noqa: ARG002 - the port names it
        return spec

    def dismiss(self, fence: Fence) -> None:
        """Nothing is held."""

    def stir(self) -> None:
        """Nobody watches."""

    def close(self) -> None:
        """Nothing is open."""


class MakeDesk(Protocol):
    """Opens the desk of one incarnation."""

    def __call__(
        self,
        *,
        folder: Path,
        worker: str,
        options: MemoryOptions,
        open_store: Callable[[], Store],
        transactor: Callable[[Store], Transactor],
        clock: Clock,
        ids: IdSource,
        errands: Errands | None = None,
    ) -> Desk: ...
