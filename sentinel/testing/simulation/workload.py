"""What people do with a simulated fleet, and what their tasks do when they run."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sentinel.client import Client, ClientOptions
from sentinel.errors import NotFound, SentinelError
from sentinel.fleet import locks
from sentinel.fleet.submission import Declared
from sentinel.fleet.view import Reader
from sentinel.peer.guard import Guard, GuardOptions, lock_times
from sentinel.peer.run import context
from sentinel.peer.run.plan import Planner, Workshop
from sentinel.peer.run.registered import Registered
from sentinel.peer.run.spec import RunCause, RunSpec
from sentinel.peer.work import Plan
from sentinel.store.transact import Change
from sentinel.testing.checker import Checker
from sentinel.testing.simulation.baton import Baton
from sentinel.testing.simulation.machine import Machine, Process
from sentinel.testing.simulation.supervisor import Course
from sentinel.testing.simulation.trace import Trace

#: The type of task that all simulated workers run.
WORK = "work"
LOCKS = ("deploy", "nightly", "backup")
#: Mean seconds between two looks of one who only looks.
_LOOKS_EVERY = 15.0


def work(seconds: float, failures: int = 0, deadly: bool = False) -> str:
    """What a simulated task is asked to do: run so long, fail so many attempts, or take its worker down."""
    return f"{seconds} {failures} {deadly}"


def own_work(worker: str) -> str:
    """The type of task that this worker runs and no other."""
    return f"{WORK}-{worker}"


def make_plan(worker: str, folder: Path) -> Plan:
    """The product's own plan for a task of this worker, with its files in ``folder``."""
    types = {name: Registered(name=name, function=work, module=__name__) for name in (WORK, own_work(worker))}
    workshop = Workshop(python="python3", cwd="/", types=types, shell=False)
    return Planner(workshop, folder=folder, environ={})


class Executions:
    """The `Programs` of a simulation: what an execution does follows from what its task asks for."""

    def __init__(self, baton: Baton, trace: Trace, checker: Checker, rng: random.Random) -> None:
        self._baton = baton
        self._trace = trace
        self._checker = checker
        self._rng = rng
        #: Called with the incarnation whose worker a task takes down.
        self.take_down: Callable[[str], None] = lambda _: None

    def course(self, spec: RunSpec) -> Course:
        """See `Programs`."""
        if spec.stdin is None:
            return Course(seconds=float(spec.argv[1]), obedient=self._rng.random() < 0.7)
        args = json.loads(spec.stdin)["args"]
        failed = int(spec.own[context.ATTEMPT]) <= args.get("failures", 0)
        return Course(
            # Attempts of one task are not equally fast.
            seconds=args["seconds"] * self._rng.uniform(0.8, 1.2),
            exit_code=1 if failed else 0,
            obedient=self._rng.random() < 0.7,
            leave=(lambda: None) if failed else (lambda: _leave_result(spec)),
        )

    def began(self, incarnation: str, spec: RunSpec) -> None:
        """See `Programs`."""
        now = self._baton.now
        epoch = int(spec.own[context.FENCING_TOKEN])
        if spec.stdin is None:
            self._trace.note(now, incarnation, f"command begins under {spec.argv[2]} at epoch {epoch}")
            self._checker.started_under_lock(now, incarnation, spec.run, spec.argv[2], epoch)
            return
        order = json.loads(spec.stdin)
        task = spec.own[context.TASK_ID]
        self._trace.note(now, incarnation, f"{task} begins at epoch {epoch}")
        told = {name: order[name] for name in ("type", "args", "positional")}
        self._checker.started(now, incarnation, spec.run, task, epoch, told)
        if order["args"].get("deadly"):
            self._baton.after(self._rng.uniform(0.1, 2.0), lambda: self.take_down(incarnation))

    def gone(self, incarnation: str, spec: RunSpec, cause: RunCause) -> None:
        """See `Programs`."""
        now = self._baton.now
        self._trace.note(now, incarnation, f"{spec.own.get(context.TASK_ID, spec.argv[-1])} is gone: {cause}")
        self._checker.ended(now, incarnation, spec.run)


