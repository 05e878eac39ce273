"""What a daemon takes from the machine around it, besides the clock and the store: a simulator has others.

Everything here can end, hang or be killed without the daemon's doing, so it is what has to be replaced to see
what becomes of a fleet when that happens.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import psutil

from sentinel.clock import Clock
from sentinel.clock import Event as Wakeup
from sentinel.fleet.observer import Observer
from sentinel.fleet.proof import DeathProof
from sentinel.fleet.view import View
from sentinel.model.worker import Proof
from sentinel.peer.beat import Room
from sentinel.peer.connections import connections
from sentinel.peer.desk import MakeDesk
from sentinel.peer.host import Host
from sentinel.peer.memory_desk import open_desk
from sentinel.peer.overseer import Overseer, SupervisorProcess
from sentinel.peer.run.spec import RunSpec
from sentinel.peer.signals import Signals
from sentinel.store.base import Store


class Thread(Protocol):
    """A thread that was started, and that ends with its process at the latest."""

    def join(self, timeout: float) -> None:
        """Wait for its end, for ``timeout`` seconds at most."""

    def is_alive(self) -> bool:
        """Whether it still runs."""


class Interruptions(Protocol):
    """SIGTERM and SIGINT as a count, and SIGHUP as another."""

    count: int
    hangups: int

    def heeded(self, wake: Callable[[], None], *, hangups: bool = False) -> AbstractContextManager[None]:
        """Count them (``hangups`` only when asked to), and call ``wake`` for each."""


class Home(Protocol):
    """One daemon's files on its machine; see `sentinel.peer.host.Host`."""

    @property
    def observer(self) -> Observer: ...

    @property
    def proof(self) -> DeathProof: ...

    def begin(self, incarnation: str) -> tuple[int | None, Proof | None]: ...

    def run_folder(self, incarnation: str) -> Path: ...

    def ended(self, spec: RunSpec) -> None: ...

    def over(self, incarnation: str, *, left: bool) -> None: ...

    def housekeeping(self, view: View) -> None: ...

    def keep_sightings(self) -> None: ...


class MakeHome(Protocol):
    """Makes the `Home` of one daemon. Raises `CannotStart`."""

    def __call__(
        self, *, store: Store, state_folder: Path, boot: str, clock: Clock, local_proof: bool
    ) -> Home: ...


class Supervise(Protocol):
    """Starts the supervisor of one incarnation; the arguments are those of `SupervisorProcess`."""

    def __call__(
        self, wakeup: Wakeup, proof_fd: int | None = None, stdio: tuple[int, ...] = ()
    ) -> Overseer: ...


def start_thread(name: str, run: Callable[[], None]) -> Thread:
    """A real thread, which does not keep the process from ending."""
    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


def standard_streams() -> tuple[int, int, int]:
    """Copies of this process's standard streams, for a command; a closed one is the null device."""
    copies = []
    for number in range(3):
        try:
            copies.append(os.dup(number))
        except OSError:
            copies.append(os.open(os.devnull, os.O_RDWR))
    return copies[0], copies[1], copies[2]


def machine_room(folder: Path) -> Room:
    """How full memory is, and the disk that ``folder`` is on; zero for what cannot be read.

    With it the connections of this process and all below it.
    """
    with contextlib.suppress(OSError):
        return Room(
            memory_percent=psutil.virtual_memory().percent,
            disk_percent=psutil.disk_usage(str(folder)).percent,
            connections=connections(os.getpid()),
        )
    return Room()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The machine, as a daemon or a guard sees it; by default the real one."""

    start_thread: Callable[[str, Callable[[], None]], Thread] = start_thread
    signals: Callable[[], Interruptions] = Signals
    home: MakeHome = Host
    supervise: Supervise = SupervisorProcess
    desk: MakeDesk = open_desk
    streams: Callable[[], tuple[int, int, int]] = standard_streams
    pid: Callable[[], int] = os.getpid
    #: Percent of all processors' time that was used since the last call.
    cpu_percent: Callable[[], float] = psutil.cpu_percent
    #: How full memory and the disk under a folder are, and the connections of the daemon with its tasks.
    room: Callable[[Path], Room] = machine_room


#: The machine that this process runs on.
REAL = Surroundings()
