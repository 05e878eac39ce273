"""An overseer without processes: the test says when a run ends, and time passes on the clock it is given."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from sentinel.clock import Clock
from sentinel.peer.overseer import Empty, Ended, Event, Fenced, Gone, Recalled, Refused, Started
from sentinel.peer.run.spec import RunCause, RunEnd, RunSpec, StopReason


@dataclasses.dataclass(slots=True)
class Run:
    """A run that is going on."""

    spec: RunSpec
    started_at: float
    #: Why it was asked to stop, if it was.
    stopping: StopReason | None = None


class ScriptedOverseer:
    """Keeps the rules of the real supervisor: nothing starts before the first extend or past the deadline,
    fencing is for ever, and `Empty` is the last word."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._events: list[Event] = []
        self.deadline: float | None = None
        self.runs: dict[str, Run] = {}
        #: Every run that was ever started, oldest first.
        self.started: list[RunSpec] = []
        self.ended = False

    def extend(self, deadline: float) -> None:
        if not self.ended:
            self.deadline = deadline

    def start(self, *specs: RunSpec) -> None:
        for spec in specs:
            self._start(spec)

    def _start(self, spec: RunSpec) -> None:
        self.watch()
        if self.ended or self.deadline is None or self._clock.now() >= self.deadline:
            self._events.append(Refused(spec.run, "its incarnation is fenced"))
            return
        self.runs[spec.run] = Run(spec, self._clock.now())
        self.started.append(spec)
        self._events.append(Started(spec.run, 0))

    def stop(self, run: str, why: StopReason, grace: float) -> None:  # noqa: ARG002 - ends at once
        if run in self.runs:
            self.finish(run, cause=why)

    def recall(self, lane: str) -> None:
        waiting = [name for name, run in self.runs.items() if run.spec.lane == lane][1:]
        for name in waiting:
            del self.runs[name]
        self._events.append(Recalled(tuple(waiting)))

    def end(self) -> None:
        if not self.ended:
            self._kill_all("drained")

    def events(self) -> list[Event]:
        self.watch()
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        self.end()

    # -- what a test or simulator does -----------------------------------------------------------

    def watch(self) -> None:
        """What the real supervisor does all the time: end everything once the deadline has passed."""
        if not self.ended and self.deadline is not None and self._clock.now() >= self.deadline:
            self._events.append(Fenced(self.deadline))
            self._kill_all("fenced")

    def finish(
        self, run: str, *, cause: RunCause = "exit", exit_code: int | None = 0, result: Any = None
    ) -> None:
        """Let a run end, with ``result`` as what a Python function returned."""
        running = self.runs.pop(run)
        if running.spec.result_path is not None and cause == "exit" and exit_code == 0:
            Path(running.spec.result_path).write_text(json.dumps({"result": result}))
        end = RunEnd(
            run=run,
            cause=cause,
            exit_code=exit_code if cause == "exit" else None,
            started_at=running.started_at,
            ended_at=self._clock.now(),
        )
        self._events.append(Ended(end))

    def die(self) -> None:
        """Be killed: no mark, no `Empty`."""
        self.runs.clear()
        self.ended = True
        self._events.append(Gone(-9))

    def _kill_all(self, cause: RunCause) -> None:
        for run in list(self.runs):
            self.finish(run, cause=cause)
        self.ended = True
        self._events.append(Empty(self._clock.now()))
