"""GitHub for a fleet in virtual time: the emulator and the proxy before it go by the simulation's clock."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from sentinel.clock import Clock
from sentinel.fleet.duty import Duty, MakeDuties, Post, Workplace
from sentinel.fleet.submission import Declared
from sentinel.github.api import Limits, Options, connect
from sentinel.github.credential import credential
from sentinel.github.duty import IssueDuty
from sentinel.github.duty import Options as IssueOptions
from sentinel.github.governor import Governor, allowance
from sentinel.github.place import Place
from sentinel.github.shared import Shared
from sentinel.model.lease import LeaseTimes
from sentinel.testing.simulation.baton import Baton
from sentinel.testing.simulation.clock import EPOCH
from sentinel.testing.simulation.economy import Economy, Measured, measure
from sentinel.testing.simulation.workload import WORK
from tests.github.allowance import Call, ProxyClock
from tests.github.emulator import OWNER, REPO, Emulator
from tests.github.proxy import Proxy

BASE = LeaseTimes(30.0, 120.0)


class _VirtualClock(ProxyClock):
    """The proxy's time."""

    def __init__(self, baton: Baton) -> None:
        super().__init__()
        self._baton = baton

    def now(self) -> float:
        return EPOCH + self._baton.now


class GitHub:
    """See `sentinel.testing.simulation.economy.Outside`."""

    def __init__(self, emulator: Emulator, proxy: Proxy, place: Place, environ: dict[str, str]) -> None:
        self._emulator = emulator
        self._proxy = proxy
        self._place = place
        self._environ = environ
        self._baton: Baton | None = None

    @property
    def calls(self) -> list[Call]:
        """Every request that the proxy saw."""
        return self._proxy.ledger.calls

    def begin(self, baton: Baton) -> None:
        """Time there is virtual from now on."""
        self._baton = baton
        self._proxy.clock = _VirtualClock(baton)
        self._proxy.arriving = self._tell_time

    def _tell_time(self) -> None:
        assert self._baton is not None
        self._emulator.set_time(EPOCH + self._baton.now)

    def duties(self, clock: Clock) -> tuple[MakeDuties, Workplace]:
        """The real duties, with the real client under its real limits, on a virtual clock."""
        shared = self._shared(clock)

        def make(post: Post) -> Sequence[Duty]:
            api = connect(self._place, Options(environ=self._environ, clock=clock, shared=shared))
            return [IssueDuty(post, api, self._place.path, IssueOptions())]

        place = Workplace(
            url=self._place.store,
            types={WORK: Declared(origin="the economy")},
            environ=self._environ,
            budget=Governor("github", BASE, allowance({}), usage=lambda: shared.meter.usage, clock=clock),
        )
        return make, place

    def _shared(self, clock: Clock) -> Shared:
        return Shared(self._place.api_url, credential(self._environ), clock, Limits())

    def ask(self, number: int, seconds: float) -> None:
        """Somebody who may opens an issue, past the meter."""
        self._tell_time()
        block = f'```sentinel\n{{"type": "{WORK}", "args": {{"seconds": {seconds:.3f}}}}}\n```\n'
        opened = self._emulator.call(
            "POST",
            f"repos/{OWNER}/{REPO}/issues",
            {"title": f"Task {number}", "body": block, "labels": ["sentinel"]},
            login="writer",
        )
        assert opened.status_code == 201, opened.text


def pacing(clock: Clock) -> Governor:
    """A daemon's governor on ``github://``: by git alone, so nobody tells it of the API."""
    return Governor("github", BASE, allowance({}), clock=clock)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a fleet sent in the minutes that count: by git, and to the API as the proxy saw it."""

    git: Measured
    calls: Sequence[Call]

    @property
    def charged_an_hour(self) -> float:
        """Requests that count against the hour."""
        return sum(call.charged for call in self.calls) * 60.0 / self.git.minutes

    @property
    def contents_an_hour(self) -> float:
        """Issues, comments and their like that were made."""
        return sum(call.content for call in self.calls) * 60.0 / self.git.minutes

    @property
    def points_a_minute(self) -> float:
        """On the average."""
        return sum(call.points for call in self.calls) / self.git.minutes

    @property
    def refused(self) -> int:
        """Answers 403 and 429."""
        return sum(call.status in (403, 429) for call in self.calls)

    def worst_minute(self, *, contents: bool) -> int:
        """Most content creations, or points, in any sixty seconds."""
        amounts = [
            (call.at, 1 if contents else call.points) for call in self.calls if call.content or not contents
        ]
        return max(
            (
                sum(amount for at, amount in amounts[place:] if at < first + 60.0)
                for place, (first, _) in enumerate(amounts)
            ),
            default=0,
        )


def bill(hub: GitHub, economy: Economy) -> Bill:
    """Let a fleet work on the emulated GitHub, and see what it costs."""
    measured = measure(dataclasses.replace(economy, outside=hub), pacing)
    begin = EPOCH + economy.gathering * 60.0
    return Bill(git=measured, calls=[call for call in hub.calls if call.at >= begin])
