"""A fleet in memory with issues in memory, and workers that do only what a test tells them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from sentinel.client import Client
from sentinel.clock import rfc3339
from sentinel.errors import BadInput
from sentinel.fleet import failover, registry, tasks
from sentinel.fleet.duty import Post, Workplace
from sentinel.fleet.submission import SHELL, Declared
from sentinel.fleet.view import Reader, View
from sentinel.github.duty import IssueDuty, Options
from sentinel.github.governor import Governor
from sentinel.github.hub import Hub
from sentinel.github.trust import Policy
from sentinel.model import layout
from sentinel.model.ids import IdSource
from sentinel.model.redaction import Redactor
from sentinel.model.task import Ending, Task
from sentinel.model.worker import Incarnation, Worker
from sentinel.store.base import ABSENT, Snapshot, Store, Transaction
from sentinel.store.memory import MemoryFleet, MemoryStore
from sentinel.store.transact import Change, Transactor
from sentinel.testing.clock import ManualClock
from tests.github.memory_hub import REPOSITORY, MemoryHub

DONE = Ending(cause=None, result={"words": 7})
FAILED = Ending(cause="error", message="it broke", exit_code=1)

#: A block that is as it should be.
GOOD = '```sentinel\n{"type": "word-count", "args": {"path": "docs"}}\n```'
OTHER = '```sentinel\n{"type": "word-count", "args": {"path": "/etc"}}\n```'


def check_word_count(args: Mapping[str, Any], positional: object) -> None:
    """What a worker checks that registers ``def word_count(path: str)``."""
    for name in args:
        if name != "path":
            raise BadInput(f"word-count takes no argument {name!r}; the nearest is 'path'")
    if "path" not in args:
        raise BadInput("word-count needs the argument 'path'")
    if not isinstance(args["path"], str):
        raise BadInput("the argument 'path' of word-count must be a text")


TYPES = {
    "shell": SHELL,
    "word-count": Declared(origin="module jobs", check=check_word_count, timeout=60.0),
    # Takes whatever it is given.
    "copy": Declared(origin="module jobs"),
}


class Stage:
    """The fleet, GitHub, and a clock that stands still."""

    def __init__(
        self,
        *,
        policy: Policy | None = None,
        secrets: tuple[str, ...] = (),
        clock: ManualClock | None = None,
        hub: Hub | None = None,
        budget: Governor | None = None,
    ) -> None:
        self.clock = clock or ManualClock()
        self.fleet = MemoryFleet()
        self.hub = MemoryHub()
        self._hub = hub or self.hub
        self._budget = budget
        self.rng = random.Random(7)
        self.ids = IdSource(self.rng, self.clock.wall)
        self.options = Options(poll=30.0, policy=policy or Policy())
        self.redactor = Redactor(secrets)
        self.transactor = Transactor(MemoryStore(self.fleet), self.clock, self.rng, self.ids)
        self.incarnations: dict[str, str] = {}
        self.duties: dict[str, IssueDuty] = {}
        #: Every task that a worker began to run, as it was claimed.
        self.executed: list[Task] = []
        self.peer("w1")

    # -- peers ------------------------------------------------------------------------------------------

    def peer(self, worker: str, *, store: Store | None = None, hub: MemoryHub | None = None) -> IssueDuty:
        """A peer joins; its duty."""
        incarnation = Incarnation(
            id=self.ids.ulid(), worker=worker, ttl=10.0, interval=2.0, started_at=rfc3339(self.clock.wall())
        )
        record = Worker(
            id=worker, incarnation=incarnation.id, hostname="host", max_tasks=4, types=("word-count",)
        )
        self.transactor.transact(
            lambda snapshot: (
                registry.join(self.transactor.change(snapshot), snapshot, record, incarnation),
                None,
            )
        )
        self.incarnations[worker] = incarnation.id
        post = Post(
            place=Workplace(url="github://acme/fleet", types=TYPES, budget=self._budget),
            worker=worker,
            incarnation=incarnation.id,
            transactor=Transactor(
                store or MemoryStore(self.fleet), self.clock, self.rng, self.ids, patience=0.0
            ),
            rng=self.rng,
            ids=self.ids,
            wake=lambda: None,
        )
        duty = IssueDuty(post, hub or self._hub, REPOSITORY, self.options, self.redactor)
        self.duties[worker] = duty
        return duty

    def bury(self, worker: str) -> None:
        """A peer is failed over: its incarnation is gone, and nothing else happened yet."""
        key = layout.incarnation_key(self.incarnations[worker])
        self.transactor.transact(
            lambda snapshot: (self._change(snapshot).delete(key).transaction("bury"), None)
        )

    def free_orphans(self) -> None:
        """What every control loop does with what dead incarnations held."""
        view = self.view()
        from sentinel.fleet.observer import Observer

        freed = failover.orphans(
            view,
            lambda: self._change(view.snapshot),
            Observer(),
            gone=frozenset(),
            wall=self.clock.wall(),
            by="w9",
        )
        self.transactor.store.commit(list(freed))

    def look(self, worker: str = "w1", *, steps: int = 6) -> None:
        """Let a peer do its duty until it has nothing more to do, and what that brought about besides."""
        for _ in range(steps):
            self.clock.advance(self.duties[worker].tick())

    # -- tasks ------------------------------------------------------------------------------------------

    def run(self, number: int, ending: Ending | None = DONE, *, log: bytes = b"", worker: str = "w1") -> Task:
        """A worker claims the task of an issue; with an ``ending`` it ends it, too."""
        return self.run_task(layout.issue_task(number), ending, log=log, worker=worker)

    def run_task(
        self, task_id: str, ending: Ending | None = DONE, *, log: bytes = b"", worker: str = "w1"
    ) -> Task:
        """The same for any task."""
        incarnation = self.incarnations[worker]

        def claim(snapshot: Snapshot) -> tuple[Transaction, Task]:
            task = tasks.existing(snapshot, task_id)
            change = self._change(snapshot)
            return tasks.claim(change, task, worker=worker, incarnation=incarnation, wall=self.clock.wall())

        claimed = self.transactor.transact(claim)
        self.executed.append(claimed)
        return claimed if ending is None else self.end(task_id, ending, log=log)

    def end(self, task_id: str, ending: Ending, *, log: bytes = b"") -> Task:
        """The worker ends its attempt."""
        import dataclasses

        if log:
            (name,) = self.transactor.store.keep([log])
            ending = dataclasses.replace(ending, log={"blob": name, "bytes": len(log), "truncated": False})

        def decide(snapshot: Snapshot) -> tuple[Transaction | None, None]:
            view = Reader().view(snapshot)
            fence = view.tasks[task_id].fence()
            return tasks.end(self._change(snapshot), view, fence, ending, wall=self.clock.wall()), None

        self.transactor.transact(decide)
        return self.task_named(task_id)

    def run_whatever_waits(self) -> None:
        """What workers do: take every task that is ready."""
        for task in list(self.view().tasks.values()):
            if task.state == "pending":
                self.run_task(task.id)

    # -- what is stored ---------------------------------------------------------------------------------

    def view(self) -> View:
        """The newest state."""
        return Reader().view(self.transactor.store.read())

    def task(self, number: int) -> Task:
        """The task of an issue."""
        return self.task_named(layout.issue_task(number))

    def task_named(self, task_id: str) -> Task:
        """A task by its id."""
        return tasks.existing(self.transactor.store.read(), task_id)

    def has_task(self, number: int) -> bool:
        """Whether an issue became a task."""
        snapshot = self.transactor.store.read()
        name = layout.issue_task(number)
        return any(
            snapshot.version(key) is not ABSENT for key in (layout.task_key(name), layout.done_key(name))
        )

    def audit(self) -> str:
        """The notes of all that landed, a line each."""
        return "\n".join(
            transaction.note for commit in self.fleet.history for transaction in commit.transactions
        )

    def events(self, number: int) -> list[str]:
        """The events in the history of an issue's task."""
        return [event.event for event in self.task(number).history]

    def client(self) -> Client:
        """A person with access to the store."""
        return Client(MemoryStore(self.fleet), clock=self.clock, rng=self.rng, actor="carol@host")

    def change(self, decide: Callable[[Snapshot], tuple[Transaction | None, None]]) -> None:
        """Change the store."""
        self.transactor.transact(decide)

    def _change(self, snapshot: Snapshot) -> Change:
        return self.transactor.change(snapshot)
