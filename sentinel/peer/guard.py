"""``locks run``: a command that runs exactly as long as a named lock is held.

The guard is an incarnation of its own, with a session whose TTL is the lock's, so the lock has no expiry
beside it: it is freed by a clean leave, by proof of death, or after the session was silent. When the lock
or the session is lost, the supervisor ends the command, also if this process cannot.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import random
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from sentinel.clock import Clock, rfc3339
from sentinel.errors import BadRecord, Conflict, LockHeld, LockLost, StoreError
from sentinel.fleet import registry
from sentinel.fleet.acquisition import Acquisition
from sentinel.fleet.pacing import Rhythm
from sentinel.fleet.view import Reader
from sentinel.model.ids import IdSource
from sentinel.model.layout import run_name
from sentinel.model.lease import LeaseTimes
from sentinel.model.lock import Lock
from sentinel.model.worker import Incarnation
from sentinel.peer.beat import Beat, Load
from sentinel.peer.beating import beating
from sentinel.peer.lease import Lease
from sentinel.peer.overseer import Empty, Ended, Fenced, Gone, Overseer, Refused
from sentinel.peer.run.spec import RunEnd, RunSpec
from sentinel.peer.surroundings import REAL, Surroundings
from sentinel.store.base import Snapshot, Transaction
from sentinel.store.opener import OpenStore
from sentinel.store.transact import Transactor

log = logging.getLogger(__name__)

#: Longest pause between two looks at the lock, in seconds.
_POLL = 1.0


def lock_times(ttl: float) -> LeaseTimes:
    """How a lock's session beats: its TTL is the stale threshold, and it beats at least five times in it."""
    return LeaseTimes(interval=min(ttl / 5, 30.0), stale=ttl)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GuardOptions:
    """What is to run under which lock."""

    lock: str
    holder: str
    hostname: str
    times: LeaseTimes
    #: This host's own stale threshold in seconds, by which it judges the present holder.
    stale: float
    #: Seconds to wait for the lock.
    wait: float
    argv: tuple[str, ...]
    env: Mapping[str, str]
    #: Seconds between SIGTERM and SIGKILL when the command is to stop.
    grace: float = 5.0


