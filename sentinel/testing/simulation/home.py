"""What a process on a simulated machine gets instead of threads, signals, proof files and a state folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel.fleet.observer import KeptObserver, Observer
from sentinel.fleet.proof import DeathProof, NoProof
from sentinel.fleet.view import View
from sentinel.model.layout import session_register
from sentinel.model.worker import Incarnation, Proof
from sentinel.peer.run.spec import RunSpec
from sentinel.testing.simulation.baton import TIMED_OUT, Actor, Baton
from sentinel.testing.simulation.clock import SimulatedEvent

if TYPE_CHECKING:
    from sentinel.testing.simulation.machine import Machine, Process

#: Seconds between two savings of what was seen, as a daemon's housekeeping does it.
_KEEP_EVERY = 30.0


@dataclasses.dataclass(slots=True)
class ProofFile:
    """A proof-of-death file: who holds its lock, and whether it says ``empty``."""

    inode: int
    boot: str
    daemon: bool = True
    supervisor: bool = False
    empty: bool = False


class SimulatedThread:
    """A thread of a simulated process: an actor that runs when it has the baton."""

    def __init__(self, actor: Actor, baton: Baton) -> None:
        self._actor = actor
        self._baton = baton

    def join(self, timeout: float) -> None:
        """Give up the baton until the thread has ended, or for ``timeout`` seconds."""
        self._baton.check()
        if self._actor.over:
            return
        wake = self._baton.current.waker()
        self._actor.afterwards.append(lambda: self._baton.after(0.0, lambda: wake(None)))
        if self._baton.wait(timeout, wake) is TIMED_OUT:
            return

    def is_alive(self) -> bool:
        """Whether it still runs."""
        return not self._actor.over


class SimulatedSignals:
    """Signals of a simulated process."""

    def __init__(self) -> None:
        self.count = 0
        self.hangups = 0
        self._wake: Callable[[], None] = lambda: None

    @contextmanager
    def heeded(self, wake: Callable[[], None], *, hangups: bool = False) -> Iterator[None]:  # noqa: ARG002 - none come
        """See `sentinel.peer.signals.Signals`."""
        owner = getattr(wake, "__self__", None)
        assert isinstance(owner, SimulatedEvent)
        self._wake = owner.set_from_outside
        yield

    def come(self) -> None:
        """One more signal."""
        self.count += 1
        self._wake()


class SimulatedProofs:
    """Proof of death on one machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def proven(self, incarnation: Incarnation) -> bool:
        """Whether the lock was obtained and ``empty`` read, in the file that was announced."""
        mark = (self._machine.alive or {}).get(incarnation.id)
        announced = incarnation.proof
        if mark is None or announced is None or announced.boot != self._machine.boot:
            return False
        return announced.inode == mark.inode and mark.empty and not (mark.daemon or mark.supervisor)


class SimulatedHome:
    """One daemon's files; see `sentinel.peer.surroundings.Home`. The sightings are real files."""

    def __init__(self, process: Process) -> None:
        self._process = process
        machine = self._machine = process.machine
        machine.state_folder.mkdir(parents=True, exist_ok=True)
        self._kept = KeptObserver(machine.state_folder / "observations.json", machine.boot, machine.clock.now)
        self._swept = machine.clock.now()
        self._runs = machine.state_folder / "runs"

    @property
    def observer(self) -> Observer:
        return self._kept.observer

    @property
    def proof(self) -> DeathProof:
        return NoProof() if self._machine.alive is None else SimulatedProofs(self._machine)

    def begin(self, incarnation: str) -> tuple[int | None, Proof | None]:
        self._process.announce(incarnation)
        self.run_folder(incarnation).mkdir(parents=True, exist_ok=True)
        alive = self._machine.alive
        if alive is None:
            return None, None
        number = len(alive) + 1
        alive[incarnation] = ProofFile(inode=number, boot=self._machine.boot)
        return number, Proof(boot=self._machine.boot, device=1, inode=number)

    def run_folder(self, incarnation: str) -> Path:
        return self._runs / session_register(incarnation)

    def ended(self, spec: RunSpec) -> None:
        if spec.result_path is not None and not self._process.dead:
            Path(spec.result_path).unlink(missing_ok=True)

    def over(self, incarnation: str, *, left: bool) -> None:
        if self._process.dead:
            return
        self._process.let_go(incarnation)
        alive = self._machine.alive or {}
        if incarnation in alive:
            alive[incarnation].daemon = False
            if left:
                del alive[incarnation]

    def housekeeping(self, view: View) -> None:  # noqa: ARG002 - what the dead left is swept with the universe
        now = self._machine.clock.now()
        if now - self._swept >= _KEEP_EVERY:
            self._swept = now
            self.keep_sightings()

    def keep_sightings(self) -> None:
        if not self._process.dead:
            self._kept.save(self._kept.observer.sightings())
