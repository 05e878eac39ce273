"""How one process writes shared memory: with few commits, by the rules for two writers, and from a queue.

For one thread. What is queued lands within the interval, together, in one commit; a write that was queued for
too long yields to what came meanwhile, if its rule says so.
"""

from __future__ import annotations

import collections
import dataclasses
import logging
from collections.abc import Callable, Sequence
from functools import partial

from sentinel.errors import BadRecord, ClaimLost, Conflict, SentinelError, StoreError
from sentinel.fleet import memory
from sentinel.fleet.memory_cache import Stats
from sentinel.fleet.memory_policies import Policy, find_policy
from sentinel.model import layout
from sentinel.model.memory import Entry, Wish
from sentinel.model.task import Fence
from sentinel.store.base import Snapshot, Transaction
from sentinel.store.batch import Decision, land_many
from sentinel.store.transact import Transactor

log = logging.getLogger(__name__)

#: Keys with a queued write, above which the queue lands at once.
MAX_QUEUED = 1_000
#: How many intervals a queued write may wait; later it yields to whoever wrote the key meanwhile.
LATE = 2.0

#: Whether an entry was seen unchanged for its TTL: its store key, the snapshot, and the entry.
Expired = Callable[[str, Snapshot, Entry], bool]


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """A write, and the claim under which alone it may land; None for a writer that is no task."""

    wish: Wish
    fence: Fence | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Dropped:
    """A queued write that will not land, and why."""

    asked: Asked
    why: SentinelError


#: What became of a write: the entry as it now is or was deleted, None when there was none, or what it raised.
Ended = Entry | None | SentinelError


@dataclasses.dataclass(slots=True)
class _Pending:
    asked: Asked
    #: When the first write of this key was queued; None for one that is not queued.
    since: float | None = None
    #: The version that was there then.
    found: str | None = None
    #: Ids of the transactions that were to land it: one of them may have, unseen.
    tried: set[str] = dataclasses.field(default_factory=set)
    #: The same for earlier writes, whose place this one has taken.
    replaced: set[str] = dataclasses.field(default_factory=set)
    #: The record that cannot be read and that the last decision was to write over.
    over: BadRecord | None = None

    def writes_over(self, problem: BadRecord) -> None:
        """Note the record that cannot be read and is in the way."""
        self.over = problem

    def replace(self, asked: Asked) -> None:
        """Let a later write take its place."""
        self.asked = asked
        self.replaced |= self.tried
        self.tried = set()


