"""The daemon around the peer: signals, threads, and one incarnation after another.

Threads share frozen values: the control loop (the caller's thread), the beat, where the store tells of
changes a watcher that wakes the control loop, and one for the duties that a store comes with. The first
SIGTERM or SIGINT drains, a second ends at once.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from sentinel.clock import Clock, rfc3339
from sentinel.errors import StoreError, Unavailable
from sentinel.fleet.duty import MakeDuties, Workplace
from sentinel.fleet.pacing import Rhythm
from sentinel.fleet.retention import Companions, alone
from sentinel.fleet.shared_memory import MemoryOptions
from sentinel.model.ids import IdSource
from sentinel.model.lease import POLL_JITTER
from sentinel.model.worker import Incarnation, Worker
from sentinel.peer.admission import Admission, wait_until_joined
from sentinel.peer.beat import Beat
from sentinel.peer.beating import beating
from sentinel.peer.busyness import Busyness
from sentinel.peer.desk import Desk, NoDesk
from sentinel.peer.duties import Duties, at_work
from sentinel.peer.errands import Errands
from sentinel.peer.lease import Lease
from sentinel.peer.notify import Notifier
from sentinel.peer.options import PeerOptions
from sentinel.peer.overseer import Overseer
from sentinel.peer.peer import Peer, Phase
from sentinel.peer.reports import reports_of
from sentinel.peer.seldom import Seldom
from sentinel.peer.surroundings import REAL, Surroundings
from sentinel.peer.work import Counters, Plan, Work
from sentinel.store.base import Store
from sentinel.store.opener import OpenStore
from sentinel.store.transact import Transactor

log = logging.getLogger(__name__)

#: Seconds that a stopping daemon tries to reach a store that is away, before it goes without leaving.
_LEAVE_PATIENCE = 10.0
#: Seconds for which a look at memory, disk and connections holds: it goes through all processes.
_ROOM_EVERY = 5.0
#: Longest pause in seconds between two signs of life to the manager of services.
_SIGN_OF_LIFE = 20.0


#: Reads the configuration again and gives the options from now on. Raises nothing: it tells of its problems.
Reread = Callable[[PeerOptions], PeerOptions]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """What a daemon is started with."""

    #: The registration; its incarnation is filled in at each start.
    worker: Worker
    #: Options of each incarnation.
    peer: PeerOptions
    #: Stop when no task that this worker could take is left.
    burst: bool = False
    #: Drain after this many seconds.
    duration: float | None = None
    #: Makes what the store comes with besides tasks; None where that is nothing.
    duties: MakeDuties | None = None
    #: What the duties need to know.
    place: Workplace | None = None
    #: What goes together with ended tasks.
    companions: Companions = alone
    #: How its tasks reach shared memory.
    memory: MemoryOptions = dataclasses.field(default_factory=MemoryOptions)


class Service:
    """Runs one worker until it is told to stop."""

    def __init__(
        self,
        *,
        options: ServiceOptions,
        open_store: OpenStore,
        make_plan: Callable[[Path], Plan],
        state_folder: Path,
        boot: str,
        local_proof: bool,
        clock: Clock,
        rng: random.Random,
        notifier: Notifier,
        surroundings: Surroundings = REAL,
        reread: Reread | None = None,
    ) -> None:
        self._options = options
        self._reread = reread
        #: SIGHUPs that were answered.
        self._reread_for = 0
        self._open_store = open_store
        self._make_plan = make_plan
        self._state_folder = state_folder
        self._clock = clock
        self._rng = rng
        self._ids = IdSource(rng, clock.wall)
        self._notifier = notifier
        self._wakeup = clock.event()
        self._around = surroundings
        self._signals = surroundings.signals()
        self._started = clock.now()
        #: Of the present incarnation; None where the store has none.
        self._duties: Duties | None = None
        self._out_of_work_since: float | None = None
        self._desk: Desk = NoDesk()
        self._store = open_store(timeout=options.peer.times.exchange_timeout)
        self._host = surroundings.home(
            store=self._store, state_folder=state_folder, boot=boot, clock=clock, local_proof=local_proof
        )

    def run(self) -> None:
        """Work until drained. Raises `WorkerIdInUse`, and other `SentinelError`s that stop it."""
        hangups = self._reread is not None
        with self._signals.heeded(self._wakeup.set, hangups=hangups), self._watching():
            try:
                while self._live_once() and not self._stopping:
                    log.info("%s goes on as a new incarnation", self._options.worker.id)
            finally:
                self._host.keep_sightings()
                self._store.close()

    @property
    def _stopping(self) -> bool:
        late = self._options.duration is not None and (
            self._clock.now() - self._started >= self._options.duration
        )
        return self._signals.count > 0 or late

    # -- one incarnation -----------------------------------------------------------------------------

    def _live_once(self) -> bool:
        """One incarnation from joining to its end; True when it was fenced and another should follow."""
        name = self._ids.ulid()
        descriptor, proof = self._host.begin(name)
        times = self._options.peer.times
        incarnation = Incarnation(
            id=name,
            worker=self._options.worker.id,
            hostname=self._options.worker.hostname,
            pid=self._around.pid(),
            ttl=times.stale,
            interval=times.interval,
            proof=proof,
            started_at=rfc3339(self._clock.wall()),
        )
        overseer = self._around.supervise(self._wakeup, descriptor)
        nothing_to_prove = True
        try:
            store = self._beats_connection()
            if store is None:
                return False
            joined = self._join(incarnation)
            if joined is None:
                store.close()
                return False
            nothing_to_prove = False
            with self._beating(joined.incarnation, joined.rhythm, overseer, store) as peer:
                fenced = self._work(peer)
                nothing_to_prove = peer.left
                return fenced
        finally:
            overseer.close()
            self._host.over(name, left=nothing_to_prove)

    def _join(self, incarnation: Incarnation) -> Admission | None:
        """Join as soon as that can be; how that went, or None when told to stop meanwhile."""
        worker = self._options.worker
        admission = Admission(
            transactor=self._transactor(),
            worker=worker,
            incarnation=incarnation,
            observer=self._host.observer,
            proof=self._host.proof,
            rhythm=None if self._options.peer.pacing is None else self._options.peer.rhythm,
        )

        def wait(seconds: float) -> bool:
            self._wakeup.wait(seconds)
            return self._signals.count > 0

        def waiting() -> None:
            if admission.closed_for > 0:
                log.info(
                    "%s waits to join for about %.0f s: others go first", worker.id, admission.closed_for
                )
                self._notifier.tell("READY=1", "STATUS=waiting to join: others go first")
                return
            log.warning("worker %s was running until recently; waiting to see whether it still is", worker.id)
            self._notifier.tell("READY=1", "STATUS=waiting for a predecessor of the same id")

        joined = wait_until_joined(
            admission, poll=self._options.peer.rhythm().poll / 4, wait=wait, waiting=waiting
        )
        if joined:
            log.info("joined as %s, incarnation %s", worker.id, incarnation.id)
        return admission if joined else None

    def _beats_connection(self) -> Store | None:
        """A connection for the beat alone, as soon as the store is there; None when told to stop meanwhile.

        A commit that hangs must not keep the beat from being sent, and a beat that hangs not the next one.
        """
        peer = self._options.peer
        while True:
            try:
                return self._open_store(timeout=peer.times.write_timeout)
            except Unavailable as error:
                log.warning("%s cannot beat yet: %s", peer.worker, error)
            self._wakeup.wait(peer.times.interval / 4)
            if self._signals.count:
                return None

    @contextmanager
    def _beating(
        self, incarnation: Incarnation, rhythm: Rhythm | None, overseer: Overseer, store: Store
    ) -> Iterator[Peer]:
        options = self._options.peer
        lease = Lease(self._clock, overseer.extend)
        counters = Counters()
        transactor = self._transactor()
        folder = self._host.run_folder(incarnation.id)
        errands = None if options.pacing is None else Errands(self._clock, self._wakeup.set)
        self._desk = self._around.desk(
            folder=folder,
            worker=self._options.worker.id,
            options=self._options.memory,
            open_store=self._open_store,
            transactor=self._transactor,
            clock=self._clock,
            ids=self._ids,
            errands=errands,
        )
        work = Work(
            options=options,
            transactor=transactor,
            overseer=overseer,
            lease=lease,
            plan=self._make_plan(folder),
            ended=self._host.ended,
            counters=counters,
            desk=self._desk,
        )
        peer = Peer(
            options=options,
            incarnation=incarnation,
            transactor=transactor,
            work=work,
            lease=lease,
            observer=self._host.observer,
            proof=self._host.proof,
            counters=counters,
            housekeeping=self._host.housekeeping,
            cpu=Busyness(self._clock, self._around.cpu_percent).percent,
            rhythm=rhythm,
            errands=errands,
            companions=self._options.companions,
        )
        beat = Beat(
            store=store,
            clock=self._clock,
            incarnation=incarnation.id,
            worker=options.worker,
            lease=lease,
            load=lambda: peer.load,
            room=Seldom(lambda: self._around.room(self._state_folder), self._clock, every=_ROOM_EVERY),
            reports=functools.partial(reports_of, redactor=options.redactor),
            changed=self._wakeup.set,
        )
        peer.rider = beat
        patience = options.times.write_timeout
        start = self._around.start_thread
        with ExitStack() as stack:
            stack.enter_context(closing(self._desk))
            if errands is not None:
                # Before the desk, which may wait for one of them.
                stack.callback(errands.close)
            stack.enter_context(
                beating(beat, store, self._clock, start, patience=patience, left=lambda: peer.left)
            )
            if self._options.duties is not None and self._options.place is not None:
                duties = self._duties = Duties(
                    make=self._options.duties,
                    place=self._options.place,
                    open_store=self._open_store,
                    clock=self._clock,
                    rng=self._rng,
                    worker=options.worker,
                    incarnation=incarnation.id,
                )
                stack.enter_context(at_work(duties, start))
            yield peer

    def _work(self, peer: Peer) -> bool:
        ready = False
        unreachable_since: float | None = None
        while True:
            if self._signals.count > 1:
                peer.end()
            elif self._stopping or (self._options.burst and ready and self._nothing_to_do(peer)):
                peer.drain()
            if self._reread is not None and self._signals.hangups > self._reread_for:
                self._reread_for = self._signals.hangups
                self._options = dataclasses.replace(self._options, peer=self._reread(self._options.peer))
                peer.reconfigure(self._options.peer)
            pause = peer.tick()
            self._notifier.tell("WATCHDOG=1")
            if peer.begun and not ready:
                ready = True
                self._notifier.tell("READY=1", "STATUS=working")
            if peer.phase is Phase.GONE:
                break
            if peer.phase is not Phase.WORKING:
                self._notifier.tell("STOPPING=1")
            unreachable_since = None if peer.reached else unreachable_since or self._clock.now()
            away = 0.0 if unreachable_since is None else self._clock.now() - unreachable_since
            if self._signals.count > 0 and peer.processes_gone and away > _LEAVE_PATIENCE:
                raise Unavailable(
                    f"{self._options.worker.id} stopped without leaving: the store was away for "
                    f"{away:.0f} s; its tasks are taken over by the others"
                )
            self._rest(pause * self._rng.uniform(1 - POLL_JITTER, 1 + POLL_JITTER))
        counters = peer.counters
        log.info(
            "%s left: %d claimed, %d ended, %d conflicts, %d failovers, %d stale results dropped",
            self._options.worker.id,
            counters.claimed,
            counters.ended,
            counters.conflicts,
            counters.failovers,
            counters.stale_results,
        )
        return peer.fenced is not None

    def _nothing_to_do(self, peer: Peer) -> bool:
        """Whether no task is left, and no duty since then brought one or has to tell of one."""
        if not peer.out_of_work:
            self._out_of_work_since = None
            return False
        if self._out_of_work_since is None:
            self._out_of_work_since = self._clock.now()
        return self._duties is None or self._duties.rested_since(self._out_of_work_since)

    def _rest(self, seconds: float) -> None:
        """Wait so long, until something happens, or until it is time to stop; whoever watches us is told."""
        while seconds > _SIGN_OF_LIFE:
            if self._wakeup.wait(_SIGN_OF_LIFE) or self._stopping:
                return
            self._notifier.tell("WATCHDOG=1")
            seconds -= _SIGN_OF_LIFE
        self._wakeup.wait(seconds)

    def _transactor(self, store: Store | None = None) -> Transactor:
        return Transactor(self._store if store is None else store, self._clock, self._rng, self._ids)

    # -- what wakes it -------------------------------------------------------------------------------

    @contextmanager
    def _watching(self) -> Iterator[None]:
        if not self._store.hears or self._options.peer.pacing is not None:
            # Where looks are counted, the control loop's own are enough.
            yield
            return
        if self._store.listen(self._wakeup, lambda: self._desk.stir()):
            yield
            return
        stop = threading.Event()
        store = self._open_store()

        def watch() -> None:
            while not stop.is_set():
                try:
                    store.read()
                    if store.wait(5.0):
                        self._wakeup.set()
                        self._desk.stir()
                except StoreError:
                    # The control loop meets the same trouble, and tells of it.
                    self._clock.sleep(1.0)
            store.close()

        self._around.start_thread("watch", watch)
        try:
            yield
        finally:
            stop.set()
