"""The demo's story: hand in the work, kill a peer in the middle of it, see who takes over, and compare.

Everything is done and seen through an ordinary `Client`. Only the peers' processes are touched directly,
to be started, killed and ended, as a person at a terminal would.
"""

from __future__ import annotations

import dataclasses
import platform
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sentinel.client import Client
from sentinel.clock import Clock
from sentinel.demo.corpus import REGRESSION_TESTS, Package, measure_package, packages, task_ids
from sentinel.demo.display import Display, Frame, PeerLine
from sentinel.demo.fleet import Fleet
from sentinel.demo.report import Evidence, Report, Takeover, judge
from sentinel.errors import SentinelError
from sentinel.fleet.submission import Submission
from sentinel.model.task import Task

#: The task type that `sentinel.demo.tasks` registers.
TYPE = "stdlib-metrics"
#: Tasks that one peer runs at a time: two, so that more than one is lost with it.
SLOTS = 2

#: Part of the tasks that are done before a peer is killed, so that the fleet is seen at work.
_KILL_AFTER = 0.1
#: Seconds after which a demo in which nothing changes any more is given up.
_STALL = 180.0
#: Longest pause in seconds between two looks, and the shortest: a busy fleet commits all the time.
LOOK_EVERY, _PAUSE = 0.25, 0.02
#: Seconds over which the throughput is taken.
_RATE_OVER = 5.0


class Interrupted(SentinelError):
    """Somebody wants the demo to end."""


class GivenUp(SentinelError):
    """The demo took too long, or nothing changed any more."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is to be done, and how long it may take."""

    library: Path
    #: The packages to measure; the largest first, so that no long task is left for the end.
    packages: tuple[Package, ...]
    #: Package name → task id.
    ids: Mapping[str, str]
    #: Packages that are not asked for → how many modules they have.
    left_out: Mapping[str, int]
    #: Seconds for the whole demo.
    timeout: float


def plan_work(library: Path, *, with_tests: bool, timeout: float) -> Work:
    """The work on the standard library in ``library``. Raises `NotFound` where no source is."""
    found = packages(library)
    wanted = [package for package in found if with_tests or package.name != REGRESSION_TESTS]
    return Work(
        library=library,
        packages=tuple(sorted(wanted, key=lambda package: (-package.size, package.name))),
        ids=task_ids(tuple(package.name for package in wanted)),
        left_out={package.name: len(package.modules) for package in found if package not in wanted},
        timeout=timeout,
    )


