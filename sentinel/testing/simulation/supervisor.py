"""A simulated supervisor, with the rules of the real one, and the daemon's end of the pipe to it.

It is no thread: it acts when something arrives, when its deadline passes, and when a task ends. It can be
stopped (then everything waits until it goes on, and the tasks run on) and killed (then each task's reaper
ends its task).
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from sentinel.model.lease import GRACE
from sentinel.peer.overseer import Empty, Ended, Event, Fenced, Gone, Recalled, Refused, Started
from sentinel.peer.run.spec import RunCause, RunEnd, RunSpec, StopReason
from sentinel.testing.simulation.baton import Baton
from sentinel.testing.simulation.clock import SimulatedClock, SimulatedEvent


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What one execution of a task will do if it is left alone."""

    #: True seconds that it runs.
    seconds: float
    exit_code: int = 0
    #: Whether it ends at once when it is asked to (SIGTERM).
    obedient: bool = True
    #: Called when it ends by itself: leaves its result.
    leave: Callable[[], None] = lambda: None


class Programs(Protocol):
    """Decides what executions do, and is told of them."""

    def course(self, spec: RunSpec) -> Course:
        """What this execution will do."""

    def began(self, incarnation: str, spec: RunSpec) -> None:
        """Its process runs."""

    def gone(self, incarnation: str, spec: RunSpec, cause: RunCause) -> None:
        """None of its processes is left."""


@dataclasses.dataclass(slots=True)
class _Run:
    spec: RunSpec
    course: Course
    started_at: float
    stopping: StopReason | None = None
    over: bool = False


class _Pipe:
    """Messages take a moment, and keep the order in which they were written."""

    def __init__(self, baton: Baton, rng: random.Random) -> None:
        self._baton = baton
        self._rng = rng
        self._last = 0.0

    def delay(self) -> float:
        """Seconds until a message that is written now arrives."""
        now = self._baton.now
        self._last = max(self._last + 1e-9, now + self._rng.uniform(0.0, 0.003))
        return self._last - now


class Supervisor:
    """One supervisor process on a simulated machine."""

    def __init__(
        self,
        *,
        baton: Baton,
        clock: SimulatedClock,
        rng: random.Random,
        programs: Programs,
        incarnation: str,
        note: Callable[[str], None],
        finished: Callable[[bool], None],
    ) -> None:
        self.incarnation = incarnation
        #: The daemon's end of the pipe; None when the daemon is dead.
        self.overseer: SimulatedOverseer | None = None
        self._baton = baton
        self._clock = clock
        self._rng = rng
        self._programs = programs
        self._note = note
        # Called when the process ends, with whether it left the mark that nothing is left.
        self._finished = finished
        self._told = _Pipe(baton, rng)
        self._deadline: float | None = None
        self._ending: RunCause | None = None
        self._runs: dict[str, _Run] = {}
        #: Lane → what waits there behind the run that goes on.
        self._lanes: dict[str, list[RunSpec]] = {}
        self._pauses = 0
        self._later: list[Callable[[], None]] = []
        #: The process has ended.
        self.over = False

    # -- what others do to it --------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether processes of tasks run."""
        return bool(self._runs)

    def hear(self, message: Callable[[], None]) -> None:
        """A message of the daemon arrives."""

        def act() -> None:
            self._fence_if_late()
            message()

        self._act(act)

    def daemon_gone(self) -> None:
        """End of file on the pipe."""

        def end() -> None:
            self.overseer = None
            self._end_everything("fenced")

        self._act(end)

    def pause(self) -> None:
        """SIGSTOP; the tasks run on."""
        self._pauses += 1

    def resume(self) -> None:
        """SIGCONT."""
        self._pauses -= 1
        if self._pauses or self.over:
            return
        # Whoever slept past the deadline must not read a later one first.
        self._fence_if_late()
        later, self._later = self._later, []
        for act in later:
            if not self.over:
                act()

    @property
    def paused(self) -> bool:
        """Whether it is stopped."""
        return self._pauses > 0

    def kill(self) -> None:
        """SIGKILL: no mark; the reapers end their tasks and go."""
        if self.over:
            return
        self.over = True
        for run in list(self._runs.values()):
            self._baton.after(
                self._rng.uniform(0.0, 0.5) / self._clock.rate, partial(self._over, run, "fenced")
            )
        self._finished(False)
        self._tell(Gone(-9))

    def vanish(self) -> None:
        """The machine lost its power."""
        self.over = True
        for run in list(self._runs.values()):
            self._over(run, "signal")

    # -- requests --------------------------------------------------------------------------------------

    def extend(self, deadline: float) -> None:
        """Let tasks live until ``deadline`` on the machine's clock."""
        if self._ending is None:
            self._deadline = deadline
            self._wait_for_the_deadline()

    def start(self, spec: RunSpec) -> None:
        """Start a run unless it is too late."""
        if self._ending is not None:
            self._tell(Refused(spec.run, "this worker has fenced itself and starts nothing any more"))
        elif self._deadline is None:
            self._tell(Refused(spec.run, "no heartbeat of this worker has been confirmed yet"))
        elif spec.run in self._runs:
            self._tell(Refused(spec.run, "a run of this name is going on"))
        elif spec.lane is not None and any(run.spec.lane == spec.lane for run in self._runs.values()):
            self._lanes.setdefault(spec.lane, []).append(spec)
        else:
            run = _Run(spec, self._programs.course(spec), self._clock.now())
            self._runs[spec.run] = run
            self._programs.began(self.incarnation, spec)
            self._tell(Started(spec.run, 1))
            self._baton.after(run.course.seconds, lambda: self._over(run, "exit"))
            if spec.timeout is not None:
                self._baton.after(spec.timeout / self._clock.rate, lambda: self._over(run, "timeout"))

    def recall(self, lane: str) -> None:
        """Give back what waits in a lane."""
        if self._ending is None:
            self._tell(Recalled(tuple(spec.run for spec in self._lanes.pop(lane, []))))

    def stop(self, name: str, why: StopReason, grace: float) -> None:
        """End one run."""
        for lane, waiting in list(self._lanes.items()):
            if any(spec.run == name for spec in waiting):
                self.recall(lane)
        run = self._runs.get(name)
        if run is None or self._ending is not None:
            return
        run.stopping = run.stopping or why
        reason = run.stopping
        patience = self._rng.uniform(0.0, 0.2) if run.course.obedient else grace
        self._baton.after(patience / self._clock.rate, lambda: self._over(run, reason))

    def end(self) -> None:
        """End everything."""
        self._end_everything("drained")

    # -- the rules -------------------------------------------------------------------------------------

    def _act(self, what: Callable[[], None]) -> None:
        if self.over:
            return
        if self._pauses:
            self._later.append(what)
        else:
            what()

    def _wait_for_the_deadline(self) -> None:
        deadline = self._deadline
        assert deadline is not None

        def look() -> None:
            if deadline == self._deadline:
                self._act(self._fence_if_late)

        # A hair later, for the clock must have come to the deadline and not just nearly.
        self._baton.after((deadline - self._clock.now()) / self._clock.rate + 1e-9, look)

    def _fence_if_late(self) -> None:
        if self._ending is None and self._deadline is not None and self._clock.now() >= self._deadline:
            self._end_everything("fenced")

    def _end_everything(self, cause: RunCause) -> None:
        if self._ending is not None:
            return
        self._ending = cause
        if cause == "fenced":
            self._note("fenced: killing everything")
            self._tell(Fenced(self._clock.now()))
        for spec in [spec for waiting in self._lanes.values() for spec in waiting]:
            self._tell(Refused(spec.run, "this worker has fenced itself"))
        self._lanes.clear()
        for run in list(self._runs.values()):
            patience = self._rng.uniform(0.0, 0.9 * GRACE) / self._clock.rate
            self._baton.after(patience, partial(self._act, partial(self._over, run, cause)))
        self._finish_when_empty()

    def _over(self, run: _Run, cause: RunCause) -> None:
        """None of a run's processes is left; this happens whether or not the supervisor can see it."""
        if run.over:
            return
        run.over = True
        ended_at = self._clock.now()
        if cause == "exit":
            run.course.leave()
        self._programs.gone(self.incarnation, run.spec, cause)
        end = RunEnd(
            run=run.spec.run,
            cause=cause,
            exit_code=run.course.exit_code if cause == "exit" else None,
            started_at=run.started_at,
            ended_at=ended_at,
        )

        def report() -> None:
            self._runs.pop(run.spec.run, None)
            self._tell(Ended(end))
            self._finish_when_empty()
            waiting = self._lanes.get(run.spec.lane or "", [])
            if waiting and not self.over:
                self.start(waiting.pop(0))

        self._act(report)

    def _finish_when_empty(self) -> None:
        if self._ending is None or self._runs or self.over:
            return
        self.over = True
        self._finished(True)
        self._tell(Empty(self._clock.now()))

    def _tell(self, event: Event) -> None:
        overseer = self.overseer
        if overseer is not None:
            self._baton.after(self._told.delay(), lambda: overseer.arrived(event))


