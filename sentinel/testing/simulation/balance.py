"""How well a fleet shares its work, compared with one that knows everything: for `docs/balancing.md`.

The peers, the store and the clocks are those of the simulator, without faults; the tasks differ in type,
region, priority and, by a heavy-tailed distribution, in length. A central list scheduler gets the very same
tasks and slots: it knows how long each task takes, and acts at once and for nothing.
"""

from __future__ import annotations

import dataclasses
import json
import random
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sentinel.client import Client, ClientOptions
from sentinel.fleet.balancers import configured
from sentinel.fleet.patterns import GroupBy, Pattern
from sentinel.fleet.queue import PATIENCE
from sentinel.fleet.submission import Declared, Submission
from sentinel.model.lease import LeaseTimes
from sentinel.model.task import PRIORITIES
from sentinel.model.worker import Worker
from sentinel.peer.options import PeerOptions
from sentinel.peer.run import context
from sentinel.peer.run.plan import Planner, Workshop
from sentinel.peer.run.registered import Registered
from sentinel.peer.run.spec import RunCause, RunSpec
from sentinel.peer.work import Plan
from sentinel.store.base import Conflicted, Outcome, Transaction
from sentinel.testing.checker import Checker
from sentinel.testing.simulation.baton import Baton
from sentinel.testing.simulation.clock import Timing
from sentinel.testing.simulation.fleet import serve_as
from sentinel.testing.simulation.loss import Loss
from sentinel.testing.simulation.machine import Machine, Process, Universe
from sentinel.testing.simulation.mixture import TYPES, Order, draw_orders, draw_workers, list_schedule
from sentinel.testing.simulation.network import Weather
from sentinel.testing.simulation.server import Server
from sentinel.testing.simulation.supervisor import Course
from sentinel.testing.simulation.trace import Trace

