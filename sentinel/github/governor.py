"""The budget of a store on GitHub as a running peer has it: limits, and what GitHub said last of the hour."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping

from sentinel.clock import Clock
from sentinel.errors import Unavailable
from sentinel.fleet.pacing import BudgetOptions, Forecast, Rhythm, Seen
from sentinel.github import budget
from sentinel.github.budget import Allowance, Credit, Kind, MirrorShare
from sentinel.github.credential import credential
from sentinel.github.limiter import Limits
from sentinel.github.meter import Usage
from sentinel.github.place import locate
from sentinel.github.shared import shared
from sentinel.model.lease import LeaseTimes


class Governor:
    """See `sentinel.fleet.pacing.Budget`. Any thread may ask it."""

    def __init__(
        self,
        kind: Kind,
        base: LeaseTimes,
        allowed: Allowance,
        *,
        usage: Callable[[], Usage] = Usage,
        clock: Clock,
        limit_is_given: bool = False,
    ) -> None:
        self._kind = kind
        self._base = base
        self._allowed = allowed
        self._usage = usage
        self._clock = clock
        self._limit_is_given = limit_is_given

    @property
    def allowed(self) -> Allowance:
        """The limits, with the hour that GitHub has told of."""
        told = self._usage().limit
        if told is None or self._limit_is_given:
            return self._allowed
        return dataclasses.replace(self._allowed, requests_an_hour=float(told))

    @property
    def credit(self) -> Credit | None:
        """What is left of the hour; None before GitHub said anything, and when that hour is over."""
        usage = self._usage()
        if usage.remaining is None or usage.reset_in is None or usage.seen_at is None:
            return None
        reset_in = usage.seen_at + usage.reset_in - self._clock.now()
        return None if reset_in <= 0 else Credit(remaining=float(usage.remaining), reset_in=reset_in)

    def rhythm(self, seen: Seen) -> Rhythm:
        """See `sentinel.fleet.pacing.Pacing`."""
        return budget.rhythm(self._kind, self._base, seen, self.allowed, self.credit)

    def forecast(self, workers: int, tasks_an_hour: float) -> Forecast:
        """See `sentinel.fleet.pacing.Budget`."""
        return budget.forecast(
            self._kind, self._base, workers=workers, tasks_an_hour=tasks_an_hour, allowed=self.allowed
        )

    def intake_pause(self) -> float:
        """Seconds between two rounds of intake, by what is left of the hour."""
        allowed = self.allowed
        return budget.intake_pause(allowed, budget.requests_an_hour(allowed, self.credit))

    def push_pause(self) -> float:
        """Least seconds between two pushes of intake and mirror together."""
        return budget.push_pause(self._allowed)

    def mirror_share(self) -> MirrorShare:
        """What showing tasks may cost, by what is left of the hour."""
        allowed = self.allowed
        return budget.mirror_share(self._kind, allowed, budget.requests_an_hour(allowed, self.credit))


def open_governor(url: str, options: BudgetOptions) -> Governor:
    """The governor of a ``github://`` or ``github+api://`` store, metered by this process's clients.

    Without credentials it goes by the published limits. Raises `BadInput` for a URL that names no repository.
    """
    place = locate(url, options.environ)
    usage: Callable[[], Usage] = Usage
    try:
        meter = shared(place.api_url, credential(options.environ), options.clock, Limits()).meter
    except Unavailable:
        pass
    else:
        usage = lambda: meter.usage  # noqa: E731 - a name for it would say no more
    return Governor(
        "github+api" if url.startswith("github+api:") else "github",
        options.times,
        allowance(options.limits),
        usage=usage,
        clock=options.clock,
        limit_is_given="requests_an_hour" in options.limits,
    )


def allowance(limits: Mapping[str, float]) -> Allowance:
    """The published limits with some replaced; zero stands for none."""
    return dataclasses.replace(Allowance(), **{name: value or math.inf for name, value in limits.items()})
