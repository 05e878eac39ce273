"""How many workers there should be: a pure function of the fleet's numbers, rules, and what is remembered.

Two thresholds that are far apart keep the number from swinging, and so do a number of looks that must agree
and a pause after each change. What was asked for counts before it is there: a machine that takes minutes to
start is not asked for twice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Literal

from sentinel.fleet.metrics import Metrics, WorkerMetrics
from sentinel.model.scaling import Scaling

#: Part of an up-trigger below which it does not stand against fewer workers.
_CALM = 0.7


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """When to scale, and how far; shares are 0 to 1. Those of the guide by default."""

    min_workers: int = 1
    max_workers: int = 10
    #: How many workers one change adds or takes away at most.
    step: int = 2
    #: More workers while more than this share of all slots is in use and more than so many tasks wait.
    up_utilization: float = 0.80
    up_queue: int = 50
    #: Fewer while less than this share is in use and fewer than so many wait.
    down_utilization: float = 0.20
    down_queue: int = 10
    #: More workers above each of these alone, too; None leaves it out. Means over workers, in percent;
    #: waiting tasks; seconds from submission to end.
    cpu_percent: float | None = None
    memory_percent: float | None = None
    queue: int | None = None
    response: float | None = None
    #: Looks in a row that must agree.
    looks: int = 2
    #: Seconds after a change in which there is no other.
    cooldown: float = 300.0
    #: Seconds after which a worker that was asked for and has not joined is given up.
    startup: float = 600.0
    #: Whether workers that a scaler started, and that were failed over, are started again.
    restart: bool = True
    #: Workers are named so, with a number.
    prefix: str = "worker-"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is to be done, why, and what to remember."""

    action: Literal["up", "down", "hold"]
    #: Workers to start, and to drain, in this order.
    start: tuple[str, ...] = ()
    drain: tuple[str, ...] = ()
    #: Workers that were drained, have left, and can be forgotten.
    forget: tuple[str, ...] = ()
    #: A sentence for everything that counted.
    reasons: tuple[str, ...] = ()
    #: Workers that there are or will be, before and after.
    size: int
    target: int
    memory: Scaling


def decide(metrics: Metrics, rules: Rules, memory: Scaling, wall: float) -> Decision:
    """The decision at ``wall`` seconds since 1970."""
    return _Deciding(metrics, rules, memory, wall).decide()


