"""The state branch as a mirror shows it: the newest head, and the alarm when it went backwards."""

from __future__ import annotations

import pygit2

from sentinel.errors import NotAStore, Rewound
from sentinel.model.layout import FLEET, STATE_REF
from sentinel.store.base import Expected
from sentinel.store.high_water import HighWater
from sentinel.store.history import contains
from sentinel.store.location import Location
from sentinel.store.mirror import Mirror
from sentinel.store.objects import Objects
from sentinel.store.repository import REFS, check_fleet
from sentinel.store.tree import GitSnapshot


class State:
    """What one connection knows of the state branch."""

    def __init__(self, location: Location, mirror: Mirror, high_water: HighWater) -> None:
        self._location = location
        self._mirror = mirror
        self._high_water = high_water
        self._last: GitSnapshot | None = None
        self._objects_of_last: Objects | None = None
        self._fleet: Expected | None = None

    @property
    def last(self) -> GitSnapshot | None:
        """The newest snapshot that was seen, whatever became of the mirror since."""
        return self._last

    def newest(self, *, sessions: bool = False) -> GitSnapshot:
        """The newest state; with ``sessions``, those are brought on the same way.

        Raises `Unavailable`, `NotAStore` and `Rewound`.
        """
        # Read before the server is asked: what it then shows is at least as new.
        mark = self._high_water.read()
        head = self._mirror.fetch(state=True, sessions=sessions)
        last = self._last
        if last is not None and head == last.commit and last is self.known:
            return last
        if head is None:
            if mark is None and last is None:
                store = self._location.store
                raise NotAStore(f"{store} holds no fleet; run `sentinel init --store {store}`")
            raise self._rewound(None, mark or str(last.commit if last else ""))
        for seen in {mark, None if last is None else last.revision} - {None, str(head)}:
            assert seen is not None
            if not self._contains(head, seen):
                raise self._rewound(head, seen)
        return self.accept(head)

    def accept(self, head: pygit2.Oid) -> GitSnapshot:
        """Take a commit, which contains all that was seen, for the newest. Raises `NotAStore`."""
        snapshot = GitSnapshot(self._mirror.objects, head)
        if self._fleet is None or snapshot.version(FLEET) != self._fleet:
            self._fleet = check_fleet(self._location.store, snapshot, sessions=REFS)
        self._mirror.accept(head)
        self._high_water.raise_to(snapshot.revision)
        self._last, self._objects_of_last = snapshot, self._mirror.objects
        return snapshot

    @property
    def known(self) -> GitSnapshot | None:
        """The newest snapshot that was seen, unless the mirror that it reads from was set aside since."""
        return self._last if self._objects_of_last is self._mirror.objects else None

    def _contains(self, head: pygit2.Oid, seen: str) -> bool:
        found = contains(self._mirror.repository, head, seen)
        for _ in self._mirror.deepen() if found is None else ():
            found = contains(self._mirror.repository, head, seen)
            if found is not None:
                break
        return bool(found)

    def _rewound(self, head: pygit2.Oid | None, seen: str) -> Rewound:
        store, mirror, url = self._location.store, self._mirror.path, self._location.url
        how = "is gone" if head is None else f"was moved to {head}, which does not contain it"
        source = f"git -C {mirror}" if seen in self._mirror.repository else "in a mirror that has it: git"
        file = self._high_water.file
        forget = "" if file is None else f" remove {file} and"
        return Rewound(
            f"ALARM: {STATE_REF} of {store} was at {seen} and {how}; nothing is claimed until it is put back "
            f"with `{source} push --force-with-lease={STATE_REF}:{head or ''} {url} {seen}:{STATE_REF}`, or "
            f"to accept the loss stop every worker,{forget} start them again"
        )