def _leave_result(spec: RunSpec) -> None:
    if spec.result_path is not None:
        what = f"{spec.own[context.TASK_ID]} at epoch {spec.own[context.FENCING_TOKEN]}"
        Path(spec.result_path).write_text(json.dumps({"result": what}))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How much people ask for."""

    #: Tasks that one person hands in.
    tasks: int
    #: True seconds in which they are handed in.
    within: float
    #: Mean seconds that a task runs.
    seconds: float = 8.0
    #: Share of the tasks that take their worker down.
    deadly: float = 0.01
    #: Share of the tasks that only one of `workers` can run.
    particular: float = 0.0
    workers: Sequence[str] = ()


class Person:
    """Hands in tasks, asks again when in doubt, cancels, retries, and looks at results."""

    def __init__(self, process: Process, checker: Checker, trace: Trace, wishes: Wishes) -> None:
        self._process = process
        self._checker = checker
        self._trace = trace
        self._wishes = wishes
        self._rng = process.rng()
        self._baton = process.machine.universe.baton
        self._client = Client(
            process.open_store(),
            clock=process.machine.clock,
            rng=self._rng,
            actor=process.name.partition("#")[0],
            options=ClientOptions(
                types=dict.fromkeys([WORK, *map(own_work, wishes.workers)], Declared(origin="the simulation"))
            ),
        )
        self._asked: dict[str, dict[str, Any]] = {}
        self._open: list[str] = []

    def live(self) -> None:
        """Until all is handed in and acknowledged."""
        rng, baton = self._rng, self._baton
        name = self._process.name.partition("#")[0]
        pause = self._wishes.within / max(1, self._wishes.tasks)
        numbers = iter(range(self._wishes.tasks))
        while True:
            number = next(numbers, None)
            if number is None and not self._open:
                return
            if number is not None:
                baton.sleep(rng.expovariate(1.0) * pause)
                known = sorted(self._asked)
                self._asked[f"{name}-{number}"] = self._spec(known)
                self._open.append(f"{name}-{number}")
            else:
                baton.sleep(1.0)
            for task in list(self._open):
                self._submit(task)
            self._meddle()

    def _spec(self, known: list[str]) -> dict[str, Any]:
        rng = self._rng
        args: dict[str, Any] = {"seconds": round(rng.expovariate(1.0) * self._wishes.seconds, 3)}
        luck = rng.random()
        if luck < 0.1:
            args["failures"] = rng.randint(1, 3)
        elif luck < 0.1 + self._wishes.deadly:
            args["deadly"] = True
        after = rng.sample(known, 1) if known and rng.random() < 0.1 else []
        priority = rng.choice(("normal", "normal", "high", "low"))
        type_ = WORK
        if self._wishes.particular and rng.random() < self._wishes.particular:
            type_ = own_work(rng.choice(self._wishes.workers))
        retries = rng.randint(0, 2)
        return {"type": type_, "args": args, "retries": retries, "after": after, "priority": priority}

    def _submit(self, task: str) -> None:
        def submit() -> None:
            self._client.submit(id=task, timeout=120.0, **self._asked[task])
            self._checker.told_submitted(self._baton.now, task)
            if task in self._open:
                self._open.remove(task)

        try:
            submit()
        except NotFound as error:
            # What it was to run after was pruned in the meantime.
            self._process.note(f"given up: {error}")
            if task in self._open:
                self._open.remove(task)
                del self._asked[task]
        except SentinelError as error:
            self._process.note(f"{type(error).__name__}: {error}")

    def _meddle(self) -> None:
        rng = self._rng
        luck = rng.random()
        handed_in = sorted(self._asked.keys() - set(self._open))
        if not handed_in or luck > 0.5:
            return
        task = rng.choice(handed_in)
        if luck < 0.1:
            self._try(lambda: self._client.cancel(task))
        elif luck < 0.2:
            self._try(lambda: self._client.retry(task))
        elif luck < 0.3:
            # Handing in again what was handed in, in doubt or by a script that runs twice.
            self._submit(task)
        else:
            self._try(lambda: self._look(task))

    def _look(self, task: str) -> None:
        found = self._client.get(task)
        if found.state == "done":
            self._checker.told_result(self._baton.now, task, found.run, found.result)

    def _try(self, what: Callable[[], object]) -> None:
        try:
            what()
        except SentinelError as error:
            self._process.note(f"{type(error).__name__}: {error}")


def hold_tickets(process: Process, until: float) -> None:
    """A script that takes a lock by ticket again and again, and now and then forgets to release it."""
    baton, rng = process.machine.universe.baton, process.rng()
    client = Client(
        process.open_store(),
        clock=process.machine.clock,
        rng=rng,
        actor=process.name.partition("#")[0],
        options=ClientOptions(),
    )
    while baton.now < until:
        baton.sleep(rng.expovariate(1.0) * 20.0)
        try:
            lock = client.acquire_lock(
                rng.choice(LOCKS), ttl=rng.uniform(5.0, 20.0), wait=rng.choice((0.0, 30.0))
            )
            for _ in range(rng.randrange(3)):
                baton.sleep(rng.uniform(0.0, 6.0))
                client.renew_lock(lock.name, lock.epoch)
            if rng.random() < 0.7:
                client.release_lock(lock.name, lock.epoch)
        except SentinelError as error:
            process.note(f"{type(error).__name__}: {error}")


def keep_values(process: Process, until: float) -> None:
    """A program that writes shared memory, at once and behind, with values that expire and a counter."""
    baton, rng = process.machine.universe.baton, process.rng()
    client = Client(
        process.open_store(),
        clock=process.machine.clock,
        rng=rng,
        actor=process.name.partition("#")[0],
        options=ClientOptions(),
    )
    while baton.now < until:
        baton.sleep(rng.expovariate(1.0) * 10.0)
        try:
            key, ttl = f"k{rng.randrange(6)}", rng.choice((None, rng.uniform(2.0, 60.0)))
            client.memory.set(key, rng.randrange(100), ttl=ttl, behind=rng.random() < 0.4)
            client.memory.update("counter", lambda value: value + 1, default=0)
            if rng.random() < 0.2:
                client.memory.delete(f"k{rng.randrange(6)}")
        except SentinelError as error:
            process.note(f"{type(error).__name__}: {error}")


def look_on(process: Process) -> None:
    """Somebody who looks at the state now and then, where nothing else may run for long."""
    baton, rng, store = process.machine.universe.baton, process.rng(), process.open_store()
    while True:
        try:
            store.read()
        except SentinelError as error:
            process.note(f"{type(error).__name__}: {error}")
        baton.sleep(rng.uniform(0.5, 1.5) * _LOOKS_EVERY)


def run_guarded(machine: Machine, lock: str, name: str) -> Process:
    """One ``locks run``."""

    def main(process: Process) -> None:
        rng = process.rng()
        Guard(
            options=GuardOptions(
                lock=lock,
                holder=name,
                hostname=machine.name,
                times=lock_times(rng.choice((10.0, 20.0, 30.0))),
                stale=10.0,
                wait=rng.choice((0.0, 20.0, 60.0)),
                argv=("hold", str(round(rng.expovariate(1.0) * 15.0, 3)), lock),
                env={},
            ),
            open_store=process.open_store,
            state_folder=machine.state_folder,
            boot=machine.boot,
            local_proof=True,
            clock=machine.clock,
            rng=rng,
            surroundings=process.surroundings(),
        ).run()

    return machine.process(name, main)


def prune_locks(process: Process, until: float) -> None:
    """The retention's way with free locks, far more often than it comes to that."""
    baton, rng, store = process.machine.universe.baton, process.rng(), process.open_store()
    number = 0
    while baton.now < until:
        baton.sleep(rng.expovariate(1.0) * 30.0)
        try:
            snapshot = store.read()
            free = [lock for lock in Reader().view(snapshot).locks.values() if not lock.held]
            if not free:
                continue
            lock = rng.choice(sorted(free, key=lambda lock: lock.name))
            number += 1
            change = Change(snapshot, f"prune-{process.name}-{number}")
            locks.prune(change, locks.floor_in(snapshot), [lock])
            store.commit([change.transaction(f"prune lock {lock.name}")])
        except SentinelError as error:
            process.note(f"{type(error).__name__}: {error}")
