"""How fast a peer may go on a store that limits its users: beats, looks and pushes, and whose turn it is.

A store that costs nothing has no `Pacing`: its peers beat as configured and push when they like. Where pushes
or requests are counted, a pacing turns what a peer sees of its fleet into a `Rhythm`. Each peer does so by
itself, and peers that see the same fleet come to the same rhythm with different turns.

Turns are moments on the wall clock, because that is all that machines have in common. They spread the load
and decide nothing: a peer whose wall clock is wrong pushes at a bad moment, and no more often than it may.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Protocol

from sentinel.clock import Clock, SystemClock
from sentinel.fleet.view import View
from sentinel.model.lease import POLL_JITTER, LeaseTimes
from sentinel.store.opener import extras_of, resolve

#: Part of a turn that passes before it is used: clocks and pauses are not exact.
_WELL = 0.25
#: A beat comes no sooner after the last than this part of the interval, and no later than one interval more.
_SOONEST = 0.5


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A moment that comes back: ``offset`` seconds into every ``every`` seconds of the wall clock."""

    every: float
    offset: float
    #: Seconds for which it lasts; whoever is later waits for the next.
    lasts: float

    def number(self, wall: float) -> int | None:
        """Which turn goes on at ``wall``; None between two turns."""
        number, into = divmod(wall - self.offset, self.every)
        return int(number) if into < self.lasts else None

    def until(self, wall: float, at_least: float = 0.0) -> float:
        """Seconds from ``wall`` until the next turn is well under way, and at least so many."""
        into = (wall + at_least - self.offset - _WELL * self.lasts) % self.every
        return at_least + self.every - into


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """What is in force for one peer until its next look."""

    #: How it beats; the stale threshold is the session TTL that its next beat announces.
    times: LeaseTimes
    #: Longest pause between two looks, in seconds.
    poll: float
    #: When it beats; None for one interval after the last.
    beat: Turn | None = None
    #: When it may push a change of the state; None for at any time.
    push: Turn | None = None
    #: Least seconds between two joins to the fleet; zero where everybody may join at once.
    joins: float = 0.0
    #: Least seconds between two writes of shared memory by this worker's tasks, where those have no turns.
    errands: float = 0.0

    def next_beat(self, announced: float, wall: float) -> float:
        """Seconds to wait after a beat that announced the interval ``announced``.

        Never more than one and a half times what was announced: who counts on the TTL counts on that.
        """
        interval = min(announced, self.times.interval)
        if self.beat is None:
            return interval
        pause = self.beat.until(wall, _SOONEST * interval)
        return pause if pause <= (1 + _SOONEST) * interval else interval

    def takeover_bound(self, round_trip: float, *, announced: float = 0.0) -> float:
        """At most how many seconds after its crash a peer's work is free again; see `LeaseTimes`."""
        return self.times.takeover_bound(
            poll=self.poll,
            jitter=POLL_JITTER,
            round_trip=round_trip,
            announced=announced,
            turn=0.0 if self.push is None else self.push.every,
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one peer sees of its fleet."""

    #: Live workers, this one included.
    workers: int
    #: This worker's place among them, from 0; a worker that joins later comes after it.
    place: int
    #: Beats a minute of live incarnations that are no workers (``locks run``).
    other_beats: float = 0.0
    #: Whether others have joined lately, so that more may be about to.
    gathering: bool = False


#: The fleet of a worker that has not looked yet.
ALONE = Seen(workers=1, place=0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a fleet will send to a store with limits."""

    #: The store's scheme.
    kind: str
    workers: int
    tasks_an_hour: float
    rhythm: Rhythm
    pushes_a_minute: float
    reads_a_second: float
    requests_an_hour: float
    points_a_minute: float
    contents_an_hour: float
    #: Name of a figure above → its limit; infinity where there is none.
    limits: Mapping[str, float]

    def bound(self, round_trip: float) -> float:
        """At most how many seconds after its crash a worker's task is free again; see `takeover_bound`."""
        return self.rhythm.takeover_bound(round_trip)


class Pacing(Protocol):
    """What a store's limits mean for its peers. For one peer; called from its control thread."""

    def rhythm(self, seen: Seen) -> Rhythm:
        """The rhythm of a peer that sees this."""


class Budget(Pacing, Protocol):
    """A pacing that can also be asked beforehand."""

    def forecast(self, workers: int, tasks_an_hour: float) -> Forecast:
        """What a fleet of this size with so much work will send."""


def seen(view: View, incarnation: str) -> Seen:
    """The fleet of the worker that is ``incarnation`` now."""
    living = (live for live in view.incarnations.values() if live.kind == "worker")
    # Whoever joins comes behind all others, whose turns stay where they are.
    workers = [live.id for live in sorted(living, key=lambda live: (live.started_at, live.id))]
    others = (live.interval for live in view.incarnations.values() if live.kind != "worker")
    if incarnation not in workers:
        # It is about to be one of them, behind all others.
        workers.append(incarnation)
    return Seen(
        workers=len(workers),
        place=workers.index(incarnation),
        other_beats=math.fsum(60.0 / interval for interval in others if interval > 0),
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BudgetOptions:
    """What a budget goes by."""

    #: The configured times, which are never shortened.
    times: LeaseTimes
    #: Name of a limit, as in `Forecast` → its value; those that are not named are as published.
    limits: Mapping[str, float] = dataclasses.field(default_factory=dict)
    environ: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    clock: Clock = dataclasses.field(default_factory=SystemClock)


def open_budget(url: str, options: BudgetOptions) -> Budget | None:
    """The budget of the store at ``url``; None for a store without limits. Sends nothing.

    Raises `BadInput` for a URL that names no place.
    """
    opening = resolve(extras_of(url).budget)
    return None if opening is None else opening(url, options)
