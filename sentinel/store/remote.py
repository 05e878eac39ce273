"""The store of a fleet on many hosts: any Git server, by the git command line, with explicit leases.

Documents are files on the branch ``sentinel/state``, each session is a ref of its own, large blobs hang on
one ref a day. Objects are read and written in a private mirror; only git talks to the server. A push names
the object id that it expects (``--force-with-lease=<ref>:<oid>``), and the server checks it under its own
lock: that is the compare-and-swap. `docs/decisions/0007-remote-store.md` tells what was weighed.
"""

from __future__ import annotations

import dataclasses
import datetime
import logging
import os
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import pygit2

from sentinel.clock import Clock, SystemClock
from sentinel.entropy import system_random
from sentinel.errors import (
    NotAStore,
    OutcomeUnknown,
    Rejected,
    Rewound,
    StoreError,
    Unavailable,
)
from sentinel.model.codec import encode_document
from sentinel.model.ids import IdSource
from sentinel.model.layout import ARTIFACT_REFS, FLEET, STATE_REF, artifact_ref
from sentinel.store import sessions
from sentinel.store.base import (
    ABSENT,
    DELETE,
    Committed,
    Conflicted,
    Entry,
    Expected,
    Outcome,
    Refused,
    Register,
    Rider,
    Rode,
    Snapshot,
    Store,
    Transaction,
    Version,
    Written,
    land,
    message,
)
from sentinel.store.git_answers import Answer, Pushed
from sentinel.store.high_water import HighWater
from sentinel.store.history import Range, contains, entries, search
from sentinel.store.location import Location, locate
from sentinel.store.mirror import SESSION_REFS, Mirror, Update
from sentinel.store.objects import Objects
from sentinel.store.opener import StoreOptions
from sentinel.store.pace import JITTER, Pace
from sentinel.store.repository import REFS, check_fleet, signature
from sentinel.store.riding import rode
from sentinel.store.tree import GitSnapshot, path_of, write_tree

log = logging.getLogger(__name__)

#: Tries of one commit against competitors before it gives up.
_TRIES = 30
#: Tries of one commit while the head stays where it was.
_TRIES_AT_BASE = 4
#: Longest pause between two of them, in seconds.
_LONGEST_PAUSE = 1.0
#: Landed transaction ids that are remembered; none is sent again after so many others.
_REMEMBERED = 100_000

_OBJECT_ID = re.compile(r"[0-9a-f]{40}")
_NOTHING = "0" * 40


@dataclasses.dataclass(slots=True)
class _Sent:
    """A commit that was, or is about to be, pushed."""

    base: pygit2.Oid
    commit: pygit2.Oid
    transactions: tuple[Transaction, ...]
    #: Whether a push of it had no clear answer, so that it may land at any time while the head is `base`.
    doubtful: bool = False


