"""What a fleet costs on a store with limits: the product's own daemons in virtual time, each call counted.

::

    measured = measure(Economy(workers=10, minutes=60), lambda clock: governor(clock))
    measured.worst_minute

Nothing goes wrong here, and nobody waits: an hour of ten workers takes seconds. What one exchange costs is
known (a commit is one push, a look one read) and tried elsewhere against a real Git server.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import json
import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from sentinel.client import Client, ClientOptions
from sentinel.clock import Clock, from_rfc3339
from sentinel.fleet.balancers import find
from sentinel.fleet.duty import MakeDuties, Workplace
from sentinel.fleet.pacing import Pacing
from sentinel.fleet.submission import Declared, Submission
from sentinel.model import layout
from sentinel.model.lease import LeaseTimes
from sentinel.model.worker import Worker
from sentinel.peer.options import PeerOptions
from sentinel.peer.run.spec import RunCause, RunSpec
from sentinel.store.base import (
    Committed,
    Conflicted,
    Expected,
    Outcome,
    Register,
    Store,
    Transaction,
    Written,
)
from sentinel.testing.checker import Checker, Sender
from sentinel.testing.simulation.baton import Baton
from sentinel.testing.simulation.clock import EPOCH, Timing
from sentinel.testing.simulation.fleet import serve_as
from sentinel.testing.simulation.machine import Machine, Process, Universe
from sentinel.testing.simulation.network import Weather
from sentinel.testing.simulation.server import Server
from sentinel.testing.simulation.supervisor import Course
from sentinel.testing.simulation.trace import Trace
from sentinel.testing.simulation.workload import WORK, make_plan

#: Makes the pacing of one daemon on its machine's clock.
MakePacing = Callable[[Clock], Pacing]
#: Opens a connection of a process, whose exchanges may take so many seconds each.
MakeStore = Callable[[Process, float | None], Store]


class Outside(Protocol):
    """What is outside of the store: where tasks come from, and what the daemons do about it."""

    def begin(self, baton: Baton) -> None:
        """Virtual time begins."""

    #: Opens connections to the store there, where that is not to be the simulator's.
    stores: MakeStore | None

    def duties(self, clock: Clock) -> tuple[MakeDuties, Workplace]:
        """The duties of one daemon on its machine's clock."""

    def ask(self, number: int, seconds: float) -> None:
        """Somebody wants the ``number``-th task, which is to run for so many seconds."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Economy:
    """What is measured."""

    workers: int
    #: Virtual minutes that count, and those before them in which the fleet gathers.
    minutes: float = 60.0
    gathering: float = 15.0
    tasks_an_hour: float = 0.0
    #: Mean seconds that a task runs.
    seconds: float = 10.0
    slots: int = 4
    #: Seconds between two rounds in which new tasks are handed in, in one commit.
    intake: float = 60.0
    #: Where tasks come from, instead of that.
    outside: Outside | None = None
    times: LeaseTimes = dataclasses.field(default_factory=lambda: LeaseTimes(30.0, 120.0))
    seed: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was sent in the minutes that count."""

    minutes: float
    #: Kind (``beat``, ``state``, ``outputs``) → when it was pushed, in seconds since the counting began.
    pushes: Mapping[str, Sequence[float]]
    looks: int
    #: Tasks that ended, and the mean seconds from handing in until that was recorded.
    ended: int
    mean_latency: float
    #: What the last beats announced, in seconds.
    intervals: tuple[float, ...]
    ttls: tuple[float, ...]

    @property
    def moments(self) -> list[float]:
        """When anything was pushed."""
        return sorted(moment for moments in self.pushes.values() for moment in moments)

    @property
    def pushes_a_minute(self) -> float:
        """On the average."""
        return len(self.moments) / self.minutes

    @property
    def worst_minute(self) -> int:
        """Most pushes in any sixty seconds."""
        moments = self.moments
        return max(
            (bisect.bisect_left(moments, moment + 60.0) - place for place, moment in enumerate(moments)),
            default=0,
        )

    @property
    def reads_a_second(self) -> float:
        """On the average."""
        return self.looks / (60.0 * self.minutes)


class _Counting(Server):
    """The store, with what is asked of it written down."""

    def __init__(self, baton: Baton, checker: Checker, trace: Trace) -> None:
        super().__init__(baton, checker, trace)
        self.clock = baton
        self.pushes: dict[str, list[float]] = {"beat": [], "state": [], "outputs": []}
        self.looks: list[float] = []
        #: When something was pushed that a beat may have been taken along with.
        self._carried_at = -1.0
        self.announced: dict[str, tuple[float, float]] = {}

    def commit(self, transactions: Sequence[Transaction]) -> list[Outcome]:
        before = self.revision
        outcomes = super().commit(transactions)
        if self.revision != before:
            self.pushes["state"].append(self.clock.now)
            self._carried_at = self.clock.now
        return outcomes

    def publish(
        self, name: str, document: Written, expect: Expected, *, sent_at: float, sender: Sender
    ) -> Committed | Conflicted:
        outcome = super().publish(name, document, expect, sent_at=sent_at, sender=sender)
        if isinstance(outcome, Committed):
            # One that was taken along is no push of its own.
            if self.clock.now != self._carried_at:
                self.pushes["beat"].append(self.clock.now)
            if isinstance(document, dict):
                self.announced[name] = (document["interval"], document["ttl"])
        return outcome

    def keep(self, blobs: Sequence[bytes]) -> list[str]:
        self.pushes["outputs"].append(self.clock.now)
        self._carried_at = self.clock.now
        return super().keep(blobs)

    def registers(self, lag: float, at_least: int) -> tuple[int, Mapping[str, Register]]:
        # A look is the state with the sessions, in one exchange.
        self.looks.append(self.clock.now)
        return super().registers(lag, at_least)


