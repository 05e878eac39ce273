"""How well a fleet shares its work, compared with one that knows everything: for `docs/balancing.md`.

The peers, the store and the clocks are those of the simulator, without faults; the tasks differ in type,
region, priority and, by a heavy-tailed distribution, in length. A central list scheduler gets the very same
tasks and slots: it knows how long each task takes, and acts at once and for nothing.
"""

from __future__ import annotations

import dataclasses
import heapq
import json
import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sentinel.client import Client, ClientOptions
from sentinel.fleet.balancers import configured
from sentinel.fleet.patterns import GroupBy, Pattern
from sentinel.fleet.queue import PATIENCE
from sentinel.fleet.submission import Declared, Submission
from sentinel.model import layout
from sentinel.model.lease import LeaseTimes
from sentinel.model.task import PRIORITIES, Task
from sentinel.model.worker import Worker
from sentinel.peer.options import PeerOptions
from sentinel.peer.run import context
from sentinel.peer.run.plan import Workshop, plan
from sentinel.peer.run.registered import Registered
from sentinel.peer.run.spec import RunCause, RunSpec
from sentinel.peer.work import Plan
from sentinel.store.base import Conflicted, Outcome, Transaction
from sentinel.testing.checker import Checker
from sentinel.testing.simulation.baton import Baton
from sentinel.testing.simulation.clock import Timing
from sentinel.testing.simulation.fleet import serve_as
from sentinel.testing.simulation.machine import Machine, Process, Universe
from sentinel.testing.simulation.network import Weather
from sentinel.testing.simulation.server import Server
from sentinel.testing.simulation.supervisor import Course
from sentinel.testing.simulation.trace import Trace

