"""Shared memory for the tasks of a simulated fleet, which are calls in the test's own process.

Such a call takes no virtual time, so neither does what it asks of shared memory: that reaches the store at
once, or, while its worker is cut off, not at all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from sentinel.clock import Clock
from sentinel.errors import BadInput, Unavailable
from sentinel.fleet.memory_writing import Asked
from sentinel.fleet.shared_memory import MemoryOptions, SharedMemory
from sentinel.model.ids import IdSource
from sentinel.model.memory import Change, Entry, Wish
from sentinel.model.task import Fence
from sentinel.peer.errands import Errands
from sentinel.peer.run.spec import RunSpec
from sentinel.store.base import Committed, Conflicted, Outcome, Register, Snapshot, Store, Transaction
from sentinel.store.transact import Transactor
from sentinel.testing.checker import Sender
from sentinel.testing.simulation.machine import Machine
from sentinel.testing.simulation.server import Server


class SimulatedDesk:
    """A desk that remembers under which claim, of which worker, each run was admitted."""

    def __init__(self, claims: dict[str, tuple[Fence, str]], worker: str) -> None:
        self._claims = claims
        self._worker = worker

    def admit(self, spec: RunSpec, fence: Fence) -> RunSpec:
        self._claims[spec.run] = (fence, self._worker)
        return spec

    def dismiss(self, fence: Fence) -> None:
        """The run stays known: a call that goes on has no process that could end."""

    def stir(self) -> None:
        """Nobody waits."""

    def close(self) -> None:
        """Nothing is open."""


class Desks:
    """Opens the desks of a simulated fleet, and gives the port of each run."""

    def __init__(self) -> None:
        self._claims: dict[str, tuple[Fence, str]] = {}

    def __call__(
        self,
        *,
        folder: Path,  # noqa: ARG002 - the port names them
        worker: str,
        options: MemoryOptions,  # noqa: ARG002
        open_store: Callable[[], Store],  # noqa: ARG002
        transactor: Callable[[Store], Transactor],  # noqa: ARG002
        clock: Clock,  # noqa: ARG002
        ids: IdSource,  # noqa: ARG002
        errands: Errands | None = None,  # noqa: ARG002
    ) -> SimulatedDesk:
        return SimulatedDesk(self._claims, worker)

    def port(self, spec: RunSpec, server: Server, machine: Machine) -> SimulatedPort:
        """What the call of this run reaches shared memory through."""
        fence, worker = self._claims[spec.run]
        store = _AtOnce(server, machine, Sender(process=worker, incarnation=fence.incarnation, rate=1.0))
        rng = machine.universe.rng(f"memory of {spec.run}")
        transactor = Transactor(store, machine.clock, rng, IdSource(rng, machine.clock.wall), patience=0.0)
        return SimulatedPort(SharedMemory(transactor, MemoryOptions()), fence, worker)


class SimulatedPort:
    """See `sentinel.model.memory_calls.MemoryPort`."""

    def __init__(self, shared: SharedMemory, fence: Fence, worker: str) -> None:
        self._shared = shared
        self._fence = fence
        self._worker = worker

    def read(self, namespace: str, key: str, max_age: float | None) -> Entry | None:
        return self._shared.read(namespace, key, max_age)

    def scan(self, namespace: str | None, prefix: str, max_age: float | None) -> list[Entry]:
        return self._shared.scan(namespace, prefix, max_age)

    def changes(
        self, namespace: str, key: str | None, prefix: str, known: Mapping[str, str], timeout: float
    ) -> list[Change]:
        found = self._shared.differences(namespace, key, prefix, known)
        if not found and timeout > 0:
            raise BadInput("a simulated call takes no time, so a watch in it cannot wait; use next(0)")
        return found

    def write(self, wish: Wish, *, dry_run: bool) -> Entry | None:
        return self._shared.write(self._asked(wish), dry_run=dry_run)

    def queue(self, wish: Wish) -> None:
        self._shared.queue(self._asked(wish))

    def flush(self) -> Sequence[str]:
        self._shared.flush()
        return [str(dropped.why) for dropped in self._shared.take_dropped(self._fence)]

    def stats(self) -> dict[str, Any]:
        return self._shared.stats.row()

    def _asked(self, wish: Wish) -> Asked:
        by = f"{self._fence.task} epoch {self._fence.epoch} on {self._worker}"
        return Asked(dataclasses.replace(wish, by=by), self._fence)


class _AtOnce(Store):
    """The one true state, reached in no time, as long as the machine's link is whole."""

    def __init__(self, server: Server, machine: Machine, sender: Sender) -> None:
        self._server = server
        self._machine = machine
        self._sender = sender

    def read(self) -> Snapshot:
        self._reach()
        return self._server.snapshot(0.0, 0)

    def commit(self, transactions: Sequence[Transaction]) -> list[Outcome]:
        if not transactions:
            return []
        self._reach()
        self._server.sent(transactions, self._sender)
        return self._server.commit(transactions)

    def _reach(self) -> None:
        link, now = self._machine.link, self._machine.universe.baton.now
        if now < max(link.requests_cut_until, link.replies_cut_until):
            raise Unavailable("the worker is cut off from the store")

    def publish(self, *_: object) -> Committed | Conflicted:
        self._refuse()

    def published(self) -> Mapping[str, Register]:
        self._refuse()

    def keep(self, blobs: Sequence[bytes]) -> list[str]:  # noqa: ARG002 - the port names it
        self._refuse()

    def kept(self, name: str) -> bytes | None:  # noqa: ARG002 - the port names it
        self._refuse()

    def audit(self, limit: int, after: str | None = None) -> NoReturn:  # noqa: ARG002 - the port names it
        self._refuse()

    def wait(self, timeout: float) -> bool:  # noqa: ARG002 - the port names it
        self._refuse()

    def close(self) -> None:
        """Nothing is held."""

    def _refuse(self) -> NoReturn:
        raise BadInput("a simulated call reaches documents alone")