class Scenario:
    """One run of the story over ``fleet``, seen through ``client``.

    ``interrupted`` gives the name of the signal that asks for the end, once there was one. ``look_every`` is
    the longest pause between two looks, in seconds.
    """

    def __init__(
        self,
        work: Work,
        *,
        fleet: Fleet,
        client: Client,
        display: Display,
        clock: Clock,
        interrupted: Callable[[], str | None],
        look_every: float = LOOK_EVERY,
    ) -> None:
        self._work = work
        self._look_every = look_every
        self._fleet = fleet
        self._client = client
        self._display = display
        self._clock = clock
        self._interrupted = interrupted
        self._began = clock.now()
        self._size = {work.ids[package.name]: package.size for package in work.packages}
        #: What was seen last of tasks and peers in short, and since when.
        self._seen: tuple[object, ...] = ()
        self._seen_at = self._began
        self._done: deque[tuple[float, int]] = deque()
        self._takeover: Takeover | None = None
        self._killed_at = 0.0
        #: Epochs of the victim's tasks when it was killed.
        self._epochs: dict[str, int] = {}

    def run(self) -> Report:
        """Tell the story and judge it. Raises `Interrupted`, `GivenUp`, and what peers and store raise."""
        self._wait_for_peers()
        started = self._clock.now()
        self._submit()
        records = self._watch()
        fleet_seconds = self._clock.now() - started
        self._display.say("all tasks have ended")
        started = self._clock.now()
        single = self._measure_alone()
        names = {task_id: name for name, task_id in self._work.ids.items()}
        done = [task for task in records if task.id in names and task.state == "done"]
        return judge(
            Evidence(
                python=platform.python_version(),
                tasks=self._work.ids,
                records=records,
                fleet={names[task.id]: self._client.result_of(task) for task in done},
                single=single,
                takeover=self._takeover,
                peers=tuple(self._fleet.peers),
                left_out=self._work.left_out,
                fleet_seconds=round(fleet_seconds, 3),
                single_seconds=round(self._clock.now() - started, 3),
            )
        )

    def stay(self, display: Display) -> None:
        """Go on showing the fleet, whatever becomes of it, until somebody wants the end."""
        self._display = display
        while self._interrupted() is None:
            self._show("press Ctrl-C to end the fleet", self._client.tasks())
            self._pause()

    # -- the chapters --------------------------------------------------------------------------------

    def _wait_for_peers(self) -> None:
        while True:
            online = [row.id for row in self._client.workers() if row.status in ("online", "busy")]
            self._display.show(Frame(activity=f"{len(online)} of {len(self._fleet.peers)} peers have joined"))
            self._go_on_or_raise(
                (len(online),), f"{len(online)} of {len(self._fleet.peers)} peers have joined"
            )
            if set(self._fleet.peers) <= set(online):
                self._display.say(f"peers {_words(online)} have joined {self._fleet.place}")
                return
            self._pause()

    def _submit(self) -> None:
        wanted = [
            Submission(
                type=TYPE,
                id=self._work.ids[package.name],
                args={"package": package.name},
                timeout=self._work.timeout,
                retries=2,
            )
            for package in self._work.packages
        ]
        self._client.submit_many(wanted)
        self._display.say(f"handed in {len(wanted)} tasks, one for each package of the standard library")

    def _watch(self) -> Sequence[Task]:
        """Look until all tasks have ended; kill a peer on the way. The records at the end."""
        while True:
            tasks = [task for task in self._client.tasks() if task.id in self._size]
            self._show("the fleet is at work", tasks)
            self._note_takeover(tasks)
            if sum(task.ended for task in tasks) == len(self._size):
                return tasks
            if self._takeover is None:
                self._kill_if_due(tasks)
            seen = (*Counter(task.state for task in tasks).values(), sum(task.epoch for task in tasks))
            left = Counter(task.state for task in tasks if not task.ended)
            self._go_on_or_raise(
                seen, f"{_words([f'{count} tasks {state}' for state, count in sorted(left.items())])}"
            )
            self._pause()

    def _kill_if_due(self, tasks: Sequence[Task]) -> None:
        """``kill -9`` a peer that runs at least two tasks."""
        if sum(task.ended for task in tasks) < _KILL_AFTER * len(self._size):
            return
        weights = {
            name: sum(self._size[task.id] for task in running)
            for name in self._fleet.peers
            if len(running := _running(tasks, name)) >= 2
        }
        if not weights:
            return
        # The one that is likely to run them for longest.
        name = max(weights, key=lambda peer: weights[peer])
        peer = self._fleet.peers[name]
        # What was read may be over by now. A peer that stands still finishes nothing, so what it owns
        # then is what it owns when it dies.
        if not peer.hold(self._clock):
            return
        victims = _running(self._client.tasks(), name)
        if len(victims) < 2:
            peer.go_on()
            return
        self._epochs = {task.id: task.epoch for task in victims}
        self._takeover = Takeover(killed=name, tasks=tuple(self._epochs))
        self._killed_at = self._clock.now()
        peer.kill()
        self._display.say(f"kill -9 {peer.pid}: {name} is dead, while it ran {_words(list(self._epochs))}")

    def _note_takeover(self, tasks: Sequence[Task]) -> None:
        if self._takeover is None or self._takeover.seconds is not None:
            return
        for task in tasks:
            for event in task.history:
                if event.event == "claimed" and event.epoch > self._epochs.get(task.id, event.epoch):
                    seconds = self._clock.now() - self._killed_at
                    self._takeover = dataclasses.replace(
                        self._takeover, seconds=round(seconds, 3), task=task.id, by=event.worker
                    )
                    self._display.say(
                        f"{event.worker} took over {task.id} at epoch {event.epoch}, "
                        f"{seconds:.2f} s after the kill"
                    )
                    return

    def _measure_alone(self) -> dict[str, Any]:
        results: dict[str, Any] = {}
        for package in self._work.packages:
            state = f"one process measured {len(results)} of {len(self._size)} packages, to compare"
            self._display.show(Frame(activity=state))
            self._end_if_wanted(state)
            results[package.name] = measure_package(package.name, self._work.library)
        return results

    # -- at each look --------------------------------------------------------------------------------

    def _show(self, activity: str, tasks: Sequence[Task]) -> None:
        finished = Counter(task.owner for task in tasks if task.state == "done")
        self._display.show(
            Frame(
                activity=activity,
                peers=tuple(
                    PeerLine(
                        id=row.id,
                        status=self._status(row.id, row.status),
                        running=tuple(task.id for task in _running(tasks, row.id)),
                        slots=row.max_tasks,
                        finished=finished[row.id],
                    )
                    for row in self._client.workers()
                ),
                states=Counter(task.state for task in tasks),
                rate=self._rate(sum(finished.values())),
            )
        )

    def _status(self, name: str, status: str) -> str:
        """The status in the store, but of a dead daemon what everybody at this machine can see."""
        peer = self._fleet.peers.get(name)
        if peer is None or peer.alive:
            return status
        return "killed" if peer.killed else "gone"

    def _rate(self, done: int) -> float:
        now = self._clock.now()
        self._done.append((now, done))
        while now - self._done[0][0] > _RATE_OVER:
            self._done.popleft()
        since, before = self._done[0]
        return (done - before) / max(1.0, now - since)

    def _go_on_or_raise(self, seen: tuple[object, ...], state: str) -> None:
        """``seen`` differs from the last look's when there was progress; ``state`` says it for people."""
        self._end_if_wanted(state)
        self._fleet.check()
        if seen != self._seen:
            self._seen, self._seen_at = seen, self._clock.now()
        if self._clock.now() - self._seen_at > _STALL:
            raise GivenUp(f"gave up, as nothing changed for {_STALL:.0f} s: {state}")

    def _end_if_wanted(self, state: str) -> None:
        signal = self._interrupted()
        if signal is not None:
            raise Interrupted(f"ended by {signal}: {state}")
        if self._clock.now() - self._began > self._work.timeout:
            raise GivenUp(f"gave up after {self._work.timeout:g} s (--timeout): {state}")

    def _pause(self) -> None:
        self._clock.sleep(_PAUSE)
        self._client.store.wait(self._look_every)


def _running(tasks: Sequence[Task], worker: str) -> list[Task]:
    return [task for task in tasks if task.state == "running" and task.owner == worker]


def _words(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``; ``nothing``."""
    if len(names) < 2:
        return "".join(names) or "nothing"
    return f"{', '.join(names[:-1])} and {names[-1]}"
