"""The demo's peers: ordinary ``sentinel worker start`` daemons, of which nothing is left in the end.

Each is a process of its own session, so that Ctrl-C at a terminal reaches the demo and not them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import sentinel
from sentinel.clock import Clock
from sentinel.demo.remote import REPOSITORY, Remote
from sentinel.errors import SentinelError

if TYPE_CHECKING:
    import psutil

#: The module that every peer loads.
TASKS = "sentinel.demo.tasks"

#: The demo does not depend on how a machine is set up, but these may be varied to see what they do.
_HEEDED = frozenset(
    {
        "SENTINEL_HEARTBEAT_INTERVAL",
        "SENTINEL_HEARTBEAT_STALE_THRESHOLD",
        "SENTINEL_FAILOVER_LOCAL_PROOF",
        "SENTINEL_LOG_LEVEL",
    }
)
_SETTINGS = ("SENTINEL_", "WORKER_", "GITHUB_")
_OTHER_SETTINGS = frozenset({"SUPPORTED_TASK_TYPES", "MAX_WORKERS", "TASK_TIMEOUT", "LOG_LEVEL"})

#: Seconds that ``sentinel init`` may take.
_INIT_PATIENCE = 120.0
#: Seconds that a peer may take to leave after the first signal, and again after the second.
_LEAVE_PATIENCE = 15.0
#: The same after the first signal when nobody wants the running tasks to be finished.
_HURRIED = 1.0
#: Seconds that a stop of a process is waited for; one that is writing to a disk stops late.
_STOP_PATIENCE = 2.0
#: Lines of a peer's log that are shown when it ended by itself.
_LAST_LINES = 5


def peer_environment(environ: Mapping[str, str], state_folder: Path) -> dict[str, str]:
    """The environment of a peer: the caller's own without its Sentinel settings, but for a few."""
    kept = {
        name: value
        for name, value in environ.items()
        if name in _HEEDED or not (name.startswith(_SETTINGS) or name in _OTHER_SETTINGS)
    }
    kept["SENTINEL_STATE_FOLDER"] = str(state_folder)
    # A repository that is thrown away need not survive a power cut, and some disks take long over that.
    kept["SENTINEL_LOCAL_FSYNC"] = "false"
    root = Path(sentinel.__file__).parents[1]
    if root.name not in {"site-packages", "dist-packages"}:
        # Run from a checkout, which a process in another folder may not find by itself.
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, (environ.get("PYTHONPATH"), str(root))))
    return kept


class PeerProcess:
    """One peer that was started, alive or not."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process
        #: Every process that was seen below the daemon; they outlive it for a moment.
        self._below: list[psutil.Process] = []
        #: Whether it was killed on purpose.
        self.killed = False

    @property
    def pid(self) -> int:
        """Process id of the daemon."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the daemon's process exists."""
        return self._process.poll() is None

    @property
    def status(self) -> int | None:
        """Exit status of the daemon, negative for a signal; None while it is alive."""
        return self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the daemon, if it is alive."""
        self._process.send_signal(number)

    def last_words(self) -> str:
        """The end of its log, as one line."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return "it left no log"
        return " / ".join(line.strip() for line in lines[-_LAST_LINES:] if line.strip()) or "it said nothing"

    def hold(self, clock: Clock) -> bool:
        """Stop the daemon where it stands; False when it is dead or would not within a moment."""
        self.signal(signal.SIGSTOP)
        until = clock.now() + _STOP_PATIENCE
        while self.alive and clock.now() < until:
            # The kernel tells of it when all threads stand still, which no look at /proc can.
            with contextlib.suppress(ChildProcessError):
                if os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG) is not None:
                    self.look_below()
                    return True
            clock.sleep(0.002)
        self.go_on()
        return False

    def go_on(self) -> None:
        """Let a held daemon go on."""
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the daemon with ``kill -9``: no handler runs and nothing is tidied up."""
        self.killed = True
        self.signal(signal.SIGKILL)
        self._process.wait()

    def look_below(self) -> None:
        """Remember which processes the daemon has, while they can still be found through it."""
        import psutil

        with contextlib.suppress(psutil.Error):
            self._below = psutil.Process(self.pid).children(recursive=True)

    def wait(self, seconds: float) -> bool:
        """Whether the daemon ended within ``seconds``."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def remains(self) -> list[psutil.Process]:
        """The processes below the daemon that are still there."""
        return [process for process in self._below if _runs(process)]


