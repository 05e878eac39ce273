"""Simulated machines and the processes on them.

A process is a control thread and the threads that it starts. When it is killed, they vanish at their next
switch point: whatever they still do on the way out reaches nobody, because everything that leaves a process
asks first whether it is dead.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path

from sentinel.clock import Event as Wakeup
from sentinel.errors import SentinelError
from sentinel.peer.beat import Room
from sentinel.peer.desk import MakeDesk, NoDesk
from sentinel.peer.surroundings import Surroundings
from sentinel.store.base import Store
from sentinel.testing.checker import Checker, Sender
from sentinel.testing.simulation.baton import Actor, Baton
from sentinel.testing.simulation.clock import SimulatedClock, SimulatedEvent, Timing
from sentinel.testing.simulation.home import ProofFile, SimulatedHome, SimulatedSignals, SimulatedThread
from sentinel.testing.simulation.network import Link, Weather
from sentinel.testing.simulation.server import Server
from sentinel.testing.simulation.store import SimulatedStore
from sentinel.testing.simulation.supervisor import Programs, SimulatedOverseer, Supervisor
from sentinel.testing.simulation.trace import Trace


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Universe:
    """What all machines of one simulation share."""

    seed: str
    baton: Baton
    trace: Trace
    checker: Checker
    server: Server
    weather: Weather
    programs: Programs
    #: A real folder for the files that processes leave.
    folder: Path
    #: Seconds after which a call to the store that was not answered is given up.
    timeout: float
    #: Whether connections are told of changes.
    watched: bool
    #: Whether a look at the state and the sessions is one exchange, as on a store far away.
    joined: bool = False
    #: How tasks reach shared memory.
    desk: MakeDesk = lambda **_: NoDesk()
    #: Opens a connection of a process to another store than `server`, whose calls take no time.
    stores: Callable[[Process, float | None], Store] | None = None

    def rng(self, name: str) -> random.Random:
        """Randomness of its own for everything that has a name, so that one thing more changes no other."""
        return random.Random(f"{self.seed}/{name}")


class Machine:
    """One host: a clock, a link to the store, a state folder, and processes."""

    def __init__(self, universe: Universe, name: str, timing: Timing, *, proofs: bool) -> None:
        self.universe = universe
        self.name = name
        self.timing = timing
        self.link = Link()
        self.clock = SimulatedClock(universe.baton, timing)
        self.processes: list[Process] = []
        self.supervisors: list[Supervisor] = []
        self.boot = f"{name}-boot-1"
        #: Incarnation → its proof file; None when nothing is proven here.
        self.alive: dict[str, ProofFile] | None = {} if proofs else None
        self.state_folder = universe.folder / name
        self._boots = 1
        self._born = 0

    def process(self, name: str, main: Callable[[Process], None], *, max_tasks: int = 1) -> Process:
        """Start a process whose control thread runs ``main``."""
        self._born += 1
        process = Process(self, f"{name}#{self._born}", self._born, max_tasks)
        self.processes.append(process)
        process.begin(main)
        return process

    def freeze(self, seconds: float) -> None:
        """Suspend everything but the tasks for so many true seconds."""
        for process in self.processes:
            process.stop(seconds)
        for supervisor in self.supervisors:
            self.stop_supervisor(supervisor, seconds)

    def stop_supervisor(self, supervisor: Supervisor, seconds: float) -> None:
        """SIGSTOP a supervisor, and SIGCONT it later."""
        if supervisor.over:
            return
        baton = self.universe.baton
        supervisor.pause()
        self.universe.checker.excused(supervisor.incarnation, baton.now + seconds)
        baton.after(seconds, supervisor.resume)

    def lose_power(self) -> None:
        """End everything at once, and boot: a new boot id, a clock that begins anew, the same disk."""
        for process in list(self.processes):
            process.kill()
        for supervisor in list(self.supervisors):
            supervisor.vanish()
        self.supervisors.clear()
        self._boots += 1
        self.boot = f"{self.name}-boot-{self._boots}"
        self.timing.booted_at = self.universe.baton.now
        self.timing.offset = 1.0
        for mark in (self.alive or {}).values():
            mark.daemon = mark.supervisor = False


class Process:
    """One process: its threads, its connections, and the incarnation that it is now."""

    def __init__(self, machine: Machine, name: str, pid: int, max_tasks: int) -> None:
        self.machine = machine
        self.name = name
        self.pid = pid
        self.dead = False
        #: Whether it is a worker's daemon, which says aloud what is wrong with the state.
        self.vigilant = False
        self.incarnation: str | None = None
        self.supervisor: Supervisor | None = None
        self.actors: list[Actor] = []
        #: Called when it has ended by itself, with what its main function raised.
        self.exited: Callable[[SentinelError | None], None] = lambda _: None
        self._max_tasks = max_tasks
        self._universe = machine.universe
        self._interruptions: list[SimulatedSignals] = []
        self._connections = 0
        #: Incarnations that this process has let go, and those whose supervisor had nothing left to kill.
        self._let_go: set[str] = set()
        self._emptied: set[str] = set()

    # -- what the product gets -------------------------------------------------------------------------

    def sender(self) -> Sender:
        """Who it is for the checker."""
        return Sender(process=self.name, incarnation=self.incarnation, rate=self.machine.timing.rate)

    def open_store(self, *, timeout: float | None = None) -> Store:
        """A new connection."""
        self._connections += 1
        universe = self._universe
        if universe.stores is not None:
            return universe.stores(self, timeout)
        return SimulatedStore(
            server=universe.server,
            baton=universe.baton,
            trace=universe.trace,
            rng=universe.rng(f"{self.machine.name}/{self.name}/connection {self._connections}"),
            weather=universe.weather,
            link=self.machine.link,
            caller=self,
            timeout=universe.timeout if timeout is None else timeout,
            watched=universe.watched,
            joined=universe.joined,
        )

    def surroundings(self) -> Surroundings:
        """This process, as a daemon or a guard sees it."""
        return Surroundings(
            start_thread=self._start_thread,
            signals=self._signals,
            home=self._home,
            supervise=self._supervise,
            desk=self._universe.desk,
            streams=lambda: (0, 1, 2),
            pid=lambda: self.pid,
            cpu_percent=lambda: 0.0,
            room=lambda _: Room(),
        )

    def rng(self) -> random.Random:
        """Its randomness."""
        return self._universe.rng(f"{self.machine.name}/{self.name}")

    def note(self, what: str) -> None:
        """Say something in the trace."""
        self._universe.trace.note(self._universe.baton.now, self.name, what)

    # -- what the faults do to it ----------------------------------------------------------------------

    def begin(self, main: Callable[[Process], None]) -> None:
        """Start the control thread."""

        def control() -> None:
            error: SentinelError | None = None
            try:
                main(self)
            except SentinelError as raised:
                error = raised
            if not self.dead:
                self.note("exits" if error is None else f"exits: {type(error).__name__}: {error}")
                self._end()
                self.exited(error)

        self.actors.append(self._universe.baton.start(f"{self.name}.control", control))

    def kill(self) -> None:
        """SIGKILL."""
        if not self.dead:
            self.note("killed")
            self._end()

    def stop(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT later."""
        for actor in self.actors:
            self.stop_one(actor, seconds)

    def stop_one(self, actor: Actor, seconds: float) -> None:
        """Let one of its threads hang."""
        actor.pause()
        self._universe.baton.after(seconds, actor.resume)

    def interrupt(self) -> None:
        """SIGTERM."""
        if self.dead:
            return
        self.note("SIGTERM")
        for interruptions in self._interruptions:
            interruptions.come()

    def _end(self) -> None:
        self.dead = True
        machine = self.machine
        machine.processes.remove(self)
        for actor in self.actors:
            actor.kill()
        for name, mark in (machine.alive or {}).items():
            if name == self.incarnation:
                mark.daemon = False
        supervisor = self.supervisor
        if supervisor is not None and not supervisor.over:
            self._universe.baton.after(0.001, supervisor.daemon_gone)
        if self.incarnation is not None:
            self.let_go(self.incarnation)

    def let_go(self, incarnation: str) -> None:
        """The daemon is done with an incarnation, or dead."""
        self._let_go.add(incarnation)
        self._judge_death(incarnation)

    def _judge_death(self, incarnation: str) -> None:
        """Tell the checker when daemon and supervisor are gone, and nothing was left to kill."""
        if incarnation in self._let_go & self._emptied:
            self._universe.checker.dead(incarnation)

    # -- the surroundings ------------------------------------------------------------------------------

    def _start_thread(self, name: str, run: Callable[[], None]) -> SimulatedThread:
        self._universe.baton.check()
        actor = self._universe.baton.start(f"{self.name}.{name}", run)
        self.actors = [known for known in self.actors if not known.over]
        self.actors.append(actor)
        return SimulatedThread(actor, self._universe.baton)

    def _signals(self) -> SimulatedSignals:
        found = SimulatedSignals()
        self._interruptions.append(found)
        return found

    def _home(self, **_known: object) -> SimulatedHome:
        return SimulatedHome(self)

    def _supervise(
        self,
        wakeup: Wakeup,
        proof_fd: int | None = None,  # noqa: ARG002 - its incarnation's proof is found by name
        stdio: tuple[int, ...] = (),  # noqa: ARG002 - tasks are simulated
    ) -> SimulatedOverseer:
        universe, machine = self._universe, self.machine
        universe.baton.check()
        incarnation = self.incarnation
        assert incarnation is not None
        assert isinstance(wakeup, SimulatedEvent)
        mark = (machine.alive or {}).get(incarnation)
        if mark is not None:
            mark.supervisor = True

        def finished(empty: bool) -> None:
            machine.supervisors.remove(supervisor)
            if mark is not None:
                mark.supervisor = False
                mark.empty = empty
            if empty:
                self._emptied.add(incarnation)
                self._judge_death(incarnation)

        supervisor = Supervisor(
            baton=universe.baton,
            clock=machine.clock,
            rng=universe.rng(f"{machine.name}/{self.name}/supervisor {incarnation}"),
            programs=universe.programs,
            incarnation=incarnation,
            note=lambda what: universe.trace.note(universe.baton.now, f"{self.name}.supervisor", what),
            finished=finished,
        )
        machine.supervisors.append(supervisor)
        self.supervisor = supervisor
        rng = universe.rng(f"{machine.name}/{self.name}/pipe {incarnation}")
        return SimulatedOverseer(supervisor, wakeup, universe.baton, rng, lambda: self.dead)

    def announce(self, incarnation: str) -> None:
        """A new incarnation begins in this process."""
        self.incarnation = incarnation
        self._universe.checker.announced(
            incarnation, rate=self.machine.timing.rate, max_tasks=self._max_tasks
        )