#: Virtual seconds after which a fleet that has not finished is given up.
_TOO_LONG = 7_200.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BalanceOptions:
    """What is measured; together with a seed it says all."""

    strategy: str = "least_loaded"
    #: The strategy's own options, as in the files.
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    pattern: Pattern = "peer_to_peer"
    group_by: GroupBy = "region"
    peers: int = 20
    tasks: int = 2_000
    #: Longest task in seconds.
    longest: float = 120.0
    #: What every task's length is multiplied with.
    stretch: float = 1.0
    #: Virtual seconds in which the second half of the tasks is handed in; the first half is there at once.
    within: float = 120.0
    times: LeaseTimes = dataclasses.field(default_factory=lambda: LeaseTimes(2.0, 10.0))
    poll: float = 1.0
    #: Whether the store tells of changes, as a local one does; otherwise peers look every ``poll``.
    watched: bool = False
    #: Whether a look is one exchange, as on a store far away; otherwise it is two.
    joined: bool = False
    #: Seconds that a message to the store takes at least, and on the average beyond that.
    latency: tuple[float, float] = (0.0005, 0.002)
    rebalance: float = 60.0
    #: Virtual seconds after which the worker that coordinates others is killed; None for never.
    kill_after: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What came of one seed."""

    #: Virtual seconds until everything had ended, and the same for the central list scheduler.
    makespan: float
    listed: float
    claims: int
    #: Transactions of peers that were refused because something had moved.
    conflicts: int
    #: Priority → mean seconds between being handed in and being started.
    waits: Mapping[str, float]
    #: How many later and more urgent tasks were started before one that was overdue, at most.
    overtaken: int
    #: Share of the tasks with a label that ran on the worker that most of their label ran on.
    at_home: float
    #: Seconds between the kill of the coordinator and the next claim of a task that was not assigned yet.
    idle_after_kill: float | None
    #: Seconds between that kill and when all that the dead worker ran was free again.
    freed_after_kill: float | None

    @property
    def ratio(self) -> float:
        """Makespan against that of the central list scheduler."""
        return self.makespan / self.listed

    @property
    def conflict_rate(self) -> float:
        """Conflicts per claimed task."""
        return self.conflicts / max(1, self.claims)


def measure(seed: int, options: BalanceOptions) -> Figures:
    """Run one fleet until all of its work is done. Raises `Violation` when an invariant does not hold."""
    with tempfile.TemporaryDirectory(prefix="sentinel-balance-") as folder:
        fleet = _Fleet(seed, options, Path(folder))
        try:
            return fleet.run()
        finally:
            fleet.close()


class _CountingServer(Server):
    """Counts what peers tried in vain."""

    conflicts = 0

    def commit(self, transactions: Sequence[Transaction]) -> list[Outcome]:
        """See `Server`."""
        outcomes = super().commit(transactions)
        self.conflicts += sum(isinstance(outcome, Conflicted) for outcome in outcomes)
        return outcomes


def work(seconds: float) -> None:
    """What a measured task is asked to do."""
    del seconds


_WORKSHOP = Workshop(
    python="python3",
    cwd="/",
    types={name: Registered(name=name, function=work, module=__name__) for name in TYPES},
    shell=False,
)


def _make_plan(folder: Path) -> Plan:
    return Planner(_WORKSHOP, folder=folder, environ={})


class _Fleet:
    def __init__(self, seed: int, options: BalanceOptions, folder: Path) -> None:
        self._options = options
        rng = random.Random(f"{seed}/scenario")
        self._workers = draw_workers(rng, options.peers)
        self._orders = draw_orders(
            rng,
            self._workers,
            options.tasks,
            within=options.within,
            longest=options.longest,
            stretch=options.stretch,
        )
        trace = Trace()
        self._baton = Baton(random.Random(f"{seed}/order"), trace.switched)
        self._checker = Checker()
        self._server = _CountingServer(self._baton, self._checker, trace)
        self._universe = Universe(
            seed=str(seed),
            baton=self._baton,
            trace=trace,
            checker=self._checker,
            server=self._server,
            weather=Weather(latency=options.latency),
            programs=self,
            folder=folder,
            timeout=options.times.write_timeout,
            watched=options.watched,
            joined=options.joined,
        )
        self._daemons: dict[str, Process] = {}
        #: Task → (worker, when it began).
        self._began: dict[str, tuple[str, float]] = {}
        self._began_at = 0.0
        self._ended_at = 0.0
        self._loss = Loss(
            self._baton,
            state=lambda: dict(self._server.fleet.head.state),
            kill=lambda worker: self._daemons[worker].kill(),
        )

    # -- the programs ----------------------------------------------------------------------------------

    def course(self, spec: RunSpec) -> Course:
        """See `Programs`."""
        assert spec.result_path is not None
        result = Path(spec.result_path)
        seconds = json.loads(spec.stdin or "{}")["args"]["seconds"]
        return Course(seconds=seconds, leave=lambda: _leave(result))

    def began(self, incarnation: str, spec: RunSpec) -> None:
        """See `Programs`."""
        now, task = self._baton.now, spec.own[context.TASK_ID]
        order = json.loads(spec.stdin or "{}")
        told = {name: order[name] for name in ("type", "args", "positional")}
        self._checker.started(now, incarnation, spec.run, task, int(spec.own[context.FENCING_TOKEN]), told)
        self._began[task] = (self._runs_on(incarnation), now)
        self._loss.began(task)

    def gone(self, incarnation: str, spec: RunSpec, cause: RunCause) -> None:  # noqa: ARG002 - the port's
        """See `Programs`."""
        self._ended_at = self._baton.now
        self._checker.ended(self._baton.now, incarnation, spec.run)

    # -- the run ---------------------------------------------------------------------------------------

    def run(self) -> Figures:
        """See `measure`."""
        for worker in self._workers:
            self._start(worker)
        desk = Machine(self._universe, "desk", Timing(), proofs=False)
        # Everybody is there and knows of everybody before the work begins.
        self._baton.run(2 * self._options.times.interval)
        conflicts = self._server.conflicts
        self._began_at = self._baton.now
        desk.process("client", self._hand_in)
        if self._options.kill_after is not None:
            self._baton.after(self._options.kill_after, self._loss.strike)
        while len(self._checker.waiting) or len(self._began) < len(self._orders):
            self._baton.run(1.0)
            if self._baton.now > _TOO_LONG:
                break
        self._checker.at_rest(self._baton.now)
        return Figures(
            makespan=self._ended_at - self._began_at,
            listed=list_schedule(self._orders, self._workers),
            claims=self._checker.counts["claims"],
            conflicts=self._server.conflicts - conflicts,
            waits=self._waits(),
            overtaken=self._overtaken(),
            at_home=self._at_home(),
            idle_after_kill=self._loss.idle,
            freed_after_kill=self._loss.freed,
        )

    def close(self) -> None:
        """End everything."""
        self._baton.close()

    def _start(self, worker: Worker) -> None:
        options = self._options
        peer = PeerOptions(
            worker=worker.id,
            times=options.times,
            max_tasks=worker.max_tasks,
            types=frozenset(worker.types),
            balancer=configured(options.strategy, options.options, affinity=options.strategy == "affinity"),
            balancer_options=options.options,
            poll=options.poll,
            pattern=options.pattern,
            group_by=options.group_by,
            rebalance=options.rebalance,
        )
        machine = Machine(self._universe, worker.hostname, Timing(), proofs=False)
        self._daemons[worker.id] = machine.process(
            worker.id, lambda process: serve_as(process, worker, peer, _make_plan), max_tasks=worker.max_tasks
        )

    def _hand_in(self, process: Process) -> None:
        client = Client(
            process.open_store(),
            clock=process.machine.clock,
            rng=process.rng(),
            actor="client",
            options=ClientOptions(types={name: Declared(origin="the simulation") for name in TYPES}),
        )
        left = list(reversed(self._orders))
        while left:
            due = []
            while left and left[-1].at <= self._baton.now - self._began_at:
                due.append(left.pop())
            client.submit_many(
                [
                    Submission(
                        type=order.type,
                        args={"seconds": order.seconds},
                        id=order.id,
                        priority=order.priority,
                        affinity=order.affinity,
                        timeout=10 * self._options.longest * self._options.stretch,
                    )
                    for order in due
                ]
            )
            self._baton.sleep(1.0)

    def _runs_on(self, incarnation: str) -> str:
        return next(worker for worker, process in self._daemons.items() if process.incarnation == incarnation)

    # -- the figures -----------------------------------------------------------------------------------

    def _wait(self, order: Order) -> float:
        return self._began[order.id][1] - self._began_at - order.at

    def _waits(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for priority in PRIORITIES:
            waits = [self._wait(order) for order in self._orders if order.priority == priority]
            found[priority] = sum(waits) / max(1, len(waits))
        return found

    def _overtaken(self) -> int:
        """See `Figures.overtaken`; tasks that demand something else could not have had the slot."""
        groups: dict[tuple[str, str | None], list[Order]] = {}
        for order in self._orders:
            groups.setdefault((order.type, order.affinity.get("region")), []).append(order)
        most = 0
        for orders in groups.values():
            for order in orders:
                started = self._began[order.id][1]
                rank = PRIORITIES.index(order.priority)
                later = [
                    other
                    for other in orders
                    if PRIORITIES.index(other.priority) < rank
                    and other.at - order.at > PATIENCE
                    and self._began[other.id][1] < started
                ]
                most = max(most, len(later))
        return most

    def _at_home(self) -> float:
        homes: dict[str, dict[str, int]] = {}
        for order in self._orders:
            label = order.affinity.get("project")
            if label is not None:
                home = homes.setdefault(label, {})
                worker = self._began[order.id][0]
                home[worker] = home.get(worker, 0) + 1
        total = sum(sum(home.values()) for home in homes.values())
        return sum(max(home.values()) for home in homes.values()) / max(1, total)


def _leave(path: Path) -> None:
    path.write_text('{"result": null}')