class _Programs:
    """Tasks that run for a while, and write a line and a result."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def course(self, spec: RunSpec) -> Course:
        """See `Programs`."""
        assert spec.stdin is not None
        seconds = json.loads(spec.stdin)["args"]["seconds"]

        def leave() -> None:
            Path(spec.log_path).write_text("done\n")
            if spec.result_path is not None:
                Path(spec.result_path).write_text('{"result": 1}')

        return Course(seconds=seconds * self._rng.uniform(0.5, 1.5), leave=leave)

    def began(self, incarnation: str, spec: RunSpec) -> None:
        """See `Programs`."""

    def gone(self, incarnation: str, spec: RunSpec, cause: RunCause) -> None:
        """See `Programs`."""


def measure(economy: Economy, make_pacing: MakePacing) -> Measured:
    """Run the fleet and count. Raises `Violation` when an invariant does not hold."""
    with tempfile.TemporaryDirectory(prefix="sentinel-economy-") as folder:
        return _Run(economy, make_pacing, Path(folder)).run()


class _Run:
    def __init__(self, economy: Economy, make_pacing: MakePacing, folder: Path) -> None:
        self._economy = economy
        self._make_pacing = make_pacing
        self._rng = random.Random(f"{economy.seed}/economy")
        trace, checker = Trace(), Checker()
        self._baton = Baton(random.Random(f"{economy.seed}/order"), trace.switched)
        self._server = _Counting(self._baton, checker, trace)
        self._universe = Universe(
            seed=str(economy.seed),
            baton=self._baton,
            trace=trace,
            checker=checker,
            server=self._server,
            weather=Weather(latency=(0.1, 0.05), left_behind=0.0),
            programs=_Programs(random.Random(f"{economy.seed}/tasks")),
            folder=folder,
            timeout=15.0,
            watched=False,
            stores=None if economy.outside is None else economy.outside.stores,
        )
        self._begin_at = economy.gathering * 60.0
        self._end_at = self._begin_at + economy.minutes * 60.0

    def run(self) -> Measured:
        """See `measure`."""
        economy = self._economy
        if economy.outside is not None:
            economy.outside.begin(self._baton)
        try:
            for number in range(1, economy.workers + 1):
                machine = self._machine(f"host{number}")
                # A fleet does not gather in one moment.
                pause = self._begin_at / 2 * number / economy.workers
                self._baton.after(pause, functools.partial(self._start, machine, number))
            if economy.tasks_an_hour:
                self._machine("desk").process("intake", self._hand_in)
            self._baton.run(self._end_at)
            return self._measured()
        finally:
            self._baton.close()

    def _machine(self, name: str) -> Machine:
        return Machine(self._universe, name, Timing(), proofs=False)

    def _start(self, machine: Machine, number: int) -> None:
        economy = self._economy

        duties, place = (None, None) if economy.outside is None else economy.outside.duties(machine.clock)

        name = f"worker-{number:03}"
        worker = Worker(
            id=name, incarnation="", hostname=machine.name, max_tasks=economy.slots, types=(WORK,)
        )
        peer = PeerOptions(
            worker=name,
            times=economy.times,
            max_tasks=economy.slots,
            types=frozenset((WORK,)),
            balancer=find("least_loaded"),
            poll=economy.times.poll(remote=True),
            pacing=self._make_pacing(machine.clock),
        )

        def daemon(process: Process) -> None:
            serve_as(process, worker, peer, functools.partial(make_plan, name), duties=duties, place=place)

        machine.process(name, daemon, max_tasks=economy.slots)

    def _hand_in(self, process: Process) -> None:
        """Ask for tasks at irregular times; without an outside, they are handed in as intake does it."""
        economy, baton = self._economy, self._baton
        a_second = economy.tasks_an_hour / 3600.0
        due, number = self._begin_at / 2, 0
        client = Client(
            process.open_store(),
            clock=process.machine.clock,
            rng=self._rng,
            actor="intake",
            options=ClientOptions(types={WORK: Declared(origin="the economy")}),
        )
        pause = economy.intake if economy.outside is None else 1.0
        while True:
            baton.sleep(pause)
            wanted = []
            while due < baton.now:
                due += self._rng.uniform(0.2, 1.8) / a_second
                number += 1
                seconds = self._rng.expovariate(1.0) * economy.seconds
                if economy.outside is not None:
                    economy.outside.ask(number, seconds)
                else:
                    wanted.append(Submission(type=WORK, args={"seconds": seconds}, id=f"task-{number}"))
            # What came since the last round goes in one commit.
            if wanted:
                client.submit_many(wanted)

    def _measured(self) -> Measured:
        begin, server = self._begin_at, self._server
        ended = self._ended()
        return Measured(
            minutes=self._economy.minutes,
            pushes={
                kind: [moment - begin for moment in moments if moment >= begin]
                for kind, moments in server.pushes.items()
            },
            looks=sum(moment >= begin for moment in server.looks),
            ended=len(ended),
            mean_latency=sum(ended) / max(1, len(ended)),
            intervals=tuple(sorted(interval for interval, _ in server.announced.values())),
            ttls=tuple(sorted(ttl for _, ttl in server.announced.values())),
        )

    def _ended(self) -> list[float]:
        """Seconds from handing in to the record of the end, of every task that ended in the counted time."""
        snapshot = self._server.snapshot(0.0, 0)
        found = []
        for folder in (layout.TASKS, layout.DONE):
            for key in snapshot.list(folder):
                document = snapshot.get(key)
                assert document is not None
                if document["state"] == "done":
                    at = from_rfc3339(document["finished_at"])
                    if at >= EPOCH + self._begin_at:
                        found.append(at - from_rfc3339(document["created_at"]))
        return found