class RemoteStore(Store):
    """One client of a repository on a Git server.

    ``timeout`` is what one exchange with the server may take, in seconds; ``prepare`` is called before each,
    for credentials that do not last. Raises `NotAStore` when there is no
    fleet of this kind, `Unavailable` when the server cannot be reached, `ConfigurationError` without a git.
    """

    hears = False

    def __init__(
        self,
        location: Location,
        options: StoreOptions,
        *,
        environ: Mapping[str, str],
        clock: Clock | None = None,
        rng: random.Random | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self._clock = clock if clock is not None else SystemClock()
        self._rng = rng if rng is not None else system_random()
        self._ids = IdSource(self._rng, self._clock.wall)
        self._actor = options.actor
        self._location = location
        self._mirror = Mirror(
            location,
            state_folder=options.state_folder,
            environ=environ,
            timeout=options.timeout,
            prepare=prepare,
        )
        self._high_water = HighWater(options.state_folder)
        self._pace = Pace()
        #: When `wait` looks next, on this machine's clock.
        self._due = float("-inf")
        self._landed: dict[str, str] = {}
        #: Transactions whose fate is unknown → the commit that they were sent in.
        self._open: dict[str, _Sent] = {}
        #: Who has something that the next push of the state is to take along.
        self._rider: Rider | None = None
        self._last: GitSnapshot | None = None
        self._last_objects: Objects | None = None
        self._fleet: Expected | None = None
        self._seen: str | None = None
        #: Artifact ref → where our last push left it.
        self._artifacts: dict[str, pygit2.Oid] = {}
        self._kept_in: str | None = None
        try:
            self._newest()
        except BaseException:
            self._mirror.close()
            raise

    # -- reading --------------------------------------------------------------------------------------

    def read(self) -> GitSnapshot:
        return self._read(sessions=False)

    def look(self) -> tuple[Snapshot, Mapping[str, Register]]:
        """State and sessions, brought by one call of git."""
        return self._read(sessions=True), self._registers()

    def _read(self, *, sessions: bool) -> GitSnapshot:
        if self._mirror.crowded and not self._open:
            self._mirror.renew("most of what is in it is out of date")
        snapshot = self._newest(sessions=sessions)
        if snapshot.revision != self._seen:
            self._pace.looked(moved=True)
            self._due = min(self._due, self._clock.now() + self._pace.pause)
        self._seen = snapshot.revision
        return snapshot

    def _newest(self, *, sessions: bool = False) -> GitSnapshot:
        # Read before the server is asked: what it then shows is at least as new.
        mark = self._high_water.read()
        head = self._mirror.fetch(state=True, sessions=sessions)
        last = self._last
        if last is not None and head == last.commit and last is self._known:
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
        return self._accept(head)

    def _accept(self, head: pygit2.Oid) -> GitSnapshot:
        snapshot = GitSnapshot(self._mirror.objects, head)
        if self._fleet is None or snapshot.version(FLEET) != self._fleet:
            self._fleet = check_fleet(self._location.store, snapshot, sessions=REFS)
        self._mirror.accept(head)
        self._high_water.raise_to(snapshot.revision)
        self._last, self._last_objects = snapshot, self._mirror.objects
        return snapshot

    @property
    def _known(self) -> GitSnapshot | None:
        """The last snapshot, unless the mirror that it reads from was set aside since."""
        return self._last if self._last_objects is self._mirror.objects else None

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

    # -- committing -----------------------------------------------------------------------------------

    def carry(self, transactions: Sequence[Transaction], rider: Rider) -> list[Outcome]:
        self._rider = rider
        try:
            return self.commit(transactions)
        finally:
            self._rider = None

    def commit(self, transactions: Sequence[Transaction]) -> list[Outcome]:
        if not transactions:
            return []
        self._mirror.ensure()
        for sent in {
            id(self._open[tx.id]): self._open[tx.id] for tx in transactions if tx.id in self._open
        }.values():
            self._deliver(sent, again=True)
        results: dict[str, Outcome] = {}
        fresh: dict[str, Transaction] = {}
        for tx in transactions:
            if tx.id in self._landed:
                results[tx.id] = Committed(self._landed[tx.id])
                continue
            try:
                for key, written in tx.write.items():
                    path_of(key)
                    if written is not DELETE:
                        encode_document(written)
            except ValueError as error:
                results[tx.id] = Refused(str(error))
                continue
            fresh[tx.id] = tx
        if fresh:
            results.update(self._land(list(fresh.values())))
        return [results[tx.id] for tx in transactions]

    def _land(self, batch: Sequence[Transaction]) -> dict[str, Outcome]:
        known = self._known
        base, current = (known, False) if known is not None else (self._newest(), True)
        for _ in self._attempts():
            landing = land(batch, base)
            if landing.conflicts and not current:
                # What this connection saw last need not be the newest that the caller saw.
                base, current = self._newest(), True
                landing = land(batch, base)
            results: dict[str, Outcome] = {
                batch[position].id: conflict for position, conflict in landing.conflicts.items()
            }
            if not landing.accepted:
                return results
            sent = self._build(base, landing.accepted)
            answer = self._deliver(sent)
            if answer.pushed is Pushed.LANDED:
                return results | {tx.id: Committed(str(sent.commit)) for tx in sent.transactions}
            if answer.pushed is Pushed.REFUSED:
                return results | self._split(sent.transactions, answer.reason)
            base, current = self._known or self._newest(), True
        raise Unavailable(
            f"{STATE_REF} of {self._location.store} was moved by others at every try; try again"
        )

    def _split(self, refused: Sequence[Transaction], reason: str) -> dict[str, Outcome]:
        """Land what was refused as a whole in two parts, so that only the culprit is refused in the end."""
        if len(refused) == 1:
            return {refused[0].id: Refused(reason)}
        half = len(refused) // 2
        return self._land(refused[:half]) | self._land(refused[half:])

    def _build(self, base: GitSnapshot, accepted: tuple[Transaction, ...]) -> _Sent:
        objects = self._mirror.objects
        try:
            changes = {
                path_of(key): None if written is DELETE else objects.write_blob(encode_document(written))
                for tx in accepted
                for key, written in tx.write.items()
            }
            tree = write_tree(objects, base.root, changes)
            text = message(accepted, self._ids.nonce())
            return _Sent(base.commit, self._commit_object(text, tree, base.commit), accepted)
        except (pygit2.GitError, OSError, KeyError) as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: Exception) -> Unavailable:
        self._mirror.objects.broken = isinstance(error, KeyError)
        return Unavailable(f"cannot write to the mirror {self._mirror.path}: {error}; free space there")

    def _commit_object(self, text: str, tree: pygit2.Oid, parent: pygit2.Oid | None) -> pygit2.Oid:
        author = signature(self._actor, self._clock.wall())
        parents = [] if parent is None else [parent]
        return self._mirror.objects.write_commit(text, author, tree, parents)

    def _attempts(self) -> Iterator[None]:
        """Yield for each try, with growing random pauses between; where a try takes long, longer ones."""
        pause = 0.02
        for _ in range(_TRIES):
            began = self._clock.now()
            yield
            took = min(self._clock.now() - began, _LONGEST_PAUSE)
            self._clock.sleep(self._rng.uniform(0.0, max(pause, took)))
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _deliver(self, sent: _Sent, *, again: bool = False) -> Answer:
        """Push ``sent`` until it is known whether it landed.

        The answer is LANDED, REFUSED, or MOVED: it did not land, and no copy of it is under way.
        With ``again``, an earlier push of it is looked for first. Raises `Unavailable` or `OutcomeUnknown`.
        """
        answer = Answer(Pushed.UNKNOWN) if again else self._push(sent)
        tries = _TRIES_AT_BASE
        while sent.doubtful or answer.pushed is Pushed.MOVED:
            if answer.pushed is Pushed.LANDED:
                break
            found = self._where(sent, answer)
            if found is Range.FOUND:
                return self._won(sent)
            if found is Range.MISSING:
                self._forget(sent)
                return Answer(Pushed.MOVED)
            tries -= 1
            if not tries or (tries < _TRIES_AT_BASE - 1 and answer.pushed is not Pushed.CONTESTED):
                break
            # The head is its base: whatever became of the other copies, they are this very commit.
            answer = self._push(sent)
        if answer.pushed is Pushed.LANDED:
            return self._won(sent)
        if sent.doubtful:
            raise self._unknown(sent, answer.reason)
        if answer.pushed is Pushed.FAILED:
            raise Unavailable(answer.reason)
        return answer

    def _push(self, sent: _Sent) -> Answer:
        if sent.commit not in self._mirror.repository:
            # The mirror was made anew. Another commit of the same transactions does as well: both expect
            # the same base, so at most one of the two can land.
            base = GitSnapshot(self._mirror.objects, sent.base)
            sent.commit = self._build(base, sent.transactions).commit
        size = 0 if len(sent.transactions) < 20 else len(sent.transactions) * 1000
        answer = self._send_with_ride(Update(STATE_REF, sent.commit, sent.base), size)
        sent.doubtful = sent.doubtful or answer.pushed in (Pushed.UNKNOWN, Pushed.CONTESTED)
        return answer

    def _send_with_ride(self, update: Update, size: int) -> Answer:
        """Send ``update``, and what the rider wants to have taken along; the first push alone takes it."""
        rider, self._rider = self._rider, None
        ride = None if rider is None else rider.ride()
        if rider is None or ride is None:
            (answer,) = self._mirror.send_each([update], size=size)
            return answer
        outcome: Committed | Conflicted | Rode = Rode.NOT
        try:
            expected = None if ride.expect is ABSENT else ride.expect
            if expected is not None and not _OBJECT_ID.fullmatch(expected):
                outcome = Conflicted((ride.name,))
                (answer,) = self._mirror.send_each([update], size=size)
                return answer
            along = Update(SESSION_REFS + ride.name, self._session(encode_document(ride.document)), expected)
            # Should anything go wrong from here on, it may be on its way.
            outcome = Rode.UNKNOWN
            answer, others = self._mirror.send_each([update, along], size=size)
            outcome = rode(others, along)
        finally:
            rider.rode(ride, outcome)
        return answer

    def _where(self, sent: _Sent, answer: Answer) -> Range:
        """Look for ``sent`` in the history after its base."""
        try:
            head = self._newest().commit
            ids = frozenset(tx.id for tx in sent.transactions)
            found = search(self._mirror.repository, head, sent.base, ids)
        except StoreError as error:
            if not sent.doubtful:
                raise
            raise self._unknown(sent, f"{answer.reason}; and then: {error}") from error
        if found is Range.UNREADABLE:
            raise self._unknown(sent, f"the history between {sent.base} and {head} cannot be read")
        return found

    def _won(self, sent: _Sent) -> Answer:
        self._forget(sent)
        for tx in sent.transactions:
            self._landed[tx.id] = str(sent.commit)
        while len(self._landed) > _REMEMBERED:
            del self._landed[next(iter(self._landed))]
        last = self._last
        if (last is None or last.commit == sent.base) and sent.commit in self._mirror.repository:
            self._accept(sent.commit)
        return Answer(Pushed.LANDED)

    def _forget(self, sent: _Sent) -> None:
        for tx in sent.transactions:
            self._open.pop(tx.id, None)

    def _unknown(self, sent: _Sent, why: str) -> OutcomeUnknown:
        for tx in sent.transactions:
            self._open[tx.id] = sent
        return OutcomeUnknown(f"whether {sent.transactions[0].note!r} landed is open: {why}")

    # -- registers ------------------------------------------------------------------------------------

    def publish(self, name: str, document: Written, expect: Expected) -> Committed | Conflicted:
        sessions.check_name(name)
        if expect is not ABSENT and not _OBJECT_ID.fullmatch(expect):
            return Conflicted((name,))
        if document is DELETE and expect is ABSENT:
            return Conflicted((name,)) if name in self.published() else Committed("")
        data = b"" if document is DELETE else encode_document(document)
        self._mirror.ensure()
        commit = None if document is DELETE else self._session(data)
        answer, doubtful = Answer(Pushed.MOVED), False
        for _ in self._attempts():
            answer = self._mirror.send(SESSION_REFS + name, commit, None if expect is ABSENT else expect)
            if answer.pushed is Pushed.LANDED:
                return Committed("" if commit is None else str(commit))
            doubtful = doubtful or answer.pushed in (Pushed.UNKNOWN, Pushed.CONTESTED)
            if answer.pushed is Pushed.UNKNOWN or (doubtful and answer.pushed is Pushed.FAILED):
                raise OutcomeUnknown(f"whether the session {name} was written is open: {answer.reason}")
            if answer.pushed is Pushed.FAILED:
                raise Unavailable(answer.reason)
            if answer.pushed is Pushed.REFUSED:
                raise Rejected(
                    f"{self._location.store} refused a session, a ref below {SESSION_REFS}: {answer.reason}"
                )
            now = self._version_now(name, doubtful=doubtful)
            if commit is not None and now == commit:
                return Committed(str(commit))
            if (ABSENT if now is None else str(now)) != expect:
                return Conflicted((name,))
        why = f"the session {name} could not be written: {answer.reason}; try again"
        raise OutcomeUnknown(why) if doubtful else Unavailable(why)

    def _session(self, data: bytes) -> pygit2.Oid:
        try:
            return sessions.write(
                self._mirror.repository, data, signature(self._actor, self._clock.wall()), self._ids.nonce()
            )
        except (pygit2.GitError, OSError) as error:
            raise self._unwritable(error) from error

    def _version_now(self, name: str, *, doubtful: bool) -> pygit2.Oid | None:
        try:
            self._mirror.fetch(state=False, sessions=True)
            return self._mirror.sessions().get(name)
        except Unavailable as error:
            if doubtful:
                raise OutcomeUnknown(f"whether the session {name} was written is open: {error}") from error
            raise

    def published(self) -> Mapping[str, Register]:
        self._mirror.fetch(state=False, sessions=True)
        return self._registers()

    def _registers(self) -> dict[str, Register]:
        found = self._mirror.sessions()
        return {
            name: sessions.read(self._mirror.objects, name, oid)
            for name, oid in found.items()
            if sessions.is_name(name)
        }

    # -- blobs ----------------------------------------------------------------------------------------

    def keep_and_carry(self, blobs: Sequence[bytes], rider: Rider) -> list[str]:
        self._rider = rider
        try:
            return self.keep(blobs)
        finally:
            self._rider = None

    def keep(self, blobs: Sequence[bytes]) -> list[str]:
        if not blobs:
            return []
        self._mirror.ensure()
        day = datetime.datetime.fromtimestamp(self._clock.wall(), tz=datetime.UTC).date()
        ref = artifact_ref(day.isoformat())
        repository = self._mirror.repository
        try:
            oids = [repository.create_blob(data) for data in blobs]
            names = [str(oid) for oid in oids]
            tree = write_tree(
                self._mirror.objects, None, {(name,): oid for name, oid in zip(names, oids, strict=True)}
            )
        except (pygit2.GitError, OSError) as error:
            raise self._unwritable(error) from error
        parent = self._artifacts.get(ref)
        if parent is None or parent not in repository:
            parent = self._mirror.fetch_first_of_artifacts(ref)
        for _ in self._attempts():
            text = f"keep {len(names)} by {self._actor}\n\nSentinel-Nonce: {self._ids.nonce()}\n"
            try:
                commit = self._commit_object(text, tree, parent)
            except (pygit2.GitError, OSError) as error:
                raise self._unwritable(error) from error
            answer = self._send_with_ride(Update(ref, commit, parent), sum(map(len, blobs)))
            if answer.pushed is Pushed.LANDED:
                self._artifacts = {ref: commit}
                self._kept_in = str(commit)
                return names
            if answer.pushed not in (Pushed.MOVED, Pushed.CONTESTED, Pushed.UNKNOWN):
                raise Unavailable(f"{len(names)} blobs could not be kept: {answer.reason}")
            parent = self._mirror.fetch_first_of_artifacts(ref)
            if parent is not None:
                self._artifacts = {ref: parent}
            if parent == commit:
                self._kept_in = str(commit)
                return names
            if answer.pushed is Pushed.UNKNOWN:
                # Kept or not, keeping once more does no harm.
                raise Unavailable(f"{len(names)} blobs could not be kept: {answer.reason}")
        raise Unavailable(f"{ref} of {self._location.store} was moved by others at every try; try again")

    @property
    def kept_in(self) -> str | None:
        return self._kept_in

    def kept(self, name: str) -> bytes | None:
        if not _OBJECT_ID.fullmatch(name) or name == _NOTHING:
            return None
        data = self._blob(name)
        if data is None:
            self._mirror.fetch_object(name, ARTIFACT_REFS)
            data = self._blob(name)
        return data

    def _blob(self, name: str) -> bytes | None:
        try:
            kind, data = self._mirror.repository.odb.read(name)
        except KeyError:
            return None
        except (pygit2.GitError, OSError) as error:
            raise self._mirror.objects.damaged(pygit2.Oid(hex=name)) from error
        return data if kind == pygit2.enums.ObjectType.BLOB else None

    def days(self) -> dict[str, Version]:
        return self._mirror.list_refs(ARTIFACT_REFS)

    def drop_day(self, day: str, version: Version) -> bool:
        answer = self._mirror.send(artifact_ref(day), None, version)
        if answer.pushed is Pushed.UNKNOWN:
            raise OutcomeUnknown(f"whether the artifacts of {day} were let go is open: {answer.reason}")
        if answer.pushed in (Pushed.FAILED, Pushed.REFUSED):
            raise Unavailable(answer.reason)
        return answer.pushed is Pushed.LANDED

    def audit(self, limit: int, after: str | None = None) -> list[Entry]:
        head = self._newest().commit
        return entries(self._mirror.repository, head, limit, after)

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
                moved = self._mirror.look(STATE_REF) != self._seen
            except Unavailable:
                moved = True  # whoever reads next is told why
            self._pace.looked(moved=moved)
            pause = self._pace.pause * self._rng.uniform(1 - JITTER, 1 + JITTER)
            self._due = self._clock.now() + pause
            if moved or self._clock.now() >= limit:
                return moved

    def close(self) -> None:
        self._mirror.close()


_warned: set[str] = set()


def open_remote(url: str, options: StoreOptions) -> RemoteStore:
    """A new connection to the fleet on a Git server.

    Raises `BadInput` for a URL that cannot be used, `NotAStore` when there is no fleet, `Unavailable` when
    the server cannot be reached, and `ConfigurationError` without a git that is new enough.
    """
    location = locate(url)
    warn_in_the_clear(location)
    return RemoteStore(location, options, environ=os.environ)


def warn_in_the_clear(location: Location) -> None:
    """Say once that everybody on the way can read along."""
    if location.in_the_clear and location.store not in _warned:
        _warned.add(location.store)
        log.warning(
            "%s is not encrypted: whoever is on the way reads everything, tokens included, and can change "
            "it; use git+https:// or git+ssh://",
            location.store,
        )
