"""A small fleet in one process: peers that share a memory store and a manual clock, ticked by the test."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sentinel.fleet import tasks
from sentinel.fleet.balancers import find
from sentinel.fleet.observer import Observer
from sentinel.fleet.proof import NoProof
from sentinel.fleet.view import Reader, View
from sentinel.model.ids import IdSource
from sentinel.model.lease import LeaseTimes
from sentinel.model.task import Task
from sentinel.model.worker import Incarnation, Worker
from sentinel.peer.admission import Admission
from sentinel.peer.beat import Beat
from sentinel.peer.errands import Errands
from sentinel.peer.lease import Lease
from sentinel.peer.options import PeerOptions
from sentinel.peer.peer import Peer
from sentinel.peer.run.spec import ANY_LANE, RunSpec
from sentinel.peer.work import Counters, Work
from sentinel.store.base import Store
from sentinel.store.memory import MemoryFleet, MemoryStore
from sentinel.store.transact import Transactor
from sentinel.testing.clock import ManualClock
from sentinel.testing.overseer import ScriptedOverseer

TIMES = LeaseTimes(1.0, 5.0)


class Member:
    """One incarnation of one worker, all of its actors at hand."""

    def __init__(
        self,
        world: World,
        worker: str,
        *,
        store: Store | None = None,
        beat_store: Store | None = None,
        max_tasks: int = 2,
        warm: bool = False,
        types: tuple[str, ...] = ("work",),
        role: str | None = None,
        region: str | None = None,
        errands: Errands | None = None,
        observer: Observer | None = None,
        **options: Any,
    ) -> None:
        self.worker = worker
        self.store = store or MemoryStore(world.fleet)
        self.incarnation = Incarnation(
            id=world.ids.ulid(),
            worker=worker,
            hostname=f"host-of-{worker}",
            ttl=TIMES.stale,
            interval=TIMES.interval,
        )
        self.overseer = ScriptedOverseer(world.clock)
        self.lease = Lease(world.clock, self.overseer.extend)
        self.observer = observer or Observer()
        self.transactor = Transactor(self.store, world.clock, world.rng, world.ids, patience=1.0)
        peer_options = PeerOptions(
            worker=worker,
            times=TIMES,
            max_tasks=max_tasks,
            types=frozenset(types),
            balancer=find("least_loaded"),
            **options,
        )
        counters = Counters()
        self.work = Work(
            options=peer_options,
            transactor=self.transactor,
            overseer=self.overseer,
            lease=self.lease,
            plan=self._plan,
            ended=lambda spec: None,
            counters=counters,
        )
        self.peer = Peer(
            options=peer_options,
            incarnation=self.incarnation,
            transactor=self.transactor,
            work=self.work,
            lease=self.lease,
            observer=self.observer,
            proof=NoProof(),
            counters=counters,
            housekeeping=lambda view: None,
            errands=errands,
        )
        self.admission = Admission(
            transactor=self.transactor,
            worker=Worker(
                id=worker,
                incarnation="",
                hostname=f"host-of-{worker}",
                max_tasks=max_tasks,
                types=types,
                role=role,
                region=region,
            ),
            incarnation=self.incarnation,
            observer=self.observer,
            proof=NoProof(),
            rhythm=None if peer_options.pacing is None else peer_options.rhythm,
        )
        self.beat = Beat(
            store=beat_store or MemoryStore(world.fleet),
            clock=world.clock,
            incarnation=self.incarnation.id,
            worker=worker,
            lease=self.lease,
            load=lambda: self.peer.load,
            changed=lambda: None,
        )
        self._folder = world.folder
        self._warm = warm

    def _plan(self, task: Task) -> RunSpec:
        return RunSpec(
            run=f"{task.id}@{task.epoch}",
            argv=("work",),
            env={},
            cwd="/",
            log_path=str(self._folder / f"{task.id}-{task.epoch}.log"),
            progress_path=str(self._folder / f"{task.id}-{task.epoch}.progress"),
            result_path=str(self._folder / f"{task.id}-{task.epoch}.json"),
            lane=ANY_LANE if self._warm else None,
        )

    @property
    def runs(self) -> list[str]:
        """Names of the runs that go on here, as ``task@epoch``."""
        return sorted(self.overseer.runs)


class World:
    """The shared state, the shared clock, and what a client does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.rng = random.Random(7)
        self.ids = IdSource(self.rng, self.clock.wall)
        self.fleet = MemoryFleet()
        self.client = Transactor(MemoryStore(self.fleet), self.clock, self.rng, self.ids)

    def member(self, worker: str, **more: object) -> Member:
        """A joined peer whose first beat is confirmed."""
        member = Member(self, worker, **more)  # type: ignore[arg-type]  # forwarded as they are
        assert member.admission.attempt()
        assert member.beat.beat()
        return member

    def submit(self, *ids: str, **fields: object) -> None:
        """Submit tasks of type ``work``."""
        for task_id in ids:
            task = Task(id=task_id, type="work", created_at=f"2026-11-22T00:00:0{len(task_id)}Z", **fields)  # type: ignore[arg-type]  # forwarded
            self._submit(task)

    def _submit(self, task: Task) -> None:
        self.client.transact(
            lambda snapshot: tasks.submit(
                self.client.change(snapshot), snapshot, task, wall=self.clock.wall()
            )
        )

    def change(self, decide: Callable[..., object], task_id: str, **more: object) -> None:
        """Let a person cancel or retry a task."""
        self.client.transact(
            lambda snapshot: decide(  # type: ignore[arg-type, return-value]  # cancel and retry differ in extras only
                self.client.change(snapshot), snapshot, task_id, wall=self.clock.wall(), **more
            )
        )

    def view(self) -> View:
        """The state as it is now."""
        return Reader().view(MemoryStore(self.fleet).read())

    def task(self, task_id: str) -> Task:
        """A task as it is now."""
        found = self.view().task(task_id)
        assert found is not None
        return found

    def settle(self, *members: Member, rounds: int = 3) -> None:
        """Tick each member some times, without time passing."""
        for _ in range(rounds):
            for member in members:
                member.peer.tick()

    def pass_time(self, seconds: float, *members: Member, step: float = 0.5) -> None:
        """Let time pass while ``members`` beat and tick; everybody else is silent."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
            for member in members:
                member.beat.beat()
                member.peer.tick()
