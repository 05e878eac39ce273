"""The attempts of one incarnation: what runs, what is over, what is recorded.

An attempt goes through three hands. It *runs* under the overseer; it is *over* when the overseer says that
none of its processes is left; its *ending* is known when its outputs are stored, and stays here until the
transaction that records it has landed. None of these steps can be skipped by a store that is away.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Iterator

from sentinel.clock import Clock
from sentinel.errors import BadRecord, SentinelError
from sentinel.fleet import tasks
from sentinel.fleet.view import View
from sentinel.model.codec import flat
from sentinel.model.counts import Counts
from sentinel.model.evolve import evolve
from sentinel.model.task import Ending, Fence, Task
from sentinel.peer.desk import Desk, NoDesk
from sentinel.peer.endings import Outcome, outcome_of
from sentinel.peer.lanes import Lanes
from sentinel.peer.lease import Lease
from sentinel.peer.options import PeerOptions
from sentinel.peer.overseer import Empty, Ended, Fenced, Gone, Overseer, Recalled, Refused, Started
from sentinel.peer.reports import Attempt
from sentinel.peer.run.spec import ANY_LANE, RunEnd, RunSpec, StopReason
from sentinel.store.base import Committed, Rider, Transaction
from sentinel.store.base import Outcome as StoreOutcome
from sentinel.store.base import Refused as RefusedByStore
from sentinel.store.transact import Change, Transactor

log = logging.getLogger(__name__)

#: Bytes of outputs after which what else is over waits for the next exchange with the store.
_AT_ONCE = 32 * 1024 * 1024

#: Makes the complete description of one execution. Raises `SentinelError` when the task cannot be run here.
Plan = Callable[[Task], RunSpec]


@dataclasses.dataclass(frozen=True, slots=True)
class Planned:
    """A transaction of this tick's batch, and what to do with its outcome."""

    transaction: Transaction
    #: By default nothing: the outcome shows in the next look.
    settle: Callable[[StoreOutcome], None] = lambda _: None
    #: Whether there may be more to do once it has landed, which only another look shows.
    opens: bool = True


@dataclasses.dataclass(slots=True)
class Counters:
    """What this incarnation did, for people."""

    claimed: int = 0
    lost_claims: int = 0
    ended: int = 0
    conflicts: int = 0
    stale_results: int = 0
    failovers: int = 0

    def frozen(self) -> Counts:
        """The numbers as they are now, for a beat."""
        return Counts(**flat(self))


@dataclasses.dataclass(slots=True)
class _Running:
    fence: Fence
    #: The type of its task.
    type: str
    spec: RunSpec
    #: Whether its program was seen to run.
    started: bool = False
    #: Why it was asked to stop, if it was.
    stopping: StopReason | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class _Known:
    """An attempt whose ending is known; ``spec`` is None when there are no files of it."""

    fence: Fence
    ending: Ending
    spec: RunSpec | None
    #: Whether the store refused it once, and ``ending`` only says so.
    refused: bool = False


