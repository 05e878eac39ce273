"""A whole fleet for one test of yours: real workers, memory store, virtual clock, and no waiting.

::

    def test_the_report_survives_its_worker(sentinel_fleet):
        fleet = sentinel_fleet
        fleet.takes("report", 60.0)                    # virtual seconds that an attempt takes
        task = fleet.client.submit("report", {"month": "2026-11"})
        fleet.advance(5.0)
        fleet.kill_worker(fleet.client.get(task.id).owner)
        assert fleet.client.result(task.id) == {"pages": 12}
        assert fleet.executions_of(task.id) == 2       # at least once means: be idempotent

The workers are the product's own; clocks, processes and the way to the store are simulated, and what happens
is judged against the invariants of the design as it happens. A registered function is called in this process
when its attempt begins, and its result counts when the attempt's virtual time has passed: one whose worker is
killed meanwhile has had its effects, and is called again.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import json
import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sentinel.client import Client, ClientOptions
from sentinel.errors import BadInput, NotFound
from sentinel.model.lease import LeaseTimes
from sentinel.model.memory_calls import MemoryPort
from sentinel.model.task import Task
from sentinel.peer.run import context
from sentinel.peer.run.memory import memory
from sentinel.peer.run.plan import Planner, Workshop
from sentinel.peer.run.registered import registered
from sentinel.peer.run.spec import RunCause, RunSpec
from sentinel.peer.work import Plan
from sentinel.testing.checker import Checker
from sentinel.testing.simulated_memory import Desks
from sentinel.testing.simulation.baton import Baton
from sentinel.testing.simulation.clock import Timing
from sentinel.testing.simulation.fleet import serve
from sentinel.testing.simulation.machine import Machine, Process, Universe
from sentinel.testing.simulation.network import Weather
from sentinel.testing.simulation.server import Server
from sentinel.testing.simulation.supervisor import Course
from sentinel.testing.simulation.trace import Trace

#: How the workers beat: a silent one is taken over after ten virtual seconds.
TIMES = LeaseTimes(2.0, 10.0)
#: Seconds for which a partition without an end lasts.
_FOR_GOOD = 1e12


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One call of a registered function."""

    task: str
    worker: str
    fencing_token: int
    #: Virtual seconds since the fleet's beginning.
    at: float


