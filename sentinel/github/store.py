"""The store of a fleet whose peers reach GitHub by its API alone: ``github+api://owner/repo``.

Documents, sessions and blobs lie where the git store keeps them, in the same form, so that peers of both
kinds can share a repository. A commit is three requests (a tree, a commit, the ref), and the last is the
compare-and-swap: a ref moves only forwards, and the new commit's parent is the head that was judged.
`docs/decisions/0008-github-api-store.md` tells what was weighed, and what each thing costs.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Mapping, Sequence

from sentinel.clock import Clock, SystemClock
from sentinel.entropy import system_random
from sentinel.errors import Unavailable
from sentinel.github.api import Api
from sentinel.github.blobs import Blobs
from sentinel.github.git import GitData
from sentinel.github.hand import Hand
from sentinel.github.objects import ApiSnapshot, Folder
from sentinel.github.sessions import Sessions
from sentinel.github.state import State
from sentinel.github.way import Way
from sentinel.model.ids import IdSource
from sentinel.store.base import (
    Committed,
    Conflicted,
    Entry,
    Expected,
    Outcome,
    Register,
    Store,
    Transaction,
    Version,
    Written,
    notes,
)
from sentinel.store.high_water import HighWater
from sentinel.store.landing import Landing
from sentinel.store.opener import StoreOptions
from sentinel.store.pace import JITTER, Pace

#: Tries of one commit against competitors before it gives up.
_TRIES = 30
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 4.0
#: Looks at the state between two at how much is kept on this machine.
_TIDY_EVERY = 200


class ApiStore(Store):
    """One client of a repository on GitHub.

    Raises `NotAStore` when there is no fleet, `Unavailable` when GitHub cannot be reached or lets us do
    nothing now.
    """

    hears = False

    def __init__(
        self, api: Api, options: StoreOptions, *, clock: Clock | None = None, rng: random.Random | None = None
    ) -> None:
        self._clock = clock if clock is not None else SystemClock()
        self._rng = rng if rng is not None else system_random()
        self._api = api
        self._git = GitData(api)
        self._where = api.place.store
        self._folder = Folder(options.state_folder, self._git)
        self._state = State(api.place, self._git, self._folder, HighWater(options.state_folder), self._clock)
        hand = Hand(
            git=self._git,
            store=self._where,
            actor=options.actor,
            ids=IdSource(self._rng, self._clock.wall),
            clock=self._clock,
            attempts=self._attempts,
        )
        self._blobs = Blobs(hand, self._folder)
        self._sessions = Sessions(dataclasses.replace(hand, git=GitData(api, urgent=True)))
        way = Way(hand, self._state, self._folder)
        self._landing = Landing(way, lambda: self._attempts(_TRIES))
        self._pace = Pace()
        self._due = float("-inf")
        self._seen: str | None = None
        self._looks = 0
        try:
            self._state.newest()
        except BaseException:
            self.close()
            raise

    # -- reading --------------------------------------------------------------------------------------

    def read(self) -> ApiSnapshot:
        self._looks += 1
        if self._looks % _TIDY_EVERY == 0:
            self._state.tidy()
        snapshot = self._state.newest()
        self._landing.settle(snapshot)
        if snapshot.revision != self._seen:
            self._pace.looked(moved=True)
            self._due = min(self._due, self._clock.now() + self._pace.pause)
        self._seen = snapshot.revision
        return snapshot

    def audit(self, limit: int, after: str | None = None) -> list[Entry]:
        found: list[Entry] = []
        for commit in self._git.commits(self._state.newest().revision) if limit > 0 else ():
            if commit.sha == after:
                break
            found.append(
                Entry(revision=commit.sha, at=commit.at, by=commit.author, notes=notes(commit.message))
            )
            if len(found) == limit:
                break
        return found

    # -- committing -----------------------------------------------------------------------------------

    def commit(self, transactions: Sequence[Transaction]) -> list[Outcome]:
        if not transactions:
            return []
        self._state.ensure()
        return self._landing.commit(transactions)

    def _attempts(self, tries: int) -> Iterator[None]:
        """Yield for each try, with growing random pauses between."""
        pause = _FIRST_PAUSE
        for number in range(tries):
            if number:
                self._clock.sleep(self._rng.uniform(0.0, pause))
                pause = min(pause * 2, _LONGEST_PAUSE)
            yield

    # -- registers ------------------------------------------------------------------------------------

    def publish(self, name: str, document: Written, expect: Expected) -> Committed | Conflicted:
        return self._sessions.publish(name, document, expect)

    def published(self) -> Mapping[str, Register]:
        return self._sessions.published()

    # -- blobs ----------------------------------------------------------------------------------------

    def keep(self, blobs: Sequence[bytes]) -> list[str]:
        return self._blobs.keep(blobs)

    @property
    def kept_in(self) -> str | None:
        return self._blobs.kept_in

    def kept(self, name: str) -> bytes | None:
        return self._blobs.kept(name)

    def days(self) -> dict[str, Version]:
        return self._blobs.days()

    def drop_day(self, day: str, version: Version) -> bool:
        return self._blobs.drop_day(day, version)

    # -- waiting --------------------------------------------------------------------------------------

    def wait(self, timeout: float) -> bool:
        limit = self._clock.now() + timeout
        while True:
            now = self._clock.now()
            if timeout > 0 and self._due > now:
                self._clock.sleep(min(self._due, limit) - now)
                if self._clock.now() < self._due:
                    return False
            try:
                moved = self._state.head() != self._seen
            except Unavailable:
                moved = True  # whoever reads next is told why
            self._pace.looked(moved=moved)
            pause = self._pace.pause * self._rng.uniform(1 - JITTER, 1 + JITTER)
            self._due = self._clock.now() + pause
            if moved or self._clock.now() >= limit:
                return moved

    def close(self) -> None:
        self._folder.close()
        self._api.close()
