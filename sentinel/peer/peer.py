"""One incarnation's control loop: a bounded step of read, observe, decide, commit, act.

`Peer.tick` is called again and again by whoever owns the thread (the service, or a simulator). It never
blocks for long and never raises for a store that is away. What it decides is data; what it does to
processes goes through `Work` and the overseer, which checks the deadline once more on its own.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence

from sentinel.errors import OutcomeUnknown, StoreError
from sentinel.fleet import dependencies, failover, registry, tasks
from sentinel.fleet.balancers import Candidate
from sentinel.fleet.candidates import candidates
from sentinel.fleet.counting import end_of
from sentinel.fleet.expiry import Expiry
from sentinel.fleet.observer import Observer
from sentinel.fleet.pacing import Rhythm
from sentinel.fleet.patterns import in_charge, lock_over
from sentinel.fleet.proof import DeathProof
from sentinel.fleet.retention import Companions, alone
from sentinel.fleet.view import Reader, View
from sentinel.model.layout import incarnation_key
from sentinel.model.task import Task
from sentinel.model.worker import Incarnation
from sentinel.peer.beat import Load
from sentinel.peer.claims import Chooser
from sentinel.peer.coordination import Coordination
from sentinel.peer.errands import Errands
from sentinel.peer.lease import Lease
from sentinel.peer.monitor import Monitor
from sentinel.peer.options import PeerOptions
from sentinel.peer.pruning import Pruning
from sentinel.peer.recovery import Recovery
from sentinel.peer.tempo import Tempo
from sentinel.peer.work import Counters, Planned, Work
from sentinel.store.base import (
    DELETE,
    Committed,
    Conflicted,
    Outcome,
    Refused,
    Register,
    Rider,
    Transaction,
)
from sentinel.store.transact import Change, Transactor

log = logging.getLogger(__name__)


class Phase(enum.Enum):
    """Where an incarnation is in its life."""

    WORKING = "working"
    #: Takes nothing new, finishes what runs.
    DRAINING = "draining"
    #: Everything is being killed; the last transaction follows when nothing is left.
    ENDING = "ending"
    GONE = "gone"


class Peer:
    """The control loop of one incarnation. All methods are for one thread."""

    def __init__(
        self,
        *,
        options: PeerOptions,
        incarnation: Incarnation,
        transactor: Transactor,
        work: Work,
        lease: Lease,
        observer: Observer,
        proof: DeathProof,
        counters: Counters,
        housekeeping: Callable[[View], None],
        cpu: Callable[[], float] = lambda: 0.0,
        rhythm: Rhythm | None = None,
        errands: Errands | None = None,
        companions: Companions = alone,
    ) -> None:
        self._options = options
        self._transactor = transactor
        self._store = transactor.store
        self._clock = transactor.clock
        self._work = work
        self._lease = lease
        self._observer = observer
        self._recovery = Recovery(options, incarnation.id, transactor, observer, proof, counters)
        self._housekeeping = housekeeping
        self._reader = Reader()
        self._chooser = Chooser(options)
        self._expiry = Expiry(options.expiry_interval)
        self._coordination = Coordination(options, incarnation.id)
        self._monitor = Monitor(options, transactor.clock)
        self._pruning = Pruning(options, incarnation.id, transactor.clock, companions)
        self._cpu = cpu
        self._errands = errands
        #: When this peer saw that it is to drain by a deadline, on its own clock.
        self._drain_seen: float | None = None
        self._me = options.worker
        self._incarnation = incarnation
        #: A batch whose outcome is unknown: sent again as it is before anything else is decided.
        self._open: list[Planned] = []
        self._in_doubt = False
        self._tempo = Tempo(
            options,
            transactor.clock,
            incarnation=incarnation.id,
            hears=transactor.store.hears,
            rhythm=rhythm,
        )
        self._hurry = False
        #: Whether this tick came to deciding what is to be changed.
        self._decided = False
        #: Whose beats go along with what is sent.
        self.rider: Rider | None = None
        #: Whether this tick has seen the state, so that what it says is due is not long over.
        self._looked = False
        #: Whether the last tick had its store calls answered.
        self.reached = True
        self.counters = counters
        self.phase = Phase.WORKING
        #: Whether its last transaction was sent.
        self._leaving = False
        #: Whether the last transaction of this incarnation landed.
        self.left = False
        #: Why this incarnation lost its right to work, or None when it did not.
        self.fenced: str | None = None
        #: What the next beat tells; replaced as a whole, so that the beat thread may read it.
        self.load = self._load()

    def reconfigure(self, options: PeerOptions) -> None:
        """Go on with these options, which differ only in how work is taken and stopped."""
        self._options = options
        for part in (
            self._chooser,
            self._coordination,
            self._recovery,
            self._monitor,
            self._pruning,
            self._work,
        ):
            part.reconfigure(options)

    def drain(self) -> None:
        """Take nothing new; leave when everything that runs has ended."""
        if self.phase is Phase.WORKING:
            self.phase = Phase.DRAINING

    def end(self) -> None:
        """Kill what runs, hand it back, leave."""
        if self.phase in (Phase.WORKING, Phase.DRAINING):
            self.phase = Phase.ENDING
            self._work.end()

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits to be recorded."""
        return self._work.idle and not self._open

    @property
    def begun(self) -> bool:
        """Whether the first beat was confirmed: from then on it takes tasks."""
        return self._lease.begun

    @property
    def processes_gone(self) -> bool:
        """Whether no task process can be left."""
        return self._work.empty or self._work.gone

    @property
    def out_of_work(self) -> bool:
        """Whether nothing runs here and nothing waits that this worker could take."""
        return self.idle and self._chooser.nothing_waits

    def tick(self) -> float:
        """One bounded step; returns after how many seconds the next is due, unless something wakes it."""
        self._hurry = self._looked = self._decided = False
        self.load = self._load()
        self._work.take_events()
        self._heed_the_fence()
        self.reached = True
        try:
            if self.phase is Phase.ENDING:
                self._leave_when_empty()
            elif self.phase is not Phase.GONE:
                self._round()
        except OutcomeUnknown as error:
            self.reached = False
            log.warning("%s: %s; asking again", self._me, error)
        except StoreError as error:
            self.reached = False
            log.warning("%s cannot reach the store: %s", self._me, error)
        self.load = self._load()
        if self._hurry and self._my_turn:
            return 0.0
        if not self._looked:
            self._tempo.missed()
            return self._tempo.pause()
        held_back = not self._decided and self.phase is Phase.WORKING
        now = self._clock.now()
        due = min(self._chooser.next_due(now), self._work.next_due(now))
        return self._tempo.pause(due, held_back=held_back)

    @property
    def _my_turn(self) -> bool:
        """Whether it may push now. Ending its work, it does not wait: a fleet waits for what it holds."""
        return self.phase is not Phase.WORKING or self._tempo.my_turn

    def _load(self) -> Load:
        return Load(
            rhythm=self._tempo.rhythm,
            status="online" if self.phase is Phase.WORKING else "draining",
            active_tasks=self._work.busy,
            max_tasks=self._options.max_tasks,
            counts=self.counters.frozen(),
            cpu_percent=self._cpu(),
            progress=self._clock.now(),
            attempts=self._work.attempts,
        )

    def _heed_the_fence(self) -> None:
        ground = self._lease.fenced
        if ground is None or self.fenced is not None or self.phase is Phase.GONE:
            return
        self.fenced = ground
        log.error("%s is fenced: %s; ending its work", self._me, ground)
        self.end()

    # -- the step ------------------------------------------------------------------------------------

    def _round(self) -> None:
        if self._my_turn:
            self._resend()
            if self._work.store_outputs(self.rider):
                self._tempo.take_turn()
        # A turn may be shorter than a look: in a large fleet on a slow store it would be over each time.
        began = self._my_turn
        sent = self._clock.now()
        view, registers = self._look()
        reply = self._clock.now()
        if not view.live(self._incarnation.id):
            self._lease.fence("its incarnation was failed over")
            self._hurry = True
            return
        self._heed_orders(view)
        if self.phase is Phase.ENDING:
            return
        self._work.stop_unwanted(view)
        if not began and not self._my_turn:
            self._sweep(view, registers, sent=sent, reply=reply)
            return
        self._decided = True
        begin = self._changes(view)
        batch = list(self._work.finishes(view, begin))
        batch += self._recovery.failovers(view, registers, begin, self._freed)
        batch += self._cancel_dependents(view, begin)
        batch += self._work.hand_back(view, self._incarnation.id, begin)
        expired = self._expiry.due(view.snapshot, begin, self._observer, by=self._me)
        batch += [Planned(transaction) for transaction in expired]
        if self._lease.begun and self._lease.fenced is None:
            batch += self._shares(view, registers, begin)
        alert = self._monitor.look(view, registers, self._observer, begin)
        batch += [] if alert is None else [Planned(alert)]
        if self.phase is Phase.WORKING:
            batch += self._prune(view, begin)
        if self._errands is not None:
            batch += [Planned(transaction, settle) for transaction, settle in self._errands.take()]
        self._commit(batch)
        self._sweep(view, registers, sent=sent, reply=reply)
        if self.phase is Phase.DRAINING and self.idle:
            self.end()
            self._hurry = True

    def _look(self) -> tuple[View, Mapping[str, Register]]:
        sent = self._clock.now()
        snapshot, registers = self._store.look()
        reply = self._clock.now()
        view = self._reader.view(snapshot)
        self._observer.look(
            {
                **failover.watched(view, registers),
                **self._expiry.look(snapshot, reply),
                **self._pruning.watched(snapshot),
            },
            sent=sent,
            reply=reply,
            announced=failover.announced(view, registers),
            keep=self._expiry.watched,
        )
        self._chooser.look(view, sent=sent, reply=reply)
        self._tempo.looked(view)
        if self._errands is not None:
            self._errands.rhythm = self._tempo.rhythm
        self._looked = True
        return view, registers

    def _commit(self, batch: list[Planned]) -> None:
        self._open = batch
        self._resend()

    def _resend(self) -> None:
        if not self._open:
            return
        try:
            outcomes = self._send([planned.transaction for planned in self._open])
        except OutcomeUnknown:
            self._in_doubt = True
            raise
        except StoreError:
            # Certainly not applied now; but what was in doubt before is in doubt still.
            if not self._in_doubt:
                self._open = []
            raise
        self._in_doubt = False
        batch, self._open = self._open, []
        # What just landed may have made more work; only a new look can tell that there is none.
        self._chooser.nothing_waits = False
        if any(isinstance(outcome, Committed) for outcome in outcomes):
            self._tempo.take_turn()
        for planned, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Conflicted):
                self.counters.conflicts += 1
                self._hurry = True
            elif isinstance(outcome, Refused):
                log.error("the store refused %r: %s", planned.transaction.note, outcome.reason)
            elif planned.opens and self._store.hears:
                # Nobody tells a client of what it wrote itself.
                self._hurry = True
            planned.settle(outcome)
        self._work.set_off()

    def _send(self, transactions: Sequence[Transaction]) -> list[Outcome]:
        if self.rider is None:
            return self._store.commit(transactions)
        return self._store.carry(transactions, self.rider)

    def _changes(self, view: View) -> Callable[[], Change]:
        """What begins the changes of this incarnation; whatever one is for, it bounces once that is dead."""
        begin, alive = self._transactor.changes(), incarnation_key(self._incarnation.id)
        return lambda: begin(view.snapshot).expect_present(alive)

    def _freed(self, outcome: Outcome) -> None:
        # What was lost has waited long enough: it is not to wait for the next look, too.
        self._hurry = self._hurry or isinstance(outcome, Committed)

    def _cancel_dependents(self, view: View, begin: Callable[[], Change]) -> Iterator[Planned]:
        for task in self._chooser.doomed():
            failed = dependencies.failed_dependency(task, view.task)
            if failed is not None:
                wall = self._clock.wall()
                cancelled = tasks.cancel_dependents(begin(), task, failed, wall=wall)
                yield Planned(cancelled)

    def _prune(self, view: View, begin: Callable[[], Change]) -> Iterator[Planned]:
        def needed(task_id: str) -> bool:
            # One that runs may wait again, when its worker is lost.
            held = any(task_id in task.after for task in view.running.values())
            return held or self._chooser.needs(task_id)

        for transaction in self._pruning.act(view, self._observer, begin, needed, self._store):
            yield Planned(transaction)

    def _heed_orders(self, view: View) -> None:
        """What a person wants of this incarnation, by its worker's record."""
        record = view.workers.get(self._me)
        if record is None or record.drain != self._incarnation.id:
            return
        now = self._clock.now()
        if self._drain_seen is None:
            log.info("%s is to drain", self._me)
            self._drain_seen = now
        self.drain()
        if record.drain_deadline and now - self._drain_seen >= record.drain_deadline:
            log.warning("%s ends what still runs: the deadline for its draining has passed", self._me)
            self.end()
            self._hurry = True

    def _shares(
        self, view: View, registers: Mapping[str, Register], begin: Callable[[], Change]
    ) -> Iterator[Planned]:
        """What this peer takes, and what it means for others where it assigns their tasks."""
        me = view.workers.get(self._me)
        takes = self.phase is Phase.WORKING and me is not None and not me.cordoned
        takes = (
            takes
            and not self._chooser.nothing_waits
            and (self._work.busy < self._options.max_tasks or self._work.room_ahead > 0)
        )
        calls = self._coordination.calls(view)
        waiting = self._chooser.waiting(view, ahead=self._work.room_ahead) if takes or calls else []
        if not waiting and not calls:
            return
        workers = [
            worker
            for worker in candidates(view, registers, self._observer)
            # My last beat may not have said yet that I am draining.
            if worker.id != self._me or self.phase is Phase.WORKING
        ]
        if takes and me is not None:
            lock = lock_over(me, self._options.pattern, self._options.group_by)
            led = in_charge(view, registers, self._observer, lock)
            yield from self._claims(view, waiting, workers, begin, led=led)
        for transaction in self._coordination.act(
            view,
            self._observer,
            workers,
            waiting,
            begin,
            now=self._clock.now(),
            wall=self._clock.wall(),
            patience=self._tempo.patience,
        ):
            yield Planned(transaction)

    def _claims(
        self,
        view: View,
        waiting: list[Task],
        workers: list[Candidate],
        begin: Callable[[], Change],
        *,
        led: bool,
    ) -> Iterator[Planned]:
        patience, wall = self._tempo.patience, self._clock.wall()
        for task in self._chooser.choose(view, waiting, workers, self._work, led=led, patience=patience):
            transaction, claimed = tasks.claim(
                begin(), task, worker=self._me, incarnation=self._incarnation.id, wall=wall
            )
            yield Planned(transaction, self._claimed(claimed), opens=False)

    def _claimed(self, claimed: Task) -> Callable[[Outcome], None]:
        def settle(outcome: Outcome) -> None:
            if isinstance(outcome, Refused):
                self._chooser.pass_by(claimed.id, claimed.rev)
            if isinstance(outcome, Conflicted):
                self.counters.lost_claims += 1
            if isinstance(outcome, Committed):
                self.counters.claimed += 1
                self._work.start(claimed)
                # Anything that could not be started has an ending already, which should not wait.
                self._hurry = self._hurry or not self._work.runs(claimed.id)

        return settle

    def _sweep(self, view: View, registers: Mapping[str, Register], *, sent: float, reply: float) -> None:
        for name, version in self._recovery.abandoned(view, registers, sent=sent, reply=reply):
            if self._my_turn:
                self._store.publish(name, DELETE, version)
                self._tempo.take_turn()
        self._housekeeping(view)

    # -- the end -------------------------------------------------------------------------------------

    def _leave_when_empty(self) -> None:
        if self._work.gone:
            # Leave always follows `empty`: without it, the fleet has to wait for the silence.
            self._abandon("its supervisor died")
            return
        if not self._work.empty:
            return
        if self.fenced is None or self._leaving:
            self._resend()
            if self.phase is Phase.GONE:
                return
        # A fenced peer sends nothing again but its last transaction; what landed of the rest, the look shows.
        self._open = []
        self._work.store_outputs()
        view, _ = self._look()
        if not view.live(self._incarnation.id):
            self._abandon("it was failed over")
            return
        endings = self._work.leaving(view, self._incarnation.id, self.fenced or "its worker is leaving")
        change = self._transactor.change(view.snapshot)
        wall, forget = self._clock.wall(), self._options.forget
        leaving = registry.leave(change, view, self._incarnation, endings, wall=wall, forget=forget)
        self._leaving = True
        # Of a fenced incarnation one transaction may land, and no other.
        aside = [self._count(view), self._hand_on(view)] if self.fenced is None else []
        told = [Planned(transaction) for transaction in aside if transaction is not None]
        self._commit([*told, Planned(leaving, self._left)])

    def _hand_on(self, view: View) -> Transaction | None:
        return self._pruning.hand_on(view.snapshot, self._observer, self._changes(view))

    def _count(self, view: View) -> Transaction | None:
        return end_of(
            self._transactor.change(view.snapshot),
            view.snapshot,
            worker=self._me,
            incarnation=self._incarnation.id,
            counts=self.counters.frozen(),
            crashed=False,
            forget=self._options.forget,
        )

    def _left(self, outcome: Outcome) -> None:
        if isinstance(outcome, Committed):
            self._work.recorded_all()
            self.left = True
            self.phase = Phase.GONE
        elif self.fenced is not None or isinstance(outcome, Refused):
            # One last transaction may land in a fenced incarnation's name, and this was it.
            self._abandon("its last transaction did not land")

    def _abandon(self, why: str) -> None:
        self._work.drop_all(why)
        self.phase = Phase.GONE
