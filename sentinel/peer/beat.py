"""The beat: one small register, overwritten by compare-and-swap, from a thread and connection of its own.

Where every push costs, those of the control loop take a beat along, and the thread beats when none did for an
interval. Two beats may then be under way that expect the same version; at most one of them lands.

One beat keeps all leases of the peer. Beats stop when the control loop has made no progress for the session
TTL: a peer whose loop hangs is of no use to the fleet, and its work must become free.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from sentinel.clock import Clock, Event, rfc3339
from sentinel.errors import OutcomeUnknown, StoreError
from sentinel.fleet.pacing import Rhythm
from sentinel.fleet.view import load_session
from sentinel.model.codec import flat
from sentinel.model.counts import Counts
from sentinel.model.layout import session_register
from sentinel.model.progress import Report
from sentinel.model.worker import Session, Status
from sentinel.peer.lease import Lease
from sentinel.peer.reports import Attempt
from sentinel.store.base import ABSENT, DELETE, Committed, Conflicted, Expected, Ride, Rode, Store

log = logging.getLogger(__name__)

#: A beat that is due in less than this part of an interval is sent now.
_SOON = 0.05


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a beat tells about its peer; the control loop replaces it as a whole."""

    status: Status = "online"
    active_tasks: int = 0
    max_tasks: int = 0
    counts: Counts = dataclasses.field(default_factory=Counts)
    cpu_percent: float = 0.0
    #: When the control loop last came round, on this machine's clock.
    progress: float
    #: How it beats from now on.
    rhythm: Rhythm
    #: What runs, for whoever looks how far it is.
    attempts: tuple[Attempt, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How full the machine is, in percent, and how many connections this worker has."""

    memory_percent: float = 0.0
    disk_percent: float = 0.0
    connections: int = 0


class Beat:
    """Beats for one incarnation until it is fenced or stopped."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        incarnation: str,
        worker: str,
        lease: Lease,
        load: Callable[[], Load],
        room: Callable[[], Room] = Room,
        reports: Callable[[Sequence[Attempt]], tuple[Report, ...]] = lambda _: (),
        changed: Callable[[], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._incarnation = incarnation
        self._worker = worker
        self._register = session_register(incarnation)
        self._lease = lease
        self._load = load
        self._room = room
        self._reports = reports
        # Called when the control loop should look: at the first confirmed beat, and when fenced.
        self._changed = changed
        # What follows is for two threads: the control loop's pushes take beats along.
        self._mutex = threading.Lock()
        self._seq = 0
        self._version: Expected = ABSENT
        #: The beat that `_version` is; 0 when there is none.
        self._landed = 0
        self._unsure = False
        #: The interval that the last beat announced, in seconds.
        self._announced = 0.0
        #: When the newest confirmed beat was sent.
        self._beaten = float("-inf")
        #: When the beats were sent that are under way.
        self._sent: dict[int, float] = {}

    def beat(self) -> bool:
        """Send one beat, or settle what became of the last; True when it was confirmed.

        Never raises for a store that is away: the deadline does not move then, and that is the consequence.
        """
        try:
            if self._unsure:
                self._settle()
            return self._lease.fenced is None and self._send()
        except StoreError as error:
            log.warning("beat %d of %s: %s", self._seq, self._worker, error)
            return False

    # -- on a push of the control loop -----------------------------------------------------------------

    def ride(self) -> Ride | None:
        """The next beat, for a push that is about to be sent; None before the first, and while in doubt."""
        if self._unsure or not self._landed or self._lease.fenced is not None:
            return None
        return self._next()

    def rode(self, ride: Ride, outcome: Committed | Conflicted | Rode) -> None:
        """What became of a beat that was taken along."""
        seq = ride.document["seq"]
        if isinstance(outcome, Committed):
            self._confirm(seq, outcome.revision)
            return
        if outcome is not Rode.UNKNOWN:
            self._forget(seq)
        if outcome is not Rode.NOT:
            with self._mutex:
                # Unless a later beat landed meanwhile, the beat's own thread has to find out.
                self._unsure = self._unsure or self._version == ride.expect

    # -- in a thread of its own ------------------------------------------------------------------------

    def _next(self) -> Ride | None:
        """The next beat, which counts as under way from now on; None when the control loop hangs."""
        load = self._load()
        silent = self._clock.now() - load.progress
        times = load.rhythm.times
        if silent > times.stale:
            log.error("the control loop of %s has hung for %.1f s; no more beats", self._worker, silent)
            return None
        room, progress = flat(self._room()), self._reports(load.attempts)
        with self._mutex:
            self._seq += 1
            session = Session(
                incarnation=self._incarnation,
                worker=self._worker,
                seq=self._seq,
                interval=times.interval,
                ttl=times.stale,
                status=load.status,
                active_tasks=load.active_tasks,
                max_tasks=load.max_tasks,
                cpu_percent=load.cpu_percent,
                sent_at=rfc3339(self._clock.wall()),
                counts=load.counts,
                progress=progress,
                **room,
            )
            self._announced = times.interval
            self._sent[self._seq] = self._clock.now()
            self._lease.sending(self._seq, self._sent[self._seq], session.ttl)
            return Ride(name=self._register, document=session.document(), expect=self._version)

    def _send(self) -> bool:
        ride = self._next()
        if ride is None:
            return False
        seq = ride.document["seq"]
        try:
            outcome = self._store.publish(ride.name, ride.document, ride.expect)
        except OutcomeUnknown:
            self._unsure = True
            raise
        except StoreError:
            self._forget(seq)
            raise
        if isinstance(outcome, Committed):
            self._confirm(seq, outcome.revision)
            return True
        # Refused, so this one did not land; perhaps an earlier one did whose reply was lost.
        self._forget(seq)
        self._settle()
        return False

    def _confirm(self, seq: int, version: Expected) -> None:
        """Beat ``seq`` is known to have landed as ``version``."""
        with self._mutex:
            first = not self._landed
            if seq > self._landed:
                self._landed, self._version = seq, version
                self._beaten = self._sent.get(seq, self._beaten)
            self._sent = {number: at for number, at in self._sent.items() if number > seq}
        self._lease.confirm(seq)
        if first:
            self._changed()

    def _forget(self, seq: int) -> None:
        """Beat ``seq`` was certainly not applied and never will be."""
        with self._mutex:
            self._sent.pop(seq, None)
        self._lease.not_sent(seq)

    def _settle(self) -> None:
        register = self._store.published().get(self._register)
        session = load_session(self._register, register)
        if register is not None and register.version == self._version:
            # The beat in doubt has not landed. It still may; the next one is refused then, and settled here.
            self._unsure = False
            return
        if register is not None and session is not None:
            mine = session.incarnation == self._incarnation and session.sealed_by is None
            if mine and session.seq <= self._seq:
                self._unsure = False
                self._confirm(session.seq, register.version)
                return
        if register is None and self._version is ABSENT and self._unsure:
            self._unsure = False
            return
        ground = "its session is gone"
        if session is not None and session.sealed_by is not None:
            ground = f"it was failed over by {session.sealed_by}"
        elif register is not None:
            ground = "its session was overwritten by another"
        self._lease.fence(ground)
        self._changed()

    def retire(self) -> None:
        """Remove the register after a clean leave, when this thread beats no more; others would sweep it."""
        with suppress(StoreError):
            self._store.publish(self._register, DELETE, self._version)

    def run(self, stop: Event) -> None:
        """Beat in the load's rhythm until fenced or ``stop`` is set; after a failure sooner."""
        pause = 0.0
        while self._lease.fenced is None and not stop.wait(pause):
            # The control loop's pushes may have taken beats along meanwhile.
            pause = self._left()
            rhythm = self._load().rhythm
            if pause <= rhythm.times.interval * _SOON:
                confirmed = self.beat()
                rhythm = self._load().rhythm
                if confirmed:
                    pause = rhythm.next_beat(self._announced, self._clock.wall())
                else:
                    pause = min(self._announced or rhythm.times.interval, rhythm.times.interval) / 4
        if self._lease.fenced is not None:
            self._changed()

    def _left(self) -> float:
        """Seconds until a beat is due, by the newest that was confirmed, whoever sent it."""
        if self._unsure or not self._landed:
            return 0.0
        since = self._clock.now() - self._beaten
        rhythm = self._load().rhythm
        return rhythm.next_beat(self._announced, self._clock.wall() - since) - since