class SimulatedFleet:
    """Workers ``worker-1`` to ``worker-N`` on a machine each. For the thread that made it alone."""

    def __init__(self, folder: Path, *, workers: int = 3, slots: int = 2, seed: int = 0) -> None:
        self._trace = Trace()
        self._baton = Baton(random.Random(f"{seed}/order"), self._trace.switched)
        self._checker = Checker()
        self._desks = Desks()
        self._universe = Universe(
            seed=str(seed),
            baton=self._baton,
            trace=self._trace,
            checker=self._checker,
            server=Server(self._baton, self._checker, self._trace),
            weather=Weather(),
            programs=self,
            folder=folder,
            timeout=TIMES.write_timeout,
            watched=True,
            desk=self._desks,
        )
        self._slots = slots
        self._machines = {
            f"worker-{number}": Machine(self._universe, f"host-{number}", Timing(), proofs=False)
            for number in range(1, workers + 1)
        }
        self._daemons: dict[str, Process] = {}
        self._seconds: dict[str, float] = {}
        #: Every call of a registered function, oldest first.
        self.executions: list[Execution] = []
        desk = Process(Machine(self._universe, "test", Timing(), proofs=False), "test", 1, 1)
        self._client = Client(
            desk.open_store(),
            clock=desk.machine.clock,
            rng=desk.rng(),
            actor="test",
            options=ClientOptions(types={}),
        )

    # -- what a test does ------------------------------------------------------------------------------

    @property
    def client(self) -> Client:
        """A `sentinel.Client` of this fleet; while it waits, virtual time passes."""
        self._begin()
        return self._client

    @property
    def workers(self) -> list[str]:
        """Ids of the workers whose daemons run."""
        self._begin()
        return [worker for worker, process in self._daemons.items() if not process.dead]

    @property
    def now(self) -> float:
        """Virtual seconds since the fleet's beginning."""
        return self._baton.now

    def takes(self, type: str, seconds: float) -> None:
        """From now on an attempt of this type takes so many virtual seconds; otherwise it is one."""
        self._seconds[type] = seconds

    def advance(self, seconds: float) -> None:
        """Let virtual time pass. Raises `Violation` when an invariant does not hold."""
        self._begin()
        self._baton.run(seconds)

    def executions_of(self, task: str) -> int:
        """How often the function was called for a task."""
        return sum(execution.task == task for execution in self.executions)

    def kill_worker(self, worker: str | None = None) -> str:
        """``kill -9`` a worker's daemon, by default one that runs a task; the id of the one it was.

        Its supervisor ends its tasks, and after `TIMES.stale` seconds of silence the others take them over.
        """
        self._begin()
        worker = worker or self._busy()
        self._process(worker).kill()
        return worker

    def start_worker(self, worker: str) -> None:
        """Start the daemon of a worker that was killed."""
        self._begin()
        if not self._daemons[self._known(worker)].dead:
            raise BadInput(f"worker {worker} is running already")
        self._start(worker)

    def pause_worker(self, worker: str, seconds: float) -> None:
        """Stop a worker's daemon, as SIGSTOP does, and let it go on later."""
        self._begin()
        self._process(worker).stop(seconds)

    def partition(self, worker: str, seconds: float | None = None) -> None:
        """Cut a worker off from the store, for so many seconds or until `heal`."""
        link = self._machines[self._known(worker)].link
        link.requests_cut_until = link.replies_cut_until = self.now + (seconds or _FOR_GOOD)

    def heal(self, worker: str) -> None:
        """End a partition."""
        link = self._machines[self._known(worker)].link
        link.requests_cut_until = link.replies_cut_until = self.now

    def timeline(self, *, last: int = 80) -> str:
        """The last events, a line each."""
        return self._trace.timeline(last=last)

    def close(self) -> None:
        """End everything."""
        self._baton.close()

    # -- the programs ----------------------------------------------------------------------------------

    def course(self, spec: RunSpec) -> Course:
        """What an attempt will do: see `sentinel.testing.simulation.supervisor.Programs`."""
        order = json.loads(spec.stdin or "{}")
        left: dict[str, Any] = {}
        # A thread of its own, for the stack of a simulated one is small.
        port = self._desks.port(spec, self._universe.server, self._machines[self._runs_on(spec)])
        thread = threading.Thread(target=lambda: left.update(_call(order, spec, port)), name="task")
        thread.start()
        thread.join()
        self.executions.append(
            Execution(
                task=spec.own[context.TASK_ID],
                worker=self._runs_on(spec),
                fencing_token=int(spec.own[context.FENCING_TOKEN]),
                at=self.now,
            )
        )
        result = Path(spec.result_path or os.devnull)
        return Course(
            seconds=self._seconds.get(order["type"], 1.0),
            exit_code=1 if "error" in left else 0,
            leave=lambda: _leave(result, left),
        )

    def began(self, incarnation: str, spec: RunSpec) -> None:
        """See `Programs`."""
        order = json.loads(spec.stdin or "{}")
        told = {name: order[name] for name in ("type", "args", "positional")}
        epoch = int(spec.own[context.FENCING_TOKEN])
        self._checker.started(self.now, incarnation, spec.run, spec.own[context.TASK_ID], epoch, told)

    def gone(self, incarnation: str, spec: RunSpec, cause: RunCause) -> None:  # noqa: ARG002 - the port names it
        """See `Programs`."""
        self._checker.ended(self.now, incarnation, spec.run)

    # -- the workers -----------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Start the workers when they are first needed: by then the test has registered its functions."""
        if not self._daemons:
            for worker in self._machines:
                self._start(worker)
            self._baton.run(2.0)

    def _start(self, worker: str) -> None:
        def main(process: Process) -> None:
            serve(
                process,
                worker,
                times=TIMES,
                poll=1.0,
                slots=self._slots,
                types=sorted(registered()),
                plan=_make_plan,
            )

        self._daemons[worker] = self._machines[worker].process(worker, main, max_tasks=self._slots)

    def _known(self, worker: str) -> str:
        if worker not in self._machines:
            raise NotFound(f"there is no worker {worker!r}; there are {', '.join(self._machines)}")
        return worker

    def _process(self, worker: str) -> Process:
        process = self._daemons[self._known(worker)]
        if process.dead:
            raise NotFound(f"worker {worker} is not running; start_worker({worker!r}) starts it")
        return process

    def _busy(self) -> str:
        for worker, process in self._daemons.items():
            if not process.dead and process.supervisor is not None and process.supervisor.busy:
                return worker
        raise NotFound("no worker runs a task now; advance() until one does, or name the worker")

    def _runs_on(self, spec: RunSpec) -> str:
        """The worker on whose machine the run keeps its files."""
        return next(
            worker
            for worker, machine in self._machines.items()
            if machine.state_folder in Path(spec.log_path).parents
        )


def _leave(path: Path, left: dict[str, Any]) -> None:
    path.write_text(json.dumps(left))


def _make_plan(folder: Path) -> Plan:
    def make(task: Task) -> RunSpec:
        workshop = Workshop(python="python3", cwd="/", types=registered(), shell=False)
        return Planner(workshop, folder=folder, environ={})(task)

    return make


def _call(order: dict[str, Any], spec: RunSpec, port: MemoryPort) -> dict[str, Any]:
    """What the function left: ``result`` or ``error``, as a worker's child process would."""
    try:
        with _environment(spec), memory.through(port):
            value = registered()[order["type"]].function(*order["positional"], **order["args"])
            if inspect.iscoroutine(value):
                value = asyncio.run(value)
            port.flush()
        return {"result": json.loads(json.dumps(value, allow_nan=False))}
    except BaseException as error:  # noqa: BLE001 - whatever user code raises is the task's error
        return {"error": {"kind": type(error).__name__, "message": str(error)}}


@contextmanager
def _environment(spec: RunSpec) -> Iterator[None]:
    """The environment of the task, for `sentinel.current_task`."""
    names = [name for name in spec.own if name.startswith("SENTINEL_")]
    before = {name: os.environ.get(name) for name in names}
    os.environ.update({name: spec.own[name] for name in names})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
