"""What goes wrong in a simulation: drawn from the seed, each at its moment, all healed in the end."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from sentinel.testing.simulation.baton import Baton
from sentinel.testing.simulation.machine import Machine, Process
from sentinel.testing.simulation.network import Weather
from sentinel.testing.simulation.server import Server
from sentinel.testing.simulation.trace import Trace

#: Fault → how often it happens compared with the others.
FAULTS: Mapping[str, float] = {
    "kill": 3.0,
    "kill-supervisor": 0.5,
    "pause": 3.0,
    "pause-thread": 2.0,
    "pause-supervisor": 0.7,
    "freeze": 1.0,
    "power": 1.0,
    "drain": 1.0,
    "twin": 1.0,
    "partition": 3.0,
    "one-way": 2.0,
    "outage": 0.7,
    "refusals": 1.0,
    "lost-replies": 1.5,
    "held-writes": 2.0,
    "slow-replies": 1.0,
    "lagging-reads": 1.0,
    "wall-clock": 1.0,
    "restart-all": 0.3,
    "rewind": 0.5,
    "limits": 0.7,
    "garbage": 0.7,
    "credentials": 1.0,
    "compact": 0.7,
}


class Fleet(Protocol):
    """What the faults are done to."""

    @property
    def machines(self) -> Sequence[Machine]:
        """All machines, those of people too."""

    def daemons(self) -> list[Process]:
        """The worker daemons that run now."""

    def start_twin(self, worker: str) -> None:
        """Start a second daemon under a worker's id, elsewhere."""