TYPES = ("build", "test", "deploy")
REGIONS = ("us-east-1", "eu-west-1", "ap-south-1")
#: Shortest task in seconds, and the exponent of the Pareto distribution from there on.
SHORTEST, TAIL = 2.0, 1.2
_PROJECTS = 40
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
    #: Seconds that a message to the store takes at least, and on the average beyond that.
    latency: tuple[float, float] = (0.0005, 0.002)
    rebalance: float = 60.0
    #: Virtual seconds after which the worker that coordinates others is killed; None for never.
    kill_after: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One task that is handed in."""

    id: str
    at: float
    seconds: float
    type: str
    priority: str
    affinity: Mapping[str, str]

    def fits(self, worker: Worker) -> bool:
        """Whether the worker may run it."""
        return self.type in worker.types and self.affinity.get("region", worker.region) == worker.region


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


def draw_workers(rng: random.Random, count: int) -> list[Worker]:
    """A mixed fleet: three regions, machines of three sizes, most of which run two of the three types."""
    workers = []
    for number in range(count):
        size = rng.choice((1, 2, 4))
        left_out = TYPES[number % 4] if number % 4 < len(TYPES) else None
        workers.append(
            Worker(
                id=f"w{number + 1:02}",
                incarnation="",
                hostname=f"host-{number + 1}",
                region=REGIONS[number % len(REGIONS)],
                max_tasks=size + 1,
                types=tuple(name for name in TYPES if name != left_out),
                cpu_cores=2 * size,
                memory_mb=4096 * size,
            )
        )
    return workers


def draw_orders(rng: random.Random, options: BalanceOptions, workers: Sequence[Worker]) -> list[Order]:
    """Mixed tasks, half of them at once; each fits one of ``workers`` at least."""
    orders = []
    count = options.tasks
    for number in range(count):
        affinity = {"project": f"p{rng.randrange(_PROJECTS)}"} if rng.random() < 0.5 else {}
        if rng.random() < 0.3:
            affinity["region"] = rng.choice(REGIONS)
        order = Order(
            id=f"t{number:05}",
            at=0.0 if number < count // 2 else rng.uniform(0.0, options.within),
            seconds=options.stretch * _bounded_pareto(rng, options.longest),
            type=rng.choice(TYPES),
            priority=rng.choices(PRIORITIES, (1, 3, 10, 6))[0],
            affinity=affinity,
        )
        if not any(order.fits(worker) for worker in workers):
            order = dataclasses.replace(order, affinity={})
        orders.append(order)
    return sorted(orders, key=lambda order: (order.at, order.id))


def _bounded_pareto(rng: random.Random, longest: float) -> float:
    low, high = SHORTEST**TAIL, longest**TAIL
    u = rng.random()
    return float((-(u * high - u * low - high) / (high * low)) ** (-1.0 / TAIL))


def list_schedule(orders: Sequence[Order], workers: Sequence[Worker]) -> float:
    """Seconds until all has ended when one scheduler knows all: the better of longest and oldest first."""
    rank: Sequence[Callable[[Order], Any]] = (
        lambda order: (-order.seconds, order.id),
        lambda order: (order.at, order.id),
    )
    return min(_list_schedule(orders, workers, key) for key in rank)


def _list_schedule(orders: Sequence[Order], workers: Sequence[Worker], rank: Callable[[Order], Any]) -> float:
    # Workers that fit fewer tasks are filled first.
    by_choice = sorted(workers, key=lambda worker: (len(worker.types), worker.id))
    free = {worker.id: worker.max_tasks for worker in workers}
    ends: list[tuple[float, str]] = []
    coming = sorted(orders, key=lambda order: order.at, reverse=True)
    waiting: list[Order] = []
    now = last = 0.0
    while coming or waiting or ends:
        while coming and coming[-1].at <= now:
            waiting.append(coming.pop())
        while ends and ends[0][0] <= now:
            free[heapq.heappop(ends)[1]] += 1
        waiting.sort(key=rank)
        left = []
        for place, order in enumerate(waiting):
            if not any(free.values()):
                left += waiting[place:]
                break
            worker = next((worker for worker in by_choice if free[worker.id] and order.fits(worker)), None)
            if worker is None:
                left.append(order)
                continue
            free[worker.id] -= 1
            heapq.heappush(ends, (now + order.seconds, worker.id))
            last = max(last, now + order.seconds)
        waiting = left
        moments = [ends[0][0]] if ends else []
        moments += [coming[-1].at] if coming else []
        if not moments:
            break
        now = min(moments)
    assert not waiting, "some task fits no worker"
    return last


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
    def make(task: Task) -> RunSpec:
        return plan(task, _WORKSHOP, folder=folder, environ={})

    return make


class _Fleet:
    def __init__(self, seed: int, options: BalanceOptions, folder: Path) -> None:
        self._options = options
        rng = random.Random(f"{seed}/scenario")
        self._workers = draw_workers(rng, options.peers)
        self._orders = draw_orders(rng, options, self._workers)
        self._by_id = {order.id: order for order in self._orders}
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
        )
        self._daemons: dict[str, Process] = {}
        #: Task → (worker, when it began).
        self._began: dict[str, tuple[str, float]] = {}
        self._began_at = 0.0
        self._ended_at = 0.0
        self._killed_at: float | None = None
        self._idle_after_kill: float | None = None
        self._assigned: set[str] = set()

    # -- the programs ----------------------------------------------------------------------------------

    def course(self, spec: RunSpec) -> Course:
        """See `Programs`."""
        assert spec.result_path is not None
        result = Path(spec.result_path)
        seconds = json.loads(spec.stdin or "{}")["args"]["seconds"]
        return Course(seconds=seconds, leave=lambda: _leave(result))

    def began(self, incarnation: str, spec: RunSpec) -> None:
        """See `Programs`."""
        now, task = self._baton.now, spec.env[context.TASK_ID]
        order = json.loads(spec.stdin or "{}")
        told = {name: order[name] for name in ("type", "args", "positional")}
        self._checker.started(now, incarnation, spec.run, task, int(spec.env[context.FENCING_TOKEN]), told)
        self._began[task] = (self._runs_on(incarnation), now)
        if self._killed_at is not None and self._idle_after_kill is None and task not in self._assigned:
            self._idle_after_kill = now - self._killed_at

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
            self._baton.after(self._options.kill_after, self._kill_the_coordinator)
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
            idle_after_kill=self._idle_after_kill,
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

    def _kill_the_coordinator(self) -> None:
        head = self._server.fleet.head.state
        held = [json.loads(data) for key, data in head.items() if key.startswith(layout.LOCKS)]
        holders = sorted(lock["holder"] for lock in held if lock["holder"] is not None)
        if holders:
            self._killed_at = self._baton.now
            for key, data in head.items():
                if key.startswith(layout.ASSIGNMENTS):
                    self._assigned |= set(json.loads(data)["tasks"])
            self._daemons[holders[0]].kill()

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
