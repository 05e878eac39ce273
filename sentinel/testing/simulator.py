"""Many unmodified peers in one process, in virtual time, with everything going wrong that may go wrong.

::

    report = simulate(seed=7, options=SimulationOptions(minutes=30, peers=5))
    assert report.violation is None, report.timeline

The daemons, guards and clients are the product's own, each in threads of which only one runs at a time (see
`sentinel.testing.simulation.baton`). Clocks, the way to the store, supervisors and tasks are simulated. What
happens is a function of the seed and the options alone: the same seed gives the same trace hash, on any
machine. Everything that happens is judged by a `sentinel.testing.checker.Checker`.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import random
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sentinel.fleet.patterns import Pattern
from sentinel.model.lease import LeaseTimes
from sentinel.model.retention import Terms
from sentinel.testing.checker import Checker, Violation
from sentinel.testing.simulation.baton import Baton
from sentinel.testing.simulation.faults import FAULTS, Misfortune
from sentinel.testing.simulation.fleet import Workers, draw_timing
from sentinel.testing.simulation.machine import Machine, Process, Universe
from sentinel.testing.simulation.network import Weather
from sentinel.testing.simulation.server import Server
from sentinel.testing.simulation.trace import Trace, TraceHandler
from sentinel.testing.simulation.workload import (
    LOCKS,
    Executions,
    Person,
    Wishes,
    hold_tickets,
    keep_values,
    look_on,
    prune_locks,
    run_guarded,
)

NEVER_PRUNED = Terms(seconds=1e9, count=1_000_000)
#: How often peers beat and when they are stale, as people configure it; drawn for each seed.
_TIMES = (
    LeaseTimes(1.0, 5.0),
    LeaseTimes(2.0, 10.0),
    LeaseTimes(2.0, 10.0),
    LeaseTimes(5.0, 30.0),
    LeaseTimes(5.0, 30.0),
)
#: Where files are that live in memory.
_MEMORY = "/dev/shm"
#: Most peers that a store tells of every change.
_MOST_WATCHERS = 10
#: Part of the seeds in which the daemons are paced.
_PACED = 0.25
#: How long, and how many, ended tasks are kept; drawn for each seed; in the shortest, names go, too.
_RETENTIONS = (
    NEVER_PRUNED,
    Terms(seconds=60.0, count=1_000),
    Terms(seconds=800.0, count=1_000),
    Terms(seconds=900.0, count=20),
)
#: Virtual seconds, after the last fault, in which everything must have ended.
SETTLED_WITHIN = 1_800.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SimulationOptions:
    """What is simulated; together with a seed it says all."""

    #: Virtual minutes in which work is handed in and things go wrong; the time to settle comes on top.
    minutes: float = 30.0
    peers: int = 5
    #: Tasks that are handed in, by all people together.
    tasks: int = 120
    people: int = 2
    #: Mean virtual seconds that a task runs.
    seconds: float = 8.0
    #: Tasks that one peer runs at a time.
    slots: int = 3
    #: Who assigns tasks to whom.
    pattern: Pattern = "peer_to_peer"
    #: Fault → how often it happens compared with the others.
    faults: Mapping[str, float] = dataclasses.field(default_factory=lambda: dict(FAULTS))
    #: Mean virtual seconds between two faults.
    fault_every: float = 20.0
    #: Fixed times; None draws them from the seed.
    times: LeaseTimes | None = None
    #: Whether limits of the store pace the daemons, in their own way each; None draws it from the seed.
    paced: bool | None = None
    #: How long ended tasks are kept; None draws it from the seed, `NEVER_PRUNED` keeps them all.
    retention: Terms | None = None
    #: Whether scripts hold locks, too.
    locks: bool = True
    #: Whether programs keep values in shared memory, too.
    memory: bool = False
    #: Share of the tasks that take their worker down.
    deadly: float = 0.01
    #: Share of the tasks that only one worker can run.
    particular: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of one seed."""

    seed: int
    violation: Violation | None
    #: SHA-256 over everything that happened, in order.
    digest: str
    #: Virtual seconds that went by.
    seconds: float
    switches: int
    counts: Mapping[str, int]
    faults: Mapping[str, int]
    #: The last events before a violation; empty without one.
    timeline: str


def simulate(seed: int, options: SimulationOptions | None = None) -> Report:
    """Run one seed to its end or to the first violation. Raises what product code raised by mistake."""
    # A file that is replaced every few virtual seconds need not reach a disk.
    memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="sentinel-simulation-", dir=memory) as folder:
        return _Simulation(seed, options or SimulationOptions(), Path(folder)).run()


