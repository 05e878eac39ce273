"""The store of a fleet on one host: a bare Git repository, moved by compare-and-swap through libgit2.

Documents are files on the branch ``sentinel/state``, registers are files beside it (`registers`), large
blobs hang on one ref a day. pygit2 objects are not thread-safe: a `LocalStore` belongs to one thread.
"""

from __future__ import annotations

import contextlib
import datetime
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pygit2

from sentinel.clock import Clock, Event, SystemClock
from sentinel.entropy import system_random
from sentinel.errors import NotAStore, OutcomeUnknown, StoreError, Unavailable
from sentinel.model.codec import encode_document
from sentinel.model.ids import IdSource
from sentinel.model.layout import ARTIFACT_REFS, FLEET, STATE_REF, artifact_ref
from sentinel.store import durability
from sentinel.store.base import (
    DELETE,
    Committed,
    Conflicted,
    Entry,
    Expected,
    Outcome,
    Refused,
    Register,
    Store,
    Transaction,
    Version,
    Written,
    land,
    message,
    outcomes,
)
from sentinel.store.history import entries
from sentinel.store.objects import BLOB_MODE, Objects
from sentinel.store.objects import Entry as TreeEntry
from sentinel.store.opener import StoreOptions
from sentinel.store.pack import PackWriter
from sentinel.store.refs import Refs
from sentinel.store.registers import Registers
from sentinel.store.repository import (
    ALIVE,
    FILES,
    PRIVATE,
    TIDYING,
    check_fleet,
    create_local,
    open_repository,
    path_of_url,
    signature,
)
from sentinel.store.tree import GitSnapshot, path_of, write_tree
from sentinel.store.upkeep import Helper
from sentinel.store.watch import Watch

__all__ = ["LocalStore", "create_local", "open_local"]

#: Longest time, in seconds, that one commit waits for a lock file to go before it gives up for now.
LOCK_PATIENCE = 2.0
#: Longest time, in seconds, that one commit tries while others move the ref first.
RACE_PATIENCE = 10.0
#: Landed transaction ids that are remembered; none is sent again after so many others.
_REMEMBERED = 100_000

_OBJECT_ID = re.compile(r"[0-9a-f]{40}")
#: So many new packs are taken in before the repository is opened anew. libgit2 never forgets one that is
#: gone: it keeps a file open for each, and asks each of them for every object that it does not find at once.
_NEW_PACKS = 50

_Paths = dict[tuple[str, ...], bytes | None]


def open_local(url: str, options: StoreOptions) -> LocalStore:
    """A new connection to the fleet in the bare repository at ``url``, a ``file://`` URL or a path.

    Raises `NotAStore` when no fleet of this version is there, `Unavailable` when it cannot be read, and
    `BadInput` for a URL that names another host.
    """
    path = path_of_url(url)
    return LocalStore(path, actor=options.actor, fsync=options.fsync)


