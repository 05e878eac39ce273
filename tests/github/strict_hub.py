"""Issues in memory behind GitHub's published limits, and behind our own, in the test's time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sentinel.github.errors import Limited
from sentinel.github.limiter import READ, Limiter, Limits, Turn
from sentinel.github.meter import Usage
from sentinel.testing.clock import ManualClock
from tests.github.allowance import Account, Allowances
from tests.github.memory_hub import MemoryHub, Reply

#: Seconds that one exchange may take, as the client has it.
_PATIENCE = 15.0


class StrictHub:
    """What `Api` keeps to by itself, and GitHub as the judge of it. Reads that bring nothing new are free."""

    def __init__(self, hub: MemoryHub, clock: ManualClock) -> None:
        self._hub = hub
        self._clock = clock
        self._limiter = Limiter(clock, Limits())
        self._account = Account()
        self._allowed = Allowances()
        self._last: dict[tuple[str, str], str] = {}
        #: Requests that GitHub refused, and that our own limit kept back.
        self.refused = self.held_back = 0
        #: When each comment was made, and each request was charged.
        self.created: list[float] = []
        self.charged: list[float] = []

    @property
    def usage(self) -> Usage:
        """What GitHub told last."""
        now = self._clock.now()
        core = self._account.told(now, self._allowed)["rate"]
        assert isinstance(core, dict)
        return Usage(
            limit=core["limit"], remaining=core["remaining"], reset_in=core["reset"] - now, seen_at=now
        )

    def _pass(self, turn: Turn) -> None:
        try:
            with self._limiter.request(turn, patience=_PATIENCE):
                now = self._clock.now()
                if self._account.begin(now, self._allowed, write=turn.write, content=turn.content):
                    self.refused += 1
                    raise AssertionError("GitHub refuses this")
                self.charged.append(now)
                if turn.content:
                    self.created.append(now)
        except Limited:
            self.held_back += 1
            raise

    def _read(self, path: str, params: Mapping[str, str | int] | None, found: object) -> None:
        key, text = (path, repr(params)), repr(found)
        if self._last.get(key) == text:
            # Not modified.
            return
        self._last[key] = text
        self._pass(READ)

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Reply:
        reply = self._hub.get(path, params)
        self._read(path, params, reply.body)
        return reply

    def pages(self, path: str, params: Mapping[str, str | int] | None = None) -> Iterator[Any]:
        found = list(self._hub.pages(path, params))
        for _ in range(max(1, -(-len(found) // 100))):
            self._read(path, params, found)
        yield from found

    def send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, content: bool = False
    ) -> Reply:
        self._pass(Turn(write=True, content=content))
        return self._hub.send(method, path, body, content=content)