class SimulatedOverseer:
    """The daemon's end: an `Overseer` whose messages take a moment each way."""

    def __init__(
        self,
        supervisor: Supervisor,
        wakeup: SimulatedEvent,
        baton: Baton,
        rng: random.Random,
        daemon_dead: Callable[[], bool],
    ) -> None:
        self._supervisor = supervisor
        self._wakeup = wakeup
        self._baton = baton
        self._asked = _Pipe(baton, rng)
        self._daemon_dead = daemon_dead
        self._events: list[Event] = []
        self._last_word = False
        supervisor.overseer = self

    def arrived(self, event: Event) -> None:
        """An event comes out of the pipe."""
        if self._daemon_dead():
            return
        self._events.append(event)
        self._last_word = self._last_word or isinstance(event, Empty | Gone)
        self._wakeup.set_from_outside()

    def extend(self, deadline: float) -> None:
        """See `Overseer.extend`."""
        self._send(lambda: self._supervisor.extend(deadline))

    def start(self, *specs: RunSpec) -> None:
        """See `Overseer.start`."""
        for spec in specs:
            self._send(partial(self._supervisor.start, spec))

    def stop(self, run: str, why: StopReason, grace: float) -> None:
        """See `Overseer.stop`."""
        self._send(lambda: self._supervisor.stop(run, why, grace))

    def recall(self, lane: str) -> None:
        """See `Overseer.recall`."""
        self._send(lambda: self._supervisor.recall(lane))

    def end(self) -> None:
        """See `Overseer.end`."""
        self._send(self._supervisor.end)

    def events(self) -> list[Event]:
        """See `Overseer.events`."""
        self._baton.check()
        found, self._events = self._events, []
        return found

    def close(self) -> None:
        """Close the pipe and wait for the supervisor's end, as long as the real one is waited for."""
        self._baton.check()
        self._send(self._supervisor.daemon_gone)
        for _ in range(100):
            if self._last_word or self._supervisor.over:
                return
            self._baton.sleep(0.1)

    def _send(self, message: Callable[[], Any]) -> None:
        self._baton.check()
        self._baton.after(self._asked.delay(), lambda: self._supervisor.hear(message))
