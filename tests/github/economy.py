"""GitHub for a fleet in virtual time: the emulator and the proxy before it go by the simulation's clock."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence

from sentinel.clock import Clock, SystemClock
from sentinel.fleet.duty import Duty, MakeDuties, Post, Workplace
from sentinel.fleet.submission import Declared
from sentinel.github.api import Api, Limits, Options, connect
from sentinel.github.budget import Kind
from sentinel.github.credential import credential
from sentinel.github.duty import IssueDuty
from sentinel.github.duty import Options as IssueOptions
from sentinel.github.git import GitData
from sentinel.github.governor import Governor, allowance
from sentinel.github.opening import make_branch
from sentinel.github.place import Place
from sentinel.github.shared import Shared, requester_of
from sentinel.github.store import ApiStore
from sentinel.model.lease import LeaseTimes
from sentinel.store.opener import StoreOptions
from sentinel.testing.simulation.baton import Baton
from sentinel.testing.simulation.clock import EPOCH
from sentinel.testing.simulation.economy import Economy, MakeStore, Measured, measure
from sentinel.testing.simulation.machine import Process
from sentinel.testing.simulation.workload import WORK
from tests.github.allowance import Call, ProxyClock
from tests.github.emulator import OWNER, REPO, Emulator
from tests.github.proxy import Proxy

BASE = LeaseTimes(30.0, 120.0)
#: Real seconds that one exchange with the emulator may take.
_REAL_PATIENCE = 300.0


class _VirtualClock(ProxyClock):
    """The proxy's time."""

    def __init__(self, baton: Baton) -> None:
        super().__init__()
        self._baton = baton

    def now(self) -> float:
        return EPOCH + self._baton.now


class GitHub:
    """See `sentinel.testing.simulation.economy.Outside`.

    With ``github`` git is the simulator's store, with ``github+api`` the state goes through the API, too.
    """

    def __init__(
        self, emulator: Emulator, proxy: Proxy, place: Place, environ: dict[str, str], kind: Kind = "github"
    ) -> None:
        self._emulator = emulator
        self._proxy = proxy
        self._place = place
        self._environ = environ
        self._kind = kind
        self._baton: Baton | None = None
        self._processes: dict[int, Shared] = {}
        self.stores: MakeStore | None = self._open_store if kind == "github+api" else None

    @property
    def calls(self) -> list[Call]:
        """Every request that the proxy saw."""
        return self._proxy.ledger.calls

    def begin(self, baton: Baton) -> None:
        """Time there is virtual from now on."""
        self._baton = baton
        self._proxy.clock = _VirtualClock(baton)
        self._proxy.arriving = self._tell_time
        if self._kind == "github+api":
            clock = SystemClock()
            make_branch(GitData(self._api(clock)), self._place, "tester", clock=clock, rng=random.Random(1))

    def _open_store(self, process: Process, timeout: float | None) -> ApiStore:
        machine = process.machine
        options = StoreOptions(actor=process.name.partition("#")[0], state_folder=machine.state_folder)
        return ApiStore(
            self._api(machine.clock, timeout or 15.0), options, clock=machine.clock, rng=process.rng()
        )

    def _api(self, clock: Clock, timeout: float = 15.0) -> Api:
        options = Options(environ=self._environ, clock=clock, shared=self._shared(clock), timeout=timeout)
        api = connect(self._place, options)
        # Virtual time stands still while a busy machine takes its time to answer.
        api._requester = requester_of(self._place.api_url, api._auth, _REAL_PATIENCE)
        return api

    def pacing(self, clock: Clock) -> Governor:
        """The governor of one daemon, told of the hour by its own client."""
        shared = self._shared(clock)
        return Governor(self._kind, BASE, allowance({}), usage=lambda: shared.meter.usage, clock=clock)

    def _tell_time(self) -> None:
        assert self._baton is not None
        self._emulator.set_time(EPOCH + self._baton.now)

    def duties(self, clock: Clock) -> tuple[MakeDuties, Workplace]:
        """The real duties, with the real client under its real limits, on a virtual clock."""

        def make(post: Post) -> Sequence[Duty]:
            return [IssueDuty(post, self._api(clock), self._place.path, IssueOptions())]

        place = Workplace(
            url=self._place.store,
            types={WORK: Declared(origin="the economy")},
            environ=self._environ,
            budget=self.pacing(clock),
        )
        return make, place

    def _shared(self, clock: Clock) -> Shared:
        """What all clients of one machine have in common, as those of one process do."""
        if id(clock) not in self._processes:
            fresh = Shared(self._place.api_url, credential(self._environ), clock, Limits())
            self._processes[id(clock)] = fresh
        return self._processes[id(clock)]

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
    measured = measure(dataclasses.replace(economy, outside=hub), hub.pacing)
    begin = EPOCH + economy.gathering * 60.0
    return Bill(git=measured, calls=[call for call in hub.calls if call.at >= begin])