class MemoryWriter:
    """See the module. Every method that writes raises `StoreError` when the store cannot serve."""

    def __init__(
        self,
        transactor: Transactor,
        *,
        policy: str,
        interval: float,
        expired: Expired,
        stats: Stats,
        written: Callable[[], None],
        stretched: Callable[[], float] = lambda: 0.0,
    ) -> None:
        # Seconds that something may have to wait besides, through nobody's fault.
        self._stretched = stretched
        self._transactor = transactor
        # Called when something may have landed: what was read before may be older.
        self._written = written
        self._policy_name = policy
        self._interval = interval
        self._expired = expired
        self._stats = stats
        self._policies: dict[str, Policy] = {}
        self._counts: tuple[str, dict[str, int]] = ("", {})
        self._queue: dict[str, _Pending] = {}
        self._dropped: collections.deque[Dropped] = collections.deque(maxlen=MAX_QUEUED)

    def rehearse(self, asked: Asked, snapshot: Snapshot) -> Entry | None:
        """What `write_many` would land on this snapshot. Raises what the write would end as."""
        try:
            pending = _Pending(asked)
            entry = self._decide(pending, snapshot)[1]
            _tell(pending, "would be")
            return entry
        except BadRecord as problem:
            raise unreadable(problem) from problem

    def write_many(self, asked: Sequence[Asked]) -> list[Ended]:
        """Land many writes with few commits; what became of each, in order."""
        if any(store_key(each.wish) in self._queue for each in asked):
            self.flush()
        return self._land([_Pending(each) for each in asked])

    # -- the queue -----------------------------------------------------------------------------------

    def queued(self, name: str) -> bool:
        """Whether a write of this store key is queued."""
        return name in self._queue

    def queue(self, asked: Asked, found: Callable[[str], Entry | None]) -> None:
        """Queue a write; a later one takes the place of an earlier. ``found`` gives what is there now."""
        rule = asked.wish.policy or self._policy_name
        self._policy(rule)
        name = store_key(asked.wish)
        known = self._queue.get(name)
        if known is not None and (rule != "last_write_wins" or known.asked.fence != asked.fence):
            # Only a write that takes the place of the earlier one may stand for both.
            self.flush()
            known = None
        if known is not None:
            known.replace(asked)
            return
        entry = found(name)
        version = None if entry is None else entry.version
        self._queue[name] = _Pending(asked, self._transactor.clock.now(), version)
        if len(self._queue) > MAX_QUEUED:
            self.flush()

    @property
    def due(self) -> float | None:
        """When the queue must land, on this machine's clock; None when it is empty."""
        if not self._queue:
            return None
        return min(pending.since or 0.0 for pending in self._queue.values()) + self._interval

    def flush(self) -> None:
        """Land all that is queued. What cannot land is dropped; see `take_dropped`.

        When the store is away, all is still queued.
        """
        waiting = list(self._queue.items())
        if not waiting:
            return
        ended = self._land([pending for _, pending in waiting])
        for (name, pending), end in zip(waiting, ended, strict=True):
            del self._queue[name]
            if isinstance(end, SentinelError):
                self._drop(pending, end)

    def take_dropped(self, fence: Fence | None) -> list[Dropped]:
        """Queued writes under this claim that yielded or could not land, since this was last asked."""
        mine = [dropped for dropped in self._dropped if dropped.asked.fence == fence]
        for dropped in mine:
            self._dropped.remove(dropped)
        return mine

    def drop(self, fence: Fence) -> None:
        """Forget what is queued, or was dropped, under a claim that is over."""
        for name, pending in list(self._queue.items()):
            if pending.asked.fence == fence:
                del self._queue[name]
                over = ClaimLost(f"task {fence.task} ended before {pending.asked.wish.name} had landed")
                self._drop(pending, over)
        self.take_dropped(fence)

    def _drop(self, pending: _Pending, why: SentinelError) -> None:
        self._stats.dropped += 1
        log.warning("a queued write of shared memory was dropped: %s", why)
        self._dropped.append(Dropped(pending.asked, why))

    # -- landing -------------------------------------------------------------------------------------

    def _land(self, pending: Sequence[_Pending]) -> list[Ended]:
        decisions = [Decision(store_key(each.asked.wish), partial(self._decide, each)) for each in pending]
        try:
            landed, commits = land_many(self._transactor, decisions)
        finally:
            self._written()
        self._stats.commits += commits
        ended: list[Ended] = []
        for each, end in zip(pending, landed, strict=True):
            if not isinstance(end, SentinelError | BadRecord):
                _tell(each, "was")
            self._stats.writes += not isinstance(end, SentinelError | BadRecord)
            self._stats.conflicts += isinstance(end, Conflict)
            ended.append(unreadable(end) if isinstance(end, BadRecord) else end)
        return ended

    def _decide(self, pending: _Pending, snapshot: Snapshot) -> tuple[Transaction | None, Entry | None]:
        wish, fence = pending.asked.wish, pending.asked.fence
        name = store_key(wish)
        found = pending.found
        pending.over = None
        if pending.tried or pending.replaced:
            there = _entry_if_readable(snapshot, name)
            if there is not None and there.tx in pending.tried:
                return None, there
            if there is not None and there.tx in pending.replaced:
                found = there.version
        change = self._transactor.change(snapshot)
        if fence is not None:
            memory.under(change, snapshot, fence)
        clock = self._transactor.clock
        transaction, entry = memory.write(
            change,
            snapshot,
            wish,
            policy=self._policy(wish.policy or self._policy_name),
            wall=clock.wall(),
            expired=lambda entry: self._expired(name, snapshot, entry),
            counted=self._count,
            found=found,
            waited=0.0 if pending.since is None else clock.now() - pending.since,
            limit=LATE * max(self._interval, self._stretched()),
            over=pending.writes_over,
        )
        if transaction is not None:
            pending.tried.add(transaction.id)
        return transaction, entry

    def _policy(self, name: str) -> Policy:
        if name not in self._policies:
            self._policies[name] = find_policy(name)
        return self._policies[name]

    def _count(self, snapshot: Snapshot, namespace: str) -> int:
        if self._counts[0] != snapshot.revision:
            self._counts = (snapshot.revision, {})
        counts = self._counts[1]
        if namespace not in counts:
            counts[namespace] = memory.count(snapshot, namespace)
        return counts[namespace]


def store_key(wish: Wish) -> str:
    """Where the key of a write is in the store."""
    return layout.memory_key(wish.namespace, wish.key)


def unreadable(problem: BadRecord) -> StoreError:
    """The error for whoever asked for a value whose record cannot be read."""
    return StoreError(
        f"the record {problem}; `sentinel doctor` lists all such records, and a write under the policy "
        "last_write_wins replaces this one"
    )


def _entry_if_readable(snapshot: Snapshot, name: str) -> Entry | None:
    try:
        return memory.load_entry(snapshot, name)
    except BadRecord:
        return None


def _tell(pending: _Pending, verb: str) -> None:
    if pending.over is not None:
        done = "deleted" if pending.asked.wish.delete else "written over"
        name = pending.asked.wish.name
        log.warning("%s had a record that could not be read and %s %s: %s", name, verb, done, pending.over)