class Guard:
    """Holds one lock and runs one command."""

    def __init__(
        self,
        *,
        options: GuardOptions,
        open_store: OpenStore,
        state_folder: Path,
        boot: str,
        local_proof: bool,
        clock: Clock,
        rng: random.Random,
        surroundings: Surroundings = REAL,
    ) -> None:
        self._options = options
        self._open_store = open_store
        self._clock = clock
        self._rng = rng
        self._wakeup = clock.event()
        self._around = surroundings
        self._signals = surroundings.signals()
        self._store = open_store()
        self._ids = IdSource(rng, clock.wall)
        self._transactor = Transactor(self._store, clock, rng, self._ids)
        self._host = surroundings.home(
            store=self._store, state_folder=state_folder, boot=boot, clock=clock, local_proof=local_proof
        )
        self._lease: Lease | None = None
        self._progress = clock.now()
        #: Whether its incarnation is gone by its own last transaction.
        self._left = False

    def run(self) -> RunEnd:
        """Acquire, run, release.

        Raises `LockHeld` when it cannot be had in time, `LockLost` when it was lost while the command ran,
        and store errors.
        """
        name = self._ids.ulid()
        descriptor, proof = self._host.begin(name)
        times = self._options.times
        incarnation = Incarnation(
            id=name,
            worker=self._options.holder,
            kind="lock",
            hostname=self._options.hostname,
            pid=self._around.pid(),
            ttl=times.stale,
            interval=times.interval,
            proof=proof,
            started_at=rfc3339(self._clock.wall()),
        )
        stdio = self._around.streams()
        overseer = self._around.supervise(self._wakeup, descriptor, stdio)
        try:
            with self._signals.heeded(self._wakeup.set):
                return self._enter_and_run(incarnation, overseer, stdio)
        finally:
            overseer.close()
            self._host.keep_sightings()
            self._host.over(name, left=self._left)
            self._store.close()

    def _enter_and_run(
        self, incarnation: Incarnation, overseer: Overseer, stdio: tuple[int, int, int]
    ) -> RunEnd:
        self._transactor.transact(
            lambda snapshot: (registry.enter(self._transactor.change(snapshot), incarnation), None)
        )
        lease = Lease(self._clock, overseer.extend)
        command = _Command(overseer, lease)
        store = self._open_store(timeout=self._options.times.write_timeout)
        rhythm = Rhythm(times=self._options.times, poll=_POLL)
        beat = Beat(
            store=store,
            clock=self._clock,
            incarnation=incarnation.id,
            worker=self._options.holder,
            lease=lease,
            load=lambda: Load(active_tasks=1, max_tasks=1, progress=self._progress, rhythm=rhythm),
            changed=self._wakeup.set,
        )
        acquisition = Acquisition(
            transactor=self._transactor,
            observer=self._host.observer,
            proof=self._host.proof,
            name=self._options.lock,
            holder=self._options.holder,
            incarnation=incarnation.id,
            ttl=self._options.times.stale,
            stale=self._options.stale,
        )
        patience = self._options.times.write_timeout
        start = self._around.start_thread
        with beating(beat, store, self._clock, start, patience=patience, left=lambda: self._left):
            try:
                lock = self._acquire(acquisition, lease)
                overseer.start(self._spec(lock, stdio))
                return self._follow(acquisition, lock, lease, command)
            finally:
                self._leave(incarnation, command, lease)

    def _acquire(self, acquisition: Acquisition, lease: Lease) -> Lock:
        until = self._clock.now() + self._options.wait
        while True:
            self._progress = self._clock.now()
            if lease.fenced is not None:
                raise LockLost(f"the session for lock {self._options.lock} was lost: {lease.fenced}")
            held: LockHeld | None = None
            if lease.begun:
                try:
                    return acquisition.attempt()
                except LockHeld as error:
                    held = error
            if self._signals.count or (held is not None and self._clock.now() >= until):
                acquisition.give_up()
                raise held or LockHeld(f"interrupted before lock {self._options.lock} was acquired")
            self._wakeup.wait(0.05 if held is None else min(0.5, max(0.01, until - self._clock.now())))

    def _spec(self, lock: Lock, stdio: tuple[int, int, int]) -> RunSpec:
        return RunSpec(
            run=run_name(lock.name, lock.epoch),
            argv=self._options.argv,
            env=self._options.env,
            own={"SENTINEL_FENCING_TOKEN": str(lock.epoch)},
            cwd=str(Path.cwd()),
            log_path=os.devnull,
            stdio=stdio,
        )

    def _follow(self, acquisition: Acquisition, lock: Lock, lease: Lease, command: _Command) -> RunEnd:
        asked = 0
        lost: str | None = None
        while True:
            self._progress = self._clock.now()
            command.take_events()
            if command.refused is not None and lease.fenced is None:
                raise Conflict(f"the command was not started: {command.refused}")
            if command.over:
                lost = lost or lease.fenced
                if lost is None and command.end is not None:
                    return command.end
                raise LockLost(f"lock {lock.name} was lost ({lost}); the command was ended")
            if lost is None:
                lost = lease.fenced or self._lost(acquisition)
                if lost is not None:
                    log.error("lock %s is lost: %s; ending the command", lock.name, lost)
                    command.overseer.end()
            if self._signals.count > asked:
                asked = self._signals.count
                grace = self._options.grace if asked == 1 else 0.0
                command.overseer.stop(run_name(lock.name, lock.epoch), "cancelled", grace)
            self._wakeup.wait(_POLL)

    def _lost(self, acquisition: Acquisition) -> str | None:
        try:
            return None if acquisition.held() else "somebody else released or took it"
        except (StoreError, BadRecord) as error:
            # The session's deadline is what counts while the store is away.
            log.warning("cannot look at lock %s: %s", self._options.lock, error)
            return None

    def _leave(self, incarnation: Incarnation, command: _Command, lease: Lease) -> None:
        command.overseer.end()
        until = self._clock.now() + self._options.times.stale
        while not (command.empty or command.gone) and self._clock.now() < until:
            self._wakeup.wait(0.2)
            command.take_events()
        # Leave always follows `empty`; without it, the others wait for the silence.
        if lease.fenced is not None or not command.empty:
            return
        with suppress(StoreError, Conflict):
            self._transactor.transact(lambda snapshot: (self._leaving(snapshot, incarnation), None))
            self._left = True

    def _leaving(self, snapshot: Snapshot, incarnation: Incarnation) -> Transaction | None:
        view = Reader().view(snapshot)
        if not view.live(incarnation.id):
            return None
        change = self._transactor.change(snapshot)
        return registry.leave(change, view, incarnation, (), wall=self._clock.wall())


class _Command:
    """What the overseer has told so far about the one command; nothing that it says is lost."""

    def __init__(self, overseer: Overseer, lease: Lease) -> None:
        self.overseer = overseer
        self._lease = lease
        self.end: RunEnd | None = None
        self.refused: str | None = None
        #: Whether the supervisor said that nothing is left.
        self.empty = False
        #: Whether it died without saying so.
        self.gone = False

    @property
    def over(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.end is not None or self.refused is not None or self.empty or self.gone

    def take_events(self) -> None:
        for event in self.overseer.events():
            match event:
                case Ended(end):
                    self.end = end
                case Refused(_, why):
                    self.refused = why
                case Empty():
                    self.empty = True
                case Gone():
                    self.gone = True
                    self._lease.fence("its supervisor died")
                case Fenced():
                    self._lease.fence("its session could not be renewed in time")
                case _:
                    pass