class _Deciding:
    def __init__(self, metrics: Metrics, rules: Rules, memory: Scaling, wall: float) -> None:
        self._metrics = metrics
        self._rules = rules
        self._wall = wall
        self._reasons: list[str] = []
        known = {worker.id: worker for worker in metrics.workers}
        #: Workers that take tasks, and those that a cordon alone keeps from it.
        self._here = {
            worker.id: worker
            for worker in metrics.workers
            if worker.status in ("online", "busy", "cordoned") and worker.id not in memory.stopping
        }
        self._left = tuple(name for name in memory.stopping if name not in known or not _lives(known[name]))
        self._memory = dataclasses.replace(
            memory,
            starting=dict(self._still_starting(memory)),
            stopping=tuple(name for name in memory.stopping if name not in self._left),
            managed=tuple(name for name in memory.managed if name not in self._left),
        )
        self._known = known

    def _still_starting(self, memory: Scaling) -> Iterator[tuple[str, float]]:
        for name, since in memory.starting.items():
            waited = self._wall - since
            if name in self._here:
                self._reasons.append(f"{name} has joined")
            elif waited >= self._rules.startup or waited < 0:
                self._reasons.append(f"{name} was asked for {waited:.0f} s ago and has not come; given up")
            else:
                yield name, since

    @property
    def _size(self) -> int:
        return len(self._here.keys() | self._memory.starting.keys())

    def decide(self) -> Decision:
        """More, fewer, or as many as there are."""
        rules, size = self._rules, self._size
        restart = self._to_restart()
        up, down = self._wants_more(), self._wants_fewer()
        self._memory = dataclasses.replace(
            self._memory,
            up_votes=self._memory.up_votes + 1 if up else 0,
            down_votes=self._memory.down_votes + 1 if down else 0,
        )
        if size + len(restart) < rules.min_workers:
            missing = rules.min_workers - size - len(restart)
            self._reasons.append(f"{size} workers are fewer than the minimum of {rules.min_workers}")
            return self._up([*restart, *self._names(missing, restart)])
        if restart:
            return self._up(restart)
        if size > rules.max_workers and not self._cooling():
            self._reasons.append(f"{size} workers are more than the maximum of {rules.max_workers}")
            return self._down(min(rules.step, size - rules.max_workers))
        if up:
            return self._grow(size)
        if down:
            return self._shrink(size)
        return self._hold()

    def _grow(self, size: int) -> Decision:
        if size >= self._rules.max_workers:
            self._reasons.append(f"held: there are {size}, the maximum is {self._rules.max_workers}")
        elif self._agreed(self._memory.up_votes) and not self._cooling():
            return self._up(self._names(min(self._rules.step, self._rules.max_workers - size), ()))
        return self._hold()

    def _shrink(self, size: int) -> Decision:
        if size <= self._rules.min_workers:
            self._reasons.append(f"held: there are {size}, the minimum is {self._rules.min_workers}")
        elif self._memory.starting or self._memory.stopping:
            self._reasons.append("held: an earlier change is not complete")
        elif self._agreed(self._memory.down_votes) and not self._cooling():
            return self._down(min(self._rules.step, size - self._rules.min_workers))
        return self._hold()

    # -- what speaks for it ----------------------------------------------------------------------------

    def _wants_more(self) -> bool:
        rules, use, queue = self._rules, self._metrics.utilization, self._metrics.tasks.queue_length
        wanted = use > rules.up_utilization and queue > rules.up_queue
        self._reasons.append(
            f"{use:.0%} of the slots are in use and {queue} tasks wait; "
            f"more than {rules.up_utilization:.0%} and {rules.up_queue} ask for more workers"
        )
        for what, value, limit, unit in self._triggers():
            if value is not None and value > limit:
                self._reasons.append(f"{what} of {value:g}{unit} is above {limit:g}{unit}: more workers")
                wanted = True
        return wanted

    def _wants_fewer(self) -> bool:
        rules, use, queue = self._rules, self._metrics.utilization, self._metrics.tasks.queue_length
        wanted = use < rules.down_utilization and queue < rules.down_queue and bool(self._here)
        if wanted:
            self._reasons.append(
                f"less than {rules.down_utilization:.0%} and {rules.down_queue} ask for fewer workers"
            )
        for what, value, limit, unit in self._triggers():
            if wanted and value is not None and value > limit * _CALM:
                self._reasons.append(f"{what} of {value:g}{unit} is too near to {limit:g}{unit} for fewer")
                wanted = False
        return wanted

    def _triggers(self) -> Iterator[tuple[str, float | None, float, str]]:
        rules, tasks = self._rules, self._metrics.tasks
        if rules.cpu_percent is not None:
            mean = _mean([worker.cpu_percent for worker in self._here.values()])
            yield "a mean CPU", mean, rules.cpu_percent, "%"
        if rules.memory_percent is not None:
            mean = _mean([worker.memory_percent for worker in self._here.values()])
            yield "a mean memory", mean, rules.memory_percent, "%"
        if rules.queue is not None:
            yield "a queue", float(tasks.queue_length), float(rules.queue), " tasks"
        if rules.response is not None:
            yield "a mean response", tasks.recent_response_seconds, rules.response, " s"

    def _agreed(self, votes: int) -> bool:
        if votes < self._rules.looks:
            self._reasons.append(f"held: look {votes} of {self._rules.looks} that must agree")
            return False
        return True

    def _cooling(self) -> bool:
        changed = self._memory.changed_at
        # A date in the future is another clock's, and says nothing.
        if changed is None or changed > self._wall:
            return False
        passed = self._wall - changed
        if passed < self._rules.cooldown:
            left = self._rules.cooldown - passed
            self._reasons.append(f"held: {left:.0f} s of the pause after the last change are left")
            return True
        return False

    # -- what is done ----------------------------------------------------------------------------------

    def _to_restart(self) -> list[str]:
        if not self._rules.restart or self._cooling_quietly():
            return []
        dead = [
            worker.id
            for worker in self._metrics.expected
            if worker.status == "offline"
            and worker.id in self._memory.managed
            and worker.id not in self._memory.starting
        ]
        room = max(0, self._rules.max_workers - self._size)
        for name in dead[:room]:
            self._reasons.append(f"{name} was failed over and has not come back: started again")
        return dead[:room]

    def _cooling_quietly(self) -> bool:
        before = list(self._reasons)
        cooling = self._cooling()
        self._reasons = before
        return cooling

    def _names(self, number: int, taken: list[str] | tuple[()]) -> list[str]:
        """The first free names; one of a worker that left of its own accord is free again."""
        used = {name for name, worker in self._known.items() if worker.expected}
        used |= {*self._memory.starting, *self._memory.stopping, *taken}
        found: list[str] = []
        count = 0
        while len(found) < number:
            count += 1
            name = f"{self._rules.prefix}{count:03d}"
            if name not in used:
                found.append(name)
        return found

    def _up(self, names: list[str]) -> Decision:
        memory = dataclasses.replace(
            self._memory,
            up_votes=0,
            down_votes=0,
            changed_at=self._wall,
            starting={**self._memory.starting, **dict.fromkeys(names, self._wall)},
            managed=(*self._memory.managed, *(name for name in names if name not in self._memory.managed)),
        )
        return self._decision("up", memory, start=tuple(names))

    def _down(self, number: int) -> Decision:
        idle_first = sorted(
            self._here.values(), key=lambda worker: (worker.utilization, worker.active_tasks, worker.id)
        )
        names = tuple(worker.id for worker in idle_first[:number])
        memory = dataclasses.replace(
            self._memory,
            up_votes=0,
            down_votes=0,
            changed_at=self._wall,
            stopping=(*self._memory.stopping, *names),
        )
        return self._decision("down", memory, drain=names)

    def _hold(self) -> Decision:
        return self._decision("hold", self._memory)

    def _decision(
        self,
        action: Literal["up", "down", "hold"],
        memory: Scaling,
        *,
        start: tuple[str, ...] = (),
        drain: tuple[str, ...] = (),
    ) -> Decision:
        return Decision(
            action=action,
            start=start,
            drain=drain,
            forget=self._left,
            reasons=tuple(self._reasons),
            size=self._size,
            target=self._size + len(start) - len(drain),
            memory=memory,
        )


def _lives(worker: WorkerMetrics) -> bool:
    return worker.status != "offline"


def _mean(numbers: list[float | None]) -> float | None:
    found = [number for number in numbers if number is not None]
    return round(sum(found) / len(found), 1) if found else None