class _Simulation:
    def __init__(self, seed: int, options: SimulationOptions, folder: Path) -> None:
        self._seed = seed
        self._options = options
        rng = self._rng = random.Random(f"{seed}/scenario")
        self._times = options.times or rng.choice(_TIMES)
        self._trace = Trace()
        self._baton = Baton(random.Random(f"{seed}/order"), self._trace.switched)
        retention = options.retention or random.Random(f"{seed}/retention").choice(_RETENTIONS)
        self._checker = Checker(retention)
        self._weather = Weather(latency=rng.choice(((0.0005, 0.002), (0.005, 0.02), (0.03, 0.08))))
        executions = Executions(self._baton, self._trace, self._checker, random.Random(f"{seed}/tasks"))
        self._universe = Universe(
            seed=str(seed),
            baton=self._baton,
            trace=self._trace,
            checker=self._checker,
            server=Server(self._baton, self._checker, self._trace),
            weather=self._weather,
            programs=executions,
            folder=folder,
            timeout=self._times.write_timeout,
            # Only peers on few hosts are told of changes; a large fleet looks by itself.
            watched=rng.random() < 0.5 and options.peers <= _MOST_WATCHERS,
        )
        # As on a local store, where peers share hosts and prove each other dead, or a machine each.
        together = rng.random() < 0.4
        hosts = [
            self._machine(f"host{number + 1}", proofs=together)
            for number in range(max(1, options.peers // 3) if together else options.peers)
        ]
        self._others = [self._machine(f"desk{number + 1}") for number in range(options.people)]
        self._spare = self._machine("spare")
        self._workers = Workers(
            self._universe,
            random.Random(f"{seed}/workers"),
            hosts=hosts,
            spare=self._spare,
            others=self._others,
            count=options.peers,
            times=self._times,
            poll=self._times.interval,
            slots=options.slots,
            pattern=options.pattern,
            retention=retention,
            paced=random.Random(f"{seed}/paced").random() < _PACED
            if options.paced is None
            else options.paced,
        )
        executions.take_down = self._workers.take_down
        self._faulty_until = options.minutes * 60.0
        self._misfortune = Misfortune(
            baton=self._baton,
            trace=self._trace,
            rng=random.Random(f"{seed}/faults"),
            weather=self._weather,
            server=self._universe.server,
            fleet=self._workers,
            weights=options.faults,
            stale=self._times.stale,
            every=options.fault_every,
            until=self._faulty_until,
        )

    def run(self) -> Report:
        """See `simulate`."""
        violation: Violation | None = None
        with _traced(self._trace, self._baton):
            try:
                self._run()
            except Violation as found:
                violation = found
            except BaseException as error:
                error.add_note(f"seed {self._seed}; what happened before:\n{self._trace.timeline()}")
                raise
            finally:
                digest, switches, now = self._trace.digest, self._trace.switches, self._baton.now
                timeline = "" if violation is None else self._trace.timeline()
                self._baton.close()
        return Report(
            seed=self._seed,
            violation=violation,
            digest=digest,
            seconds=now,
            switches=switches,
            counts=self._checker.counts,
            faults=dict(sorted(self._misfortune.happened.items())),
            timeline=timeline,
        )

    def _run(self) -> None:
        self._workers.begin()
        self._misfortune.begin()
        people = self._begin_people()
        self._baton.run(self._faulty_until)
        self._workers.restart_within = 3.0
        self._trace.note(self._baton.now, "FAULT", "no more")
        until = self._faulty_until + SETTLED_WITHIN
        while self._baton.now < until:
            self._baton.run(5.0)
            if not self._checker.waiting and all(person.dead for person in people):
                break
        self._checker.at_rest(self._baton.now)

    def _begin_people(self) -> list[Process]:
        options, until = self._options, self._faulty_until
        wishes = Wishes(
            tasks=options.tasks // len(self._others),
            within=until * 0.9,
            seconds=options.seconds,
            deadly=options.deadly,
            particular=options.particular,
            workers=self._workers.names,
        )
        people = []
        for number, desk in enumerate(self._others, 1):
            people.append(
                desk.process(
                    f"person{number}",
                    lambda process: Person(process, self._checker, self._trace, wishes).live(),
                )
            )
        self._spare.process("onlooker", look_on)
        if options.locks:
            people += [
                desk.process("script", lambda process: hold_tickets(process, until)) for desk in self._others
            ]
            people.append(self._others[0].process("pruner", lambda process: prune_locks(process, until)))
            self._guard_later(random.Random(f"{self._seed}/guards"), 1)
        if options.memory:
            people += [
                desk.process("program", lambda process: keep_values(process, until)) for desk in self._others
            ]
        return people

    def _guard_later(self, rng: random.Random, number: int) -> None:
        def begin() -> None:
            if self._baton.now < self._faulty_until:
                machine = rng.choice(self._workers.machines)
                run_guarded(machine, rng.choice(LOCKS), f"guard{number}")
                self._guard_later(rng, number + 1)

        self._baton.after(rng.expovariate(1.0) * 40.0, begin)

    def _machine(self, name: str, *, proofs: bool = False) -> Machine:
        return Machine(
            self._universe, name, draw_timing(random.Random(f"{self._seed}/clock of {name}")), proofs=proofs
        )


@contextmanager
def _traced(trace: Trace, baton: Baton) -> Iterator[None]:
    """Take what the product logs into the trace, and keep it from everybody else."""
    logger = logging.getLogger("sentinel")
    handler = TraceHandler(lambda line: trace.note(baton.now, baton.current.name, line))
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]