class Work:
    """Starts, stops and ends the attempts of one incarnation. For the control thread alone."""

    def __init__(
        self,
        *,
        options: PeerOptions,
        transactor: Transactor,
        overseer: Overseer,
        lease: Lease,
        plan: Plan,
        ended: Callable[[RunSpec], None],
        counters: Counters,
        desk: Desk | None = None,
    ) -> None:
        self._options = options
        self._transactor = transactor
        self._overseer = overseer
        self._desk = desk if desk is not None else NoDesk()
        self._lease = lease
        self._plan = plan
        self._ended = ended
        self._counters = counters
        self._running: dict[str, _Running] = {}
        #: Task → its run, of those that run now.
        self._run_of: dict[str, str] = {}
        self._lanes = Lanes()
        #: What the overseer is yet to be told to start.
        self._starting: list[RunSpec] = []
        self._over: list[tuple[_Running, RunEnd]] = []
        self._endings: dict[str, _Known] = {}
        #: Whether the overseer said that no task process is left.
        self.empty = False
        #: Whether the overseer died without saying so.
        self.gone = False

    def reconfigure(self, options: PeerOptions) -> None:
        """Stop runs by these options from now on."""
        self._options = options

    @property
    def _clock(self) -> Clock:
        return self._transactor.clock

    @property
    def running(self) -> set[str]:
        """Ids of the tasks that run now, or wait in a lane."""
        return set(self._run_of)

    def runs(self, task_id: str) -> bool:
        """Whether the task runs now, or waits in a lane."""
        return task_id in self._run_of

    @property
    def busy(self) -> int:
        """Slots in which something runs."""
        return len(self._running) - self._lanes.waiting

    @property
    def room_ahead(self) -> int:
        """How many tasks may be claimed at most beyond the slots that are free."""
        return self._lanes.room(self._slots)

    def ahead(self, types: Iterable[str]) -> int:
        """How many tasks of these types, in their order, may be claimed beyond the slots that are free."""
        return self._lanes.ahead(types, slots=self._slots)

    @property
    def _slots(self) -> int:
        """Slots that are not taken by processes of their own."""
        cold = len(self._running) - self._lanes.waiting - self._lanes.busy
        return max(0, self._options.max_tasks - cold)

    def next_due(self, now: float) -> float:
        """Seconds until a lane may have to be relieved."""
        return self._lanes.next_due(now)

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """What runs now and can say how far it is."""
        return tuple(
            Attempt(run.fence.task, run.fence.epoch, run.spec.progress_path)
            for name, run in self._running.items()
            # What waits has said nothing yet, and a beat would look for that in a file for each of hundreds.
            if run.spec.progress_path is not None and not self._lanes.waits(name)
        )

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits to be recorded."""
        return not (self._running or self._over or self._endings)

    # -- running ------------------------------------------------------------------------------------

    def start(self, claimed: Task) -> None:
        """Start an attempt whose claim has landed; `set_off` follows, for all of them together."""
        fence = claimed.fence()
        try:
            spec = self._plan(claimed)
        except SentinelError as error:
            ending = Ending(cause="error", message=str(error), retry=False)
            self._endings[claimed.id] = _Known(fence, ending, None)
            return
        if self._lease.fenced is None:
            self._launch(_Running(fence, claimed.type, self._desk.admit(spec, fence)))

    def _launch(self, run: _Running) -> None:
        name = run.spec.run
        if run.spec.lane is not None:
            lane = self._lanes.place(name, slots=max(1, self._slots), now=self._clock.now())
            run.spec = evolve(run.spec, lane=lane)
        self._running[name] = run
        self._run_of[run.fence.task] = name
        self._starting.append(run.spec)

    def set_off(self) -> None:
        """Hand over to the overseer what was to start."""
        if self._starting:
            self._overseer.start(*self._starting)
            self._starting = []

    def take_events(self) -> None:
        """Take in what the overseer has to tell, and relieve lanes in which something takes long."""
        self._lanes.ticked(self._clock.now())
        for event in self._overseer.events():
            match event:
                case Ended(end):
                    run = self._take(end.run)
                    if run is not None:
                        self._desk.dismiss(run.fence)
                        self._over.append((run, end))
                        if run.spec.lane is not None and end.cause == "exit":
                            self._lanes.took(run.type, end.ended_at - end.started_at)
                            run.started = True
                case Started(name, _):
                    if name in self._running:
                        self._running[name].started = True
                case Refused(name, why):
                    run = self._take(name)
                    if run is not None:
                        self._give_back(run, why)
                case Recalled(names):
                    self._relaunch([run for name in names if (run := self._take(name)) is not None])
                case Fenced():
                    self._lease.fence("no beat was confirmed before the deadline")
                case Empty():
                    self.empty = True
                case Gone(status):
                    self.gone = True
                    self._lease.fence(f"its supervisor died (status {status})")
        self.set_off()
        for lane in self._lanes.held_up(self._clock.now()):
            self._overseer.recall(lane)

    def _take(self, name: str) -> _Running | None:
        run = self._running.pop(name, None)
        if run is not None:
            del self._run_of[run.fence.task]
            self._lanes.over(name, self._clock.now())
        return run

    def _relaunch(self, runs: Iterable[_Running]) -> None:
        """Runs that waited behind a long one: into slots that are free, or back to the fleet."""
        for run in runs:
            free = self.busy < self._options.max_tasks and self._lease.fenced is None
            if free and run.stopping is None:
                run.spec = dataclasses.replace(run.spec, lane=ANY_LANE)
                self._launch(run)
            else:
                self._give_back(run, "it waited behind a task that takes long")

    def _give_back(self, run: _Running, why: str) -> None:
        self._desk.dismiss(run.fence)
        ending = Ending(cause=run.stopping or "drained", message=why)
        self._endings[run.fence.task] = _Known(run.fence, ending, None if run.spec.lane else run.spec)

    def stop_unwanted(self, view: View) -> None:
        """Stop what is to be cancelled, and what runs under a claim that is not in force any more."""
        for name, run in self._running.items():
            if run.stopping is not None:
                continue
            task = view.tasks.get(run.fence.task)
            if task is None or not task.held_under(run.fence):
                log.warning("the claim on %s is not in force any more; ending it", run.fence.task)
                self._overseer.stop(name, "drained", self._options.stop_grace)
                run.stopping = "drained"
            elif task.cancel_requested is not None:
                self._overseer.stop(name, "cancelled", self._options.stop_grace)
                run.stopping = "cancelled"

    def end(self) -> None:
        """Kill everything that runs; `empty` (or `gone`) follows."""
        self._overseer.end()

    # -- recording ----------------------------------------------------------------------------------

    def store_outputs(self, rider: Rider | None = None) -> bool:
        """Store logs and large results of what is over, together; True when there was anything to store.

        Raises store errors, and is then called again.
        """
        stored = False
        while self._over:
            runs, found, size = 0, [], 0
            while runs < len(self._over) and (not runs or size < _AT_ONCE):
                found.append(self._outcome(*self._over[runs]))
                size += sum(map(len, found[-1].blobs))
                runs += 1
            blobs = [blob for each in found for blob in each.blobs]
            names = iter(self._keep(blobs, rider))
            commit = self._transactor.store.kept_in
            stored = stored or size > 0
            for (run, end), outcome in zip(self._over, found, strict=False):
                ending = outcome.ending([next(names) for _ in outcome.blobs], commit)
                self._endings[run.fence.task] = _Known(run.fence, ending, run.spec if end.files else None)
            del self._over[:runs]
        return stored

    def _keep(self, blobs: list[bytes], rider: Rider | None) -> list[str]:
        store = self._transactor.store
        return store.keep(blobs) if rider is None else store.keep_and_carry(blobs, rider)

    def _outcome(self, run: _Running, end: RunEnd) -> Outcome:
        if end.cause == "exit" and end.ended_at >= self._lease.deadline:
            # It outlived the right to its lease: somebody else may have begun it anew.
            end = dataclasses.replace(end, cause="fenced", exit_code=None)
        return outcome_of(end, run.spec, self._options.redactor, started=run.started)

    def finishes(self, view: View, begin: Callable[[], Change]) -> Iterator[Planned]:
        """Transactions that record endings; stale ones are dropped here, with both epochs in the log."""
        wall = self._clock.wall()
        for known in list(self._endings.values()):
            transaction = tasks.end(begin(), view, known.fence, known.ending, wall=wall)
            if transaction is None:
                self._drop(known, _newest(view, known.fence.task))
            else:
                yield Planned(transaction, self._recorded(known))

    def hand_back(self, view: View, incarnation: str, begin: Callable[[], Change]) -> Iterator[Planned]:
        """Give back tasks that name this incarnation and that it neither runs nor waits for."""
        mine = self._run_of.keys() | self._endings.keys() | {run.fence.task for run, _ in self._over}
        for task in _held(view, incarnation):
            if task.id not in mine:
                ending = Ending(cause="drained", message="it was claimed and never started")
                transaction = tasks.end(begin(), view, task.fence(), ending, wall=self._clock.wall())
                if transaction is not None:
                    yield Planned(transaction)

    def leaving(self, view: View, incarnation: str, why: str) -> list[tuple[Fence, Ending]]:
        """How each attempt that is still open ends with the incarnation: as known, or handed back."""
        endings = [(known.fence, known.ending) for known in self._endings.values()]
        endings += [
            (task.fence(), Ending(cause="drained", message=why))
            for task in _held(view, incarnation)
            if task.id not in self._endings
        ]
        return endings

    def recorded_all(self) -> None:
        """The transaction that `leaving` went into has landed."""
        for known in list(self._endings.values()):
            self._recorded(known)(Committed(""))

    def drop_all(self, why: str) -> None:
        """Nothing more can be recorded in this incarnation's name."""
        for known in list(self._endings.values()):
            self._drop(known, why)

    def _recorded(self, known: _Known) -> Callable[[StoreOutcome], None]:
        def settle(outcome: StoreOutcome) -> None:
            if isinstance(outcome, Committed):
                self._counters.ended += 1
                self._forget(known)
            elif isinstance(outcome, RefusedByStore) and known.refused:
                self._drop(known, f"the store refuses even to record that: {outcome.reason}")
            elif isinstance(outcome, RefusedByStore):
                message = f"the store refused its result: {outcome.reason}"
                ending = Ending(cause="error", message=message, retry=False)
                self._endings[known.fence.task] = dataclasses.replace(known, ending=ending, refused=True)

        return settle

    def _drop(self, known: _Known, why: str) -> None:
        self._counters.stale_results += 1
        log.warning(
            "the result of %s at epoch %d is stale and dropped: %s", known.fence.task, known.fence.epoch, why
        )
        self._forget(known)

    def _forget(self, known: _Known) -> None:
        del self._endings[known.fence.task]
        if known.spec is not None:
            self._ended(known.spec)


def _newest(view: View, task_id: str) -> str:
    try:
        task = view.task(task_id)
    except BadRecord as problem:
        return f"the record {problem}"
    return "the task is gone" if task is None else f"the task is {task.state} at epoch {task.epoch}"


def _held(view: View, incarnation: str) -> Iterator[Task]:
    return (task for task in view.running.values() if task.incarnation == incarnation)