class LocalStore(Store):
    """One client of a bare repository on this host.

    Raises `NotAStore` when ``path`` holds no fleet of this version, and `Unavailable` when it cannot be used.
    """

    def __init__(
        self,
        path: Path,
        *,
        actor: str = "client",
        fsync: bool = True,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        helper: Helper | None = None,
    ) -> None:
        self._clock = clock if clock is not None else SystemClock()
        self._rng = rng if rng is not None else system_random()
        self._ids = IdSource(self._rng, self._clock.wall)
        self._actor = actor
        self.path = path
        self.host_folder: Path = path / PRIVATE
        self._sync = fsync
        #: Packs that were written or seen since the repository was opened.
        self._new_packs = 0
        self._helper = helper if helper is not None else Helper()
        self._landed: dict[str, str] = {}
        #: Transactions whose fate could not be read → the head that they were built on.
        self._open: dict[str, pygit2.Oid] = {}
        self._last: GitSnapshot | None = None
        self._fleet: Expected | None = None
        self._seen: pygit2.Oid | None = None
        self._closing = contextlib.ExitStack()
        try:
            # libgit2 takes the setting for refs when they are first used, and keeps it.
            with durability.syncing() if fsync else contextlib.nullcontext():
                self._connect(sync=fsync)
                self._newest()
        except BaseException:
            self._closing.close()
            raise

    def _connect(self, *, sync: bool) -> None:
        self._repository = open_repository(self.path)
        self._closing.callback(lambda: self._repository.free())
        pack = PackWriter(self.path / "objects" / "pack", sync=sync, tidying=self.host_folder / TIDYING)
        self._objects = Objects(self._repository, pack=pack)
        alive = self.host_folder / ALIVE
        with self._writing():
            alive.mkdir(parents=True, exist_ok=True)
            self._refs = Refs(self._repository, self.host_folder / "flock", self._clock, self._rng)
            self._closing.callback(self._refs.close)
            self._registers = Registers(self.host_folder, self._ids)
        self._watch = Watch(self.path, alive, self._clock)
        self._closing.callback(self._watch.close)

    def read(self) -> GitSnapshot:
        self._forget_old_packs()
        snapshot = self._newest()
        self._seen = snapshot.commit
        return snapshot

    def _forget_old_packs(self) -> None:
        """Open the repository anew when there may be many packs in it that are gone."""
        if self._new_packs < _NEW_PACKS:
            return
        with self._writing(), durability.syncing() if self._sync else contextlib.nullcontext():
            opened = pygit2.Repository(str(self.path), pygit2.enums.RepositoryOpenFlag.NO_SEARCH)
            opened.references.get(STATE_REF)  # the first use of a ref is what takes the setting
        old, self._repository = self._repository, opened
        self._objects.repository = opened
        self._refs.use(opened)
        old.free()
        self._new_packs = 0

    def _newest(self) -> GitSnapshot:
        head = self._refs.head(STATE_REF)
        last = self._last
        if head is None:
            if last is None:
                raise NotAStore(
                    f"{self.path} is a repository without a fleet; run `sentinel init --store {self.path}`"
                )
            raise self._moved_back("is gone")
        if last is not None and last.commit == head:
            return last
        if last is not None and not self._refs.contains(head, last.commit):
            raise self._moved_back(f"was moved to {head}, which does not contain it")
        snapshot = GitSnapshot(self._objects, head)
        if self._fleet is None or snapshot.version(FLEET) != self._fleet:
            self._fleet = check_fleet(self.path, snapshot, sessions=FILES)
        self._last = snapshot
        self._new_packs += 1
        return snapshot

    def _moved_back(self, how: str) -> Unavailable:
        seen = "" if self._last is None else self._last.revision
        return Unavailable(
            f"{STATE_REF} in {self.path} was at {seen} and {how}; put it back with `git -C {self.path} "
            f"update-ref {STATE_REF} {seen}`, or to accept the loss stop and start every worker"
        )

    def commit(self, transactions: Sequence[Transaction]) -> list[Outcome]:
        if not transactions:
            return []
        self._forget_old_packs()
        results: dict[str, Outcome] = {}
        fresh: dict[str, Transaction] = {}
        contents: dict[str, _Paths] = {}
        self._settle(transactions)
        for tx in transactions:
            if tx.id in self._landed:
                results[tx.id] = Committed(self._landed[tx.id])
                continue
            try:
                contents[tx.id] = {
                    path_of(key): None if document is DELETE else encode_document(document)
                    for key, document in tx.write.items()
                }
            except ValueError as error:
                results[tx.id] = Refused(str(error))
                continue
            fresh[tx.id] = tx
        if fresh:
            batch = list(fresh.values())
            results.update(zip(fresh, self._land(batch, contents), strict=True))
        return [results[tx.id] for tx in transactions]

    def _settle(self, transactions: Sequence[Transaction]) -> None:
        """Learn from the history what became of transactions that ended as `OutcomeUnknown`.

        Nothing of ours is under way any more, so what is not in the history by now never will be.
        """
        for tx in transactions:
            base = self._open.get(tx.id)
            if base is not None:
                found = self._find(tx.id, self._newest().commit, base)
                if found is not None:
                    self._remember([tx], found)
                del self._open[tx.id]

    def _find(self, tx: str, head: pygit2.Oid, base: pygit2.Oid) -> str | None:
        walker = self._repository.walk(head)
        walker.hide(base)
        trailer = f"Sentinel-Tx: {tx}"
        for commit in walker:
            if trailer in commit.message.splitlines():
                return str(commit.id)
        return None

    def _remember(self, transactions: Sequence[Transaction], revision: str) -> None:
        for tx in transactions:
            self._landed[tx.id] = revision
        while len(self._landed) > _REMEMBERED:
            del self._landed[next(iter(self._landed))]

    def _land(self, batch: Sequence[Transaction], contents: Mapping[str, _Paths]) -> list[Outcome]:
        with self._writing():
            blobs = {
                data: self._objects.write_blob(data)
                for paths in contents.values()
                for data in paths.values()
                if data is not None
            }
        for _ in self._attempts(STATE_REF):
            with self._refs.section():
                base = self._newest()
                landing = land(batch, base)
                if not landing.accepted:
                    return outcomes(batch, landing, base.revision)
                changes = {
                    path: None if data is None else blobs[data]
                    for tx in landing.accepted
                    for path, data in contents[tx.id].items()
                }
                with self._writing():
                    tree = write_tree(self._objects, base.root, changes)
                    text = message(landing.accepted, self._ids.nonce())
                    commit = self._write_commit(text, tree, [base.commit])
                try:
                    if not self._refs.move(STATE_REF, base.commit, commit):
                        continue
                except OutcomeUnknown:
                    self._open.update(dict.fromkeys((tx.id for tx in landing.accepted), base.commit))
                    raise
            if self._seen == base.commit:
                # Nothing has moved but by this client.
                self._seen = commit
            written: dict[str, TreeEntry | None] = {}
            for tx in landing.accepted:
                for key in tx.write:
                    data = contents[tx.id][path_of(key)]
                    written[key] = None if data is None else TreeEntry(BLOB_MODE, blobs[data])
                    if data is not None and key in tx.records:
                        self._objects.remember(key, blobs[data], tx.records[key])
            self._last = GitSnapshot(self._objects, commit, before=base.commit, written=written)
            self._objects.tidy()
            self._remember(landing.accepted, str(commit))
            return outcomes(batch, landing, str(commit))
        raise AssertionError("the attempts end by raising")

    def _attempts(self, ref: str) -> Iterator[None]:
        """Yield for each try to move ``ref``, with growing random pauses between, until patience is over."""
        began = self._clock.now()
        pause = 0.001
        while True:
            yield
            spent = self._clock.now() - began
            if spent >= (LOCK_PATIENCE if self._refs.is_locked(ref) else RACE_PATIENCE):
                raise Unavailable(f"{ref} in {self.path} could not be moved: {self._refs.obstacle(ref)}")
            self._clock.sleep(self._rng.uniform(0.0, pause))
            pause = min(pause * 2, 0.1)

    def _write_commit(self, text: str, tree: pygit2.Oid, parents: Sequence[pygit2.Oid]) -> pygit2.Oid:
        """A commit that, with all it holds, is on the disk before any ref can name it."""
        commit = self._objects.write_commit(text, signature(self._actor, self._clock.wall()), tree, parents)
        self._objects.flush()
        self._new_packs += 1
        return commit

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn what goes wrong while nothing is visible yet into `Unavailable` with the path."""
        try:
            yield
        except StoreError:
            raise
        except (pygit2.GitError, OSError, KeyError) as error:
            raise Unavailable(f"cannot write to {self.path}: {error}") from error

    def publish(self, name: str, document: Written, expect: Expected) -> Committed | Conflicted:
        with self._writing():
            return self._registers.publish(name, document, expect)

    def published(self) -> Mapping[str, Register]:
        try:
            return self._registers.published()
        except OSError as error:
            raise Unavailable(f"cannot read the sessions in {self.path}: {error}") from error

    def keep(self, blobs: Sequence[bytes]) -> list[str]:
        if not blobs:
            return []
        self._forget_old_packs()
        day = datetime.datetime.fromtimestamp(self._clock.wall(), tz=datetime.UTC).date()
        ref = artifact_ref(day.isoformat())
        with self._writing():
            oids = [self._objects.write_blob(data) for data in blobs]
            names = [str(oid) for oid in oids]
            tree = write_tree(
                self._objects, None, {(name,): oid for name, oid in zip(names, oids, strict=True)}
            )
        for _ in self._attempts(ref):
            with self._refs.section():
                base = self._refs.head(ref)
                text = f"keep {len(names)} by {self._actor}\n\nSentinel-Nonce: {self._ids.nonce()}\n"
                with self._writing():
                    commit = self._write_commit(text, tree, [] if base is None else [base])
                try:
                    if self._refs.move(ref, base, commit):
                        return names
                except OutcomeUnknown as error:
                    # Kept or not, keeping once more does no harm.
                    raise Unavailable(str(error)) from error
        raise AssertionError("the attempts end by raising")

    def kept(self, name: str) -> bytes | None:
        if not _OBJECT_ID.fullmatch(name):
            return None
        try:
            kind, data = self._repository.odb.read(name)
        except KeyError:
            return None
        except (pygit2.GitError, OSError) as error:
            raise Unavailable(f"cannot read {name} from {self.path}: {error}") from error
        return data if kind == pygit2.enums.ObjectType.BLOB else None

    def days(self) -> dict[str, Version]:
        return {day: str(oid) for day, oid in self._refs.below(ARTIFACT_REFS).items()}

    def drop_day(self, day: str, version: Version) -> bool:
        if not _OBJECT_ID.fullmatch(version):
            return False
        with self._refs.section():
            return self._refs.remove(artifact_ref(day), pygit2.Oid(hex=version))

    def keep_small(self, mark: int) -> None:
        self._helper.start(self.path, mark)

    def audit(self, limit: int, after: str | None = None) -> list[Entry]:
        return entries(self._repository, self._newest().commit, limit, after)

    def wait(self, timeout: float) -> bool:
        return self._watch.wait(timeout, self._moved)

    def listen(self, wakeup: Event, told: Callable[[], None]) -> bool:
        return self._watch.listen(wakeup, told, self._moved)

    def _moved(self) -> bool:
        try:
            return self._refs.head(STATE_REF) != self._seen
        except Unavailable:
            return True  # whoever reads next is told why

    def close(self) -> None:
        self._closing.close()