class Fleet:
    """A fresh repository and the peers on it. Leaving the context ends them, whatever happened.

    With ``remote``, peers reach the repository in ``folder`` through that Git server only.
    """

    def __init__(
        self, *, folder: Path, clock: Clock, environ: Mapping[str, str], remote: Remote | None = None
    ) -> None:
        self.folder = folder
        #: Path of the bare repository.
        self.store = folder / REPOSITORY
        #: The store as peers and clients name it.
        self.place = str(self.store) if remote is None else remote.url
        #: What lets one in at a Git server; None where no server is asked.
        self.token_file = None if remote is None else remote.token_file
        self._remote = remote
        #: Where the demo itself keeps what clients keep.
        self.state_folder = folder / "state"
        self.peers: dict[str, PeerProcess] = {}
        self._clock = clock
        self._environ = environ

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(hurry=error is not None)

    def init(self) -> None:
        """Make the repository with ``sentinel init``. Raises `SentinelError` with what that command said."""
        try:
            made = subprocess.run(
                # On a Git server somebody has to make the repository first: here, beside it.
                self._command("init", store=None if self._remote is None else f"git+{self.store.as_uri()}"),
                cwd=self.folder,
                env=self._environment(self.state_folder),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_INIT_PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise SentinelError(f"`sentinel init` did not end within {_INIT_PATIENCE:.0f} s") from error
        if made.returncode != 0:
            said = (made.stderr or made.stdout).decode(errors="replace").strip()
            raise SentinelError(f"`sentinel init` failed with status {made.returncode}: {said}")

    def start(self, name: str, *, slots: int, extra: Sequence[str] = ()) -> None:
        """Start a peer that runs up to ``slots`` tasks at a time."""
        argv = self._command("worker", "start", "--id", name, "--max-tasks", str(slots), "--tasks", TASKS)
        log = self.folder / f"{name}.log"
        with log.open("ab") as stream:
            process = subprocess.Popen(
                [*argv, *extra],
                cwd=self.folder,
                env=self._environment(self.folder / "state" / name),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.peers[name] = PeerProcess(name, process, log)

    def check(self) -> None:
        """Raises `SentinelError` when a peer ended that nobody killed."""
        for peer in self.peers.values():
            if not peer.killed and not peer.alive:
                raise SentinelError(
                    f"peer {peer.name} ended by itself with status {peer.status}: {peer.last_words()} "
                    f"(its log is {peer.log})"
                )

    def stop(self, *, hurry: bool = False) -> list[str]:
        """End all peers: drain, then a second signal, then ``kill -9``; a sentence for each that needed more.

        In a ``hurry`` the second signal follows at once. Idempotent. When it returns, none of their processes
        is left.
        """
        peers, self.peers = list(self.peers.values()), {}
        for peer in peers:
            if peer.alive:
                peer.look_below()
                peer.go_on()
        self._ask(peers, signal.SIGTERM, _HURRIED if hurry else _LEAVE_PATIENCE)
        self._ask(peers, signal.SIGTERM, _LEAVE_PATIENCE)
        staying = [peer.name for peer in peers if peer.alive]
        self._ask(peers, signal.SIGKILL, _LEAVE_PATIENCE)
        remains = self._settled(peers)
        return [
            *(f"peer {name} did not leave and was killed" for name in staying),
            *(f"process {process.pid} outlived its peer and was killed" for process in remains),
        ]

    def _ask(self, peers: Iterable[PeerProcess], number: signal.Signals, patience: float) -> None:
        staying = [peer for peer in peers if peer.alive]
        for peer in staying:
            peer.signal(number)
        until = self._clock.now() + patience
        for peer in staying:
            peer.wait(max(0.0, until - self._clock.now()))

    def _settled(self, peers: Iterable[PeerProcess]) -> list[psutil.Process]:
        """Wait for what was below the daemons to go, and kill and give what did not."""
        until = self._clock.now() + _LEAVE_PATIENCE
        while remains := [process for peer in peers for process in peer.remains()]:
            if self._clock.now() >= until:
                break
            self._clock.sleep(0.05)
        import psutil

        for process in remains:
            with contextlib.suppress(psutil.Error):
                process.kill()
        return remains

    def _command(self, *words: str, store: str | None = None) -> list[str]:
        return [sys.executable, "-m", "sentinel", *words, "--store", store or self.place]

    def _environment(self, state_folder: Path) -> dict[str, str]:
        environ = peer_environment(self._environ, state_folder)
        return environ if self._remote is None else self._remote.environment(environ)


def _runs(process: psutil.Process) -> bool:
    import psutil

    try:
        # Where nobody reaps orphans, as in many containers, a dead one stays as a zombie.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