class Misfortune:
    """Lets faults happen until ``until``, and none of them lasts longer."""

    def __init__(
        self,
        *,
        baton: Baton,
        trace: Trace,
        rng: random.Random,
        weather: Weather,
        server: Server,
        fleet: Fleet,
        weights: Mapping[str, float],
        stale: float,
        every: float,
        until: float,
    ) -> None:
        self._baton = baton
        self._trace = trace
        self._rng = rng
        self._weather = weather
        self._server = server
        self._fleet = fleet
        self._names = [name for name in FAULTS if weights.get(name, 0.0) > 0]
        self._weights = [weights[name] for name in self._names]
        self._stale = stale
        self._every = every
        self._until = until
        self.happened: dict[str, int] = {}

    def begin(self) -> None:
        """From now on."""
        if self._names:
            self._next()

    def _next(self) -> None:
        self._baton.after(self._rng.expovariate(1.0) * self._every, self._strike)

    def _strike(self) -> None:
        if self._baton.now >= self._until:
            return
        (name,) = self._rng.choices(self._names, self._weights)
        self.happened[name] = self.happened.get(name, 0) + 1
        what: Callable[[], str | None] = getattr(self, "_" + name.replace("-", "_"))
        told = what()
        if told is not None:
            self._trace.note(self._baton.now, "FAULT", f"{name}: {told}")
        self._next()

    def _long(self) -> float:
        """Seconds: sometimes shorter than D, often about W, sometimes much longer."""
        times = self._rng.choice((0.1, 0.5, 0.8, 1.0, 1.2, 1.5, 3.0))
        seconds = self._stale * times * self._rng.uniform(0.8, 1.2)
        return min(seconds, max(0.0, self._until - self._baton.now))

    def _daemon(self) -> Process | None:
        daemons = self._fleet.daemons()
        return self._rng.choice(daemons) if daemons else None

    # -- processes -------------------------------------------------------------------------------------

    def _kill(self) -> str | None:
        process = self._daemon()
        if process is None:
            return None
        name = process.name
        process.kill()
        return name

    def _kill_supervisor(self) -> str | None:
        process = self._daemon()
        if process is None or process.supervisor is None:
            return None
        process.supervisor.kill()
        return process.name

    def _pause(self) -> str | None:
        process = self._daemon()
        if process is None:
            return None
        seconds = self._long()
        process.stop(seconds)
        return f"{process.name} for {seconds:.2f} s"

    def _pause_thread(self) -> str | None:
        process = self._daemon()
        if process is None:
            return None
        actor = self._rng.choice([actor for actor in process.actors if not actor.over])
        seconds = self._long()
        process.stop_one(actor, seconds)
        return f"{actor.name} for {seconds:.2f} s"

    def _pause_supervisor(self) -> str | None:
        process = self._daemon()
        if process is None or process.supervisor is None:
            return None
        seconds = self._long()
        process.machine.stop_supervisor(process.supervisor, seconds)
        return f"{process.name} for {seconds:.2f} s"

    def _freeze(self) -> str | None:
        machine = self._rng.choice(self._fleet.machines)
        seconds = self._long()
        machine.freeze(seconds)
        return f"{machine.name} for {seconds:.2f} s"

    def _power(self) -> str | None:
        process = self._daemon()
        if process is None:
            return None
        process.machine.lose_power()
        return process.machine.name

    def _drain(self) -> str | None:
        process = self._daemon()
        if process is None:
            return None
        process.interrupt()
        if self._rng.random() < 0.5:
            self._baton.after(self._rng.uniform(0.0, 5.0), process.interrupt)
        return process.name

    def _twin(self) -> str | None:
        process = self._daemon()
        if process is None:
            return None
        worker = process.name.partition("#")[0]
        if self._rng.random() < 0.5:
            process.kill()
        self._fleet.start_twin(worker)
        return worker

    def _restart_all(self) -> str | None:
        for process in self._fleet.daemons():
            process.kill()
        return "all"

    # -- the way to the store --------------------------------------------------------------------------

    def _partition(self) -> str | None:
        machine = self._rng.choice(self._fleet.machines)
        seconds = self._long()
        machine.link.requests_cut_until = machine.link.replies_cut_until = self._baton.now + seconds
        return f"{machine.name} for {seconds:.2f} s"

    def _one_way(self) -> str | None:
        machine = self._rng.choice(self._fleet.machines)
        seconds = self._long()
        machine.link.replies_cut_until = self._baton.now + seconds
        return f"no replies to {machine.name} for {seconds:.2f} s"

    def _outage(self) -> str | None:
        seconds = self._long()
        self._weather.down_until = self._baton.now + seconds
        return f"{seconds:.2f} s"

    def _refusals(self) -> str | None:
        return self._spell("refused", self._rng.uniform(0.1, 0.6))

    def _lost_replies(self) -> str | None:
        return self._spell("reply_lost", self._rng.uniform(0.05, 0.4))

    def _held_writes(self) -> str | None:
        self._weather.hold = self._stale * self._rng.uniform(0.3, 4.0)
        return self._spell("held", self._rng.uniform(0.05, 0.4))

    def _slow_replies(self) -> str | None:
        self._weather.hold = self._stale * self._rng.uniform(0.05, 2.0)
        return self._spell("slow_reply", self._rng.uniform(0.1, 0.9))

    def _lagging_reads(self) -> str | None:
        self._weather.lag = self._stale * self._rng.uniform(0.1, 1.5)
        return self._spell("lagging", self._rng.uniform(0.1, 0.9))

    def _garbage(self) -> str | None:
        return self._spell("garbled", self._rng.uniform(0.05, 0.5))

    def _limits(self) -> str | None:
        seconds = self._long()
        self._weather.limited_until = self._baton.now + seconds
        return f"{seconds:.2f} s"

    def _credentials(self) -> str | None:
        machine = self._rng.choice(self._fleet.machines)
        seconds = self._long()
        machine.link.barred_until = self._baton.now + seconds
        return f"{machine.name} for {seconds:.2f} s"

    def _rewind(self) -> str | None:
        # A machine that had not seen more than what is left would build on it, and lose that in the repair:
        # nothing can keep it from that, so it is no test of anything.
        seen = min(machine.link.seen for machine in self._fleet.machines)
        if seen < 1 or self._server.rewound_to is not None:
            return None
        to = -1 if self._rng.random() < 0.3 else self._rng.randrange(max(0, seen - 20), seen)
        seconds = self._long()
        self._server.rewind(to)
        self._baton.after(seconds, self._server.repair)
        return f"{'deleted' if to < 0 else f'back to @{to}'} for {seconds:.2f} s"

    def _compact(self) -> str | None:
        # Nobody is in doubt for so long: whoever was stopped meanwhile is fenced, and decides anew.
        kept = self._stale * self._rng.uniform(6.0, 12.0)
        return f"{self._server.compact(kept)} commits older than {kept:.0f} s are forgotten"

    def _spell(self, name: str, chance: float) -> str:
        """Let one kind of trouble hold for a while."""
        seconds = self._long()
        setattr(self._weather, name, chance)
        self._baton.after(seconds, lambda: setattr(self._weather, name, 0.0))
        return f"{chance:.2f} for {seconds:.2f} s"

    # -- clocks ----------------------------------------------------------------------------------------

    def _wall_clock(self) -> str | None:
        machine = self._rng.choice(self._fleet.machines)
        machine.timing.wall_error = self._rng.uniform(-7200.0, 7200.0)
        return f"{machine.name} is off by {machine.timing.wall_error:.0f} s"
