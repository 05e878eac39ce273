"""The state branch as GitHub's API shows it: the newest head, what is in it, and how it came from another.

A look that shows nothing new is one request that GitHub does not charge for; one that does is two, however
much has changed: where the branch is, and the comparison with what was known, which names the commits and
shows the files.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator

import pygit2

from sentinel.clock import Clock
from sentinel.errors import NotAStore, Rewound
from sentinel.github.errors import Missing
from sentinel.github.git import Commit, GitData
from sentinel.github.objects import ApiSnapshot, Folder
from sentinel.github.place import Place
from sentinel.model.layout import FLEET, STATE_REF
from sentinel.store.base import Expected
from sentinel.store.high_water import HighWater
from sentinel.store.history import Range, transaction_ids
from sentinel.store.objects import Recent
from sentinel.store.repository import REFS, check_fleet

log = logging.getLogger(__name__)

#: Commits whose messages are remembered.
_COMMITS = 5_000
#: Pauses, in seconds, before an answer that is older than what was seen is believed.
_PATIENCE = (0.5, 1.0, 2.0)


class State:
    """What one connection knows of the state branch."""

    def __init__(
        self, place: Place, git: GitData, folder: Folder, high_water: HighWater, clock: Clock
    ) -> None:
        self._place = place
        self._git = git
        self._folder = folder
        self._high_water = high_water
        self._clock = clock
        self._commits: Recent[str, Commit] = Recent(_COMMITS)
        self._fleet: Expected | None = None
        self._last: ApiSnapshot | None = None
        #: A state of an earlier connection, from which the newest one is reached by a comparison.
        self._earlier = folder.known()

    @property
    def last(self) -> ApiSnapshot | None:
        """The newest snapshot that was seen here."""
        return self._last

    def head(self) -> str | None:
        """Where the branch is; no object is brought. Raises `Unavailable`."""
        return self._git.ref(STATE_REF)

    def newest(self) -> ApiSnapshot:
        """The newest state. Raises `Unavailable`, `NotAStore` and `Rewound`."""
        mark = self._high_water.read()
        self.ensure()
        for pause in (*_PATIENCE, None):
            head = self.head()
            last = self._last
            if head is not None and last is not None and head == last.revision:
                return last
            rewound = self._look_at(head, mark)
            if rewound is None:
                assert self._last is not None
                return self._last
            if pause is None:
                raise rewound
            # GitHub answers reads from copies that may lag behind what it has told before.
            self._clock.sleep(pause)
        raise AssertionError("the last pause is none")

    def _look_at(self, head: str | None, mark: str | None) -> Rewound | None:
        """Take in a head; or the alarm, when it does not contain what was seen before."""
        last = self._last
        if head is None:
            if mark is None and last is None:
                store = self._place.store
                raise NotAStore(
                    f"{store} holds no fleet, or these credentials may not see it; run "
                    f"`sentinel init --store {store}`"
                )
            return self._rewound(None, mark or (last.revision if last else ""))
        seen = last.revision if last is not None else None
        root = self._bring(head, seen)
        if root is None:
            return self._rewound(head, seen or "")
        if mark is not None and mark not in (head, seen) and not self._contains(head, mark):
            return self._rewound(head, mark)
        self.accept(ApiSnapshot(self._folder.objects, head, root))
        return None

    def _bring(self, head: str, seen: str | None) -> pygit2.Oid | None:
        """The tree of ``head`` with what is new in it; None when ``seen`` is not in its history."""
        base = (seen, self._last.root) if seen is not None and self._last is not None else None
        if base is None and self._earlier is not None:
            base = (self._earlier[0], pygit2.Oid(hex=self._earlier[1]))
        objects = self._folder.objects
        if base is not None:
            commit, tree = base
            if commit == head:
                return tree
            try:
                comparison = self._git.compare(commit, head)
            except Missing:
                if seen is not None:
                    return None
                comparison = None
            if comparison is not None and comparison.status == "ahead":
                for found in comparison.commits:
                    self.know(found)
                root = pygit2.Oid(hex=comparison.commits[-1].tree)
                if comparison.changes is not None and objects.apply(tree, comparison.changes) == root:
                    return root
                objects.bring_all_trees(root)
                return root
            if seen is not None:
                return None
        found = self._git.commit(head)
        self.know(found)
        root = pygit2.Oid(hex=found.tree)
        objects.bring_all_trees(root)
        return root

    def accept(self, snapshot: ApiSnapshot) -> None:
        """Take ``snapshot``, which contains all that was seen, for the newest. Raises `NotAStore`."""
        if self._fleet is None or snapshot.version(FLEET) != self._fleet:
            self._fleet = check_fleet(self._place.store, snapshot, sessions=REFS)
        self._last, self._earlier = snapshot, None
        self._high_water.raise_to(snapshot.revision)
        self._folder.remember(snapshot)

    def know(self, commit: Commit) -> None:
        """Remember a commit."""
        self._commits.put(commit.sha, commit, 1)

    def ensure(self) -> None:
        """See to it that there is a sound folder for objects. Raises `Unavailable`."""
        if self._folder.ensure():
            self._moved_in()

    def tidy(self) -> None:
        """Begin a new folder where most of what is in it is out of date."""
        if self._last is not None and self._folder.crowded:
            self._folder.renew(self._last.root)
            self._moved_in()

    def _moved_in(self) -> None:
        """Read the newest state from the objects that are there now; those that are not come from GitHub."""
        self._earlier = None
        if self._last is not None:
            self._last = ApiSnapshot(self._folder.objects, self._last.revision, self._last.root)

    # -- history --------------------------------------------------------------------------------------

    def _back(self, head: str, stop: str) -> Iterator[Commit | None]:
        """The known commits from ``head`` back to ``stop``, without it; None where one is not known."""
        sha = head
        while sha != stop:
            commit = self._commits.get(sha)
            yield commit
            if commit is None or not commit.parents:
                return
            sha = commit.parents[0]

    def _contains(self, head: str, wanted: str) -> bool:
        if any(commit is not None and wanted in commit.parents for commit in self._back(head, wanted)):
            return True
        try:
            return self._git.compare(wanted, head).status in ("ahead", "identical")
        except Missing:
            return False

    def search(self, head: str, base: str, ids: Collection[str]) -> Range:
        """Look for a commit with one of the transaction ``ids`` between ``base`` and ``head``."""
        if head == base:
            return Range.AT_BASE
        commits = list(self._back(head, base))
        if None in commits or base not in {
            parent for commit in commits if commit for parent in commit.parents
        }:
            try:
                comparison = self._git.compare(base, head)
            except Missing:
                return Range.UNREADABLE
            if comparison.status != "ahead":
                return Range.UNREADABLE
            commits = list(comparison.commits)
            for found in comparison.commits:
                self.know(found)
        landed = any(
            commit is not None and not transaction_ids(commit.message).isdisjoint(ids) for commit in commits
        )
        return Range.FOUND if landed else Range.MISSING

    def _rewound(self, head: str | None, seen: str) -> Rewound:
        store = self._place.store
        how = "is gone" if head is None else f"was moved to {head}, which does not contain it"
        put_back = f"`git push --force-with-lease={STATE_REF}:{head or ''} URL {seen}:{STATE_REF}`"
        file = self._high_water.file
        forget = "" if file is None else f" remove {file} and"
        return Rewound(
            f"ALARM: {STATE_REF} of {store} was at {seen} and {how}; nothing is claimed until it is put "
            f"back, in a clone that has it with {put_back}, or to accept the loss stop every worker,{forget} "
            "start them again"
        )
