"""A simulated fleet: workers on machines, restarted when they end, as a service manager does it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from sentinel.fleet.balancers import find
from sentinel.fleet.duty import MakeDuties, Workplace
from sentinel.fleet.pacing import Pacing
from sentinel.fleet.patterns import Pattern
from sentinel.model.lease import RATE_ERROR, LeaseTimes
from sentinel.model.retention import Terms
from sentinel.model.worker import Worker
from sentinel.peer.notify import Notifier
from sentinel.peer.options import PeerOptions
from sentinel.peer.service import Service, ServiceOptions
from sentinel.peer.work import Plan
from sentinel.testing.simulation.clock import Timing
from sentinel.testing.simulation.machine import Machine, Process, Universe
from sentinel.testing.simulation.pacing import Whim
from sentinel.testing.simulation.workload import WORK, make_plan, own_work


def draw_timing(rng: random.Random) -> Timing:
    """A clock that is as wrong as the design allows, more often at the limits than between them."""
    limit = RATE_ERROR
    rate = 1.0 + rng.choice((-limit, limit, 0.0, rng.uniform(-limit, limit)))
    return Timing(rate=rate, offset=rng.uniform(10.0, 1e6), wall_error=rng.uniform(-7200.0, 7200.0))


class Workers:
    """The worker daemons of a simulation, and who starts them again."""

    def __init__(
        self,
        universe: Universe,
        rng: random.Random,
        *,
        hosts: Sequence[Machine],
        spare: Machine,
        others: Sequence[Machine],
        count: int,
        times: LeaseTimes,
        poll: float,
        slots: int,
        pattern: Pattern = "peer_to_peer",
        paced: bool = False,
        retention: Terms | None = None,
    ) -> None:
        self._universe = universe
        self._rng = rng
        self._hosts = list(hosts)
        self._spare = spare
        self._others = list(others)
        self._times = times
        self._poll = poll
        self._slots = slots
        self._pattern = pattern
        self._paced = paced
        self._retention = retention
        #: Worker id → its daemon, alive or not.
        self._running: dict[str, Process] = {}
        self._homes = {f"w{number + 1}": hosts[number % len(hosts)] for number in range(count)}
        #: A twin's start may make its worker's own one fail for a while.
        self._twins: list[Process] = []
        #: Longest pause before a daemon that ended is started again.
        self.restart_within = 30.0

    @property
    def names(self) -> Sequence[str]:
        """The ids of all workers."""
        return list(self._homes)

    @property
    def machines(self) -> Sequence[Machine]:
        """See `Fleet` in `sentinel.testing.simulation.faults`."""
        return [*self._hosts, self._spare, *self._others]

    def begin(self) -> None:
        """Start all daemons, and go on looking after them."""
        for worker in self._homes:
            self._universe.baton.after(self._rng.uniform(0.0, 3.0), partial(self._start, worker))
        self._universe.baton.after(5.0, self._look_after)

    def daemons(self) -> list[Process]:
        """The worker daemons that run now."""
        return [process for process in (*self._running.values(), *self._twins) if not process.dead]

    def start_twin(self, worker: str) -> None:
        """Start a second daemon under a worker's id, on another machine; it is stopped after a while."""
        twin = self._spare.process(
            worker, lambda process: self._serve(process, worker), max_tasks=self._slots
        )
        self._twins = [process for process in self._twins if not process.dead]
        self._twins.append(twin)
        self._universe.baton.after(self._times.stale * self._rng.uniform(0.5, 6.0), twin.interrupt)
        self._universe.baton.after(self._times.stale * 8.0, twin.kill)

    def take_down(self, incarnation: str) -> None:
        """A task of this incarnation kills its worker, with the supervisor as often as not."""
        for process in self.daemons():
            if process.incarnation == incarnation:
                supervisor = process.supervisor
                if supervisor is not None and self._rng.random() < 0.5:
                    supervisor.kill()
                process.kill()

    def _start(self, worker: str) -> None:
        self._running[worker] = self._homes[worker].process(
            worker, lambda process: self._serve(process, worker), max_tasks=self._slots
        )

    def _look_after(self) -> None:
        for worker, process in list(self._running.items()):
            if process.dead:
                del self._running[worker]
                pause = self._rng.choice((0.0, 0.1, 1.0)) * self.restart_within * self._rng.random()
                self._universe.baton.after(pause, partial(self._start, worker))
        self._universe.baton.after(1.0, self._look_after)

    def _serve(self, process: Process, worker: str) -> None:
        serve(
            process,
            worker,
            times=self._times,
            poll=self._poll,
            slots=self._slots,
            pattern=self._pattern,
            # Two groups, for leaders of their own.
            region=f"region-{sorted(self._homes).index(worker) % 2 + 1}",
            types=(WORK, own_work(worker)),
            plan=partial(make_plan, worker),
            pacing=Whim(self._times, self._poll, process.rng()) if self._paced else None,
            retention=self._retention,
        )


def serve(
    process: Process,
    worker: str,
    *,
    times: LeaseTimes,
    poll: float,
    slots: int,
    types: Sequence[str],
    plan: Callable[[Path], Plan],
    pacing: Pacing | None = None,
    pattern: Pattern = "peer_to_peer",
    region: str | None = None,
    retention: Terms | None = None,
) -> None:
    """Be the worker daemon, until it is told to stop or cannot go on."""
    serve_as(
        process,
        Worker(
            id=worker,
            incarnation="",
            hostname=process.machine.name,
            region=region,
            max_tasks=slots,
            types=tuple(types),
        ),
        PeerOptions(
            worker=worker,
            times=times,
            max_tasks=slots,
            types=frozenset(types),
            balancer=find("least_loaded"),
            poll=poll,
            pacing=pacing,
            pattern=pattern,
            retention=retention,
        ),
        plan,
    )


def serve_as(
    process: Process,
    worker: Worker,
    peer: PeerOptions,
    plan: Callable[[Path], Plan],
    *,
    duties: MakeDuties | None = None,
    place: Workplace | None = None,
) -> None:
    """The same with a registration and options of the caller's, and with duties."""
    machine = process.machine
    process.vigilant = True
    Service(
        options=ServiceOptions(worker=worker, peer=peer, duties=duties, place=place),
        open_store=process.open_store,
        make_plan=plan,
        state_folder=machine.state_folder,
        boot=machine.boot,
        local_proof=True,
        clock=machine.clock,
        rng=process.rng(),
        notifier=Notifier({}),
        surroundings=process.surroundings(),
    ).run()
