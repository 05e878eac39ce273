"""A fleet in memory whose workers do only what a test tells them, for tests of what people see and do."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

from sentinel.client import Client, ClientOptions
from sentinel.clock import rfc3339
from sentinel.fleet import failover, registry, tasks
from sentinel.fleet.view import Reader, View, load_session
from sentinel.model import layout
from sentinel.model.codec import encode_document
from sentinel.model.ids import IdSource
from sentinel.model.task import Ending, Task
from sentinel.model.worker import Incarnation, Session, Worker
from sentinel.store.base import ABSENT, Snapshot, Store, Transaction
from sentinel.store.memory import MemoryFleet, MemoryStore
from sentinel.store.transact import Transactor
from sentinel.testing.clock import ManualClock

DONE = Ending(cause=None)


class PatientStore(MemoryStore):
    """Waits on the manual clock, and so takes no time."""

    def __init__(self, fleet: MemoryFleet, clock: ManualClock) -> None:
        super().__init__(fleet)
        self._clock = clock
        #: How often somebody waited.
        self.waits = 0

    def wait(self, timeout: float) -> bool:
        self.waits += 1
        self._clock.sleep(timeout)
        return True


class Stage:
    """One memory fleet, one clock, and the hands of all workers."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.fleet = MemoryFleet()
        self.rng = random.Random(7)
        self.ids = IdSource(self.rng, self.clock.wall)
        self.transactor = Transactor(self.store(), self.clock, self.rng, self.ids)
        self._beats: dict[str, int] = {}

    def store(self) -> PatientStore:
        """A new connection."""
        return PatientStore(self.fleet, self.clock)

    def client(
        self,
        *,
        actor: str = "tester",
        state_folder: Path | None = None,
        store: Store | None = None,
        **options: Any,
    ) -> Client:
        """A client with a connection of its own."""
        return Client(
            store or self.store(),
            clock=self.clock,
            rng=self.rng,
            actor=actor,
            state_folder=state_folder,
            options=ClientOptions(**options),
        )

    def view(self) -> View:
        """The newest state."""
        return Reader().view(self.transactor.store.read())

    def task(self, task_id: str) -> Task:
        """The newest record of a task."""
        return tasks.existing(self.transactor.store.read(), task_id)

    def join(
        self,
        worker: str,
        *,
        types: tuple[str, ...] = ("shell",),
        max_tasks: int = 1,
        beats: bool = True,
        **fields: Any,
    ) -> str:
        """A new incarnation of ``worker``, and its first beat."""
        incarnation = Incarnation(
            id=self.ids.ulid(),
            worker=worker,
            hostname=f"host-of-{worker}",
            ttl=10.0,
            interval=2.0,
            started_at=rfc3339(self.clock.wall()),
        )
        record = Worker(
            id=worker,
            incarnation=incarnation.id,
            hostname=incarnation.hostname,
            max_tasks=max_tasks,
            types=types,
            registered_at=rfc3339(self.clock.wall()),
            **fields,
        )

        def decide(snapshot: Snapshot) -> tuple[Transaction, None]:
            return registry.join(self.transactor.change(snapshot), snapshot, record, incarnation), None

        self.transactor.transact(decide)
        if beats:
            self.beat(worker)
        return incarnation.id

    def beat(self, worker: str, **changes: Any) -> None:
        """Overwrite the worker's session."""
        incarnation = self.view().workers[worker].incarnation
        self._beats[incarnation] = self._beats.get(incarnation, 0) + 1
        session = Session(
            incarnation=incarnation,
            worker=worker,
            seq=self._beats[incarnation],
            interval=2.0,
            ttl=10.0,
            sent_at=rfc3339(self.clock.wall()),
        )
        name = layout.session_register(incarnation)
        known = self.transactor.store.published().get(name)
        self.transactor.store.publish(
            name,
            dataclasses.replace(session, **changes).document(),
            ABSENT if known is None else known.version,
        )

    def leave(self, worker: str) -> None:
        """Delete the worker's incarnation, as leaving and failing over do."""
        key = layout.incarnation_key(self.view().workers[worker].incarnation)

        def decide(snapshot: Snapshot) -> tuple[Transaction, None]:
            return self.transactor.change(snapshot).delete(key).transaction(f"leave {worker}"), None

        self.transactor.transact(decide)

    def fail_over(self, worker: str) -> None:
        """Have a worker taken for dead that is proven to be."""
        view, registers = self.view(), self.transactor.store.published()
        name = view.workers[worker].incarnation
        register = registers.get(layout.session_register(name))
        found = failover.Suspect(
            incarnation=name,
            worker=worker,
            version=ABSENT if register is None else register.version,
            session=load_session(layout.session_register(name), register),
            ground="proven dead",
        )
        assert failover.fail_over(self.transactor, view, found, by="tester")

    def claim(self, task_id: str, worker: str) -> None:
        """``worker`` takes the task."""
        incarnation = self.view().workers[worker].incarnation

        def decide(snapshot: Snapshot) -> tuple[Transaction, Task]:
            task = tasks.existing(snapshot, task_id)
            change = self.transactor.change(snapshot)
            return tasks.claim(change, task, worker=worker, incarnation=incarnation, wall=self.clock.wall())

        self.transactor.transact(decide)

    def end(self, task_id: str, ending: Ending = DONE) -> None:
        """The owner ends its attempt."""

        def decide(snapshot: Snapshot) -> tuple[Transaction | None, None]:
            fence = tasks.existing(snapshot, task_id).fence()
            change = self.transactor.change(snapshot)
            return tasks.end(change, Reader().view(snapshot), fence, ending, wall=self.clock.wall()), None

        self.transactor.transact(decide)

    def rewrite(self, task: Task) -> None:
        """Put a task where its state belongs, whatever stood there."""

        def decide(snapshot: Snapshot) -> tuple[Transaction, None]:
            change = self.transactor.change(snapshot)
            tasks.write_task(change, task)
            return change.transaction(f"rewrite {task.id}"), None

        self.transactor.transact(decide)

    def plant(self, key: str, data: bytes) -> None:
        """Put bytes under ``key`` that no peer would write."""
        head = self.fleet.head
        state = {**head.state, key: data}
        self.fleet.history.append(dataclasses.replace(head, revision=head.revision + 1, state=state))

    def plant_register(self, incarnation: str, document: dict[str, Any] | bytes) -> None:
        """Put bytes, or a document, into an incarnation's register."""
        data = document if isinstance(document, bytes) else encode_document(document)
        self.fleet.registers[layout.session_register(incarnation)] = data
