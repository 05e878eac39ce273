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

import pygit2

from sentinel.clock import Clock, SystemClock
from sentinel.entropy import system_random
from sentinel.errors import OutcomeUnknown, StoreError, Unavailable
from sentinel.github.api import Api
from sentinel.github.blobs import Blobs
from sentinel.github.errors import Declined
from sentinel.github.git import Commit, GitData, Moved, Verdict
from sentinel.github.objects import ApiSnapshot, Folder
from sentinel.github.sessions import Sessions
from sentinel.github.state import State
from sentinel.model.codec import encode_document
from sentinel.model.ids import IdSource
from sentinel.model.layout import STATE_REF
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
    notes,
)
from sentinel.store.high_water import HighWater
from sentinel.store.history import Range
from sentinel.store.opener import StoreOptions
from sentinel.store.pace import JITTER, Pace
from sentinel.store.repository import signature
from sentinel.store.tree import path_of, write_tree

#: Tries of one commit against competitors before it gives up.
_TRIES = 30
#: Tries of one commit while the head stays where it was.
_TRIES_AT_BASE = 4
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 4.0
#: Landed transaction ids that are remembered; none is sent again after so many others.
_REMEMBERED = 100_000
#: Looks at the state between two at how much is kept on this machine.
_TIDY_EVERY = 200


@dataclasses.dataclass(slots=True)
class _Sent:
    """A commit that was made, and that the branch was, or is about to be, moved to."""

    base: str
    commit: Commit
    root: pygit2.Oid
    transactions: tuple[Transaction, ...]
    #: Whether a move to it had no clear answer, so that it may land at any time while the head is `base`.
    doubtful: bool = False


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
        self._ids = IdSource(self._rng, self._clock.wall)
        self._actor = options.actor
        self._api = api
        self._git = GitData(api)
        self._where = api.place.store
        self._folder = Folder(options.state_folder, self._git)
        self._state = State(api.place, self._git, self._folder, HighWater(options.state_folder), self._clock)
        self._blobs = Blobs(
            self._git,
            self._folder,
            store=self._where,
            actor=options.actor,
            ids=self._ids,
            clock=self._clock,
            attempts=self._attempts,
        )
        self._sessions = Sessions(
            GitData(api, urgent=True),
            store=self._where,
            actor=options.actor,
            ids=self._ids,
            clock=self._clock,
            attempts=self._attempts,
        )
        self._pace = Pace()
        self._due = float("-inf")
        self._seen: str | None = None
        self._looks = 0
        self._landed: dict[str, str] = {}
        #: Transactions whose fate is unknown → the commit that they were sent in.
        self._open: dict[str, _Sent] = {}
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
        for sent in {id(found): found for tx in transactions if (found := self._open.get(tx.id))}.values():
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
        known = self._state.last
        base, current = (known, False) if known is not None else (self._state.newest(), True)
        for _ in self._attempts(_TRIES):
            landing = land(batch, base)
            if landing.conflicts and not current:
                # What this connection saw last need not be the newest that the caller saw.
                base, current = self._state.newest(), True
                landing = land(batch, base)
            results: dict[str, Outcome] = {
                batch[position].id: conflict for position, conflict in landing.conflicts.items()
            }
            if not landing.accepted:
                return results
            try:
                sent = self._build(base, landing.accepted)
                verdict = self._deliver(sent)
            except Declined as error:
                return results | self._split(landing.accepted, error.reason)
            if verdict.moved is Moved.DONE:
                return results | {tx.id: Committed(sent.commit.sha) for tx in sent.transactions}
            if verdict.moved is Moved.DECLINED:
                return results | self._split(sent.transactions, verdict.reason)
            base, current = self._state.newest(), True
        raise Unavailable(f"{STATE_REF} of {self._where} was moved by others at every try; try again")

    def _split(self, refused: Sequence[Transaction], reason: str) -> dict[str, Outcome]:
        """Land what was refused as a whole in two parts, so that only the culprit is refused in the end."""
        if len(refused) == 1:
            return {refused[0].id: Refused(reason)}
        half = len(refused) // 2
        return self._land(refused[:half]) | self._land(refused[half:])

    def _build(self, base: ApiSnapshot, accepted: tuple[Transaction, ...]) -> _Sent:
        """A commit on ``base`` that nobody sees yet. Raises `Declined` and `Unavailable`."""
        objects = self._folder.objects
        contents = {
            path_of(key): None if written is DELETE else encode_document(written)
            for tx in accepted
            for key, written in tx.write.items()
        }
        root = write_tree(
            objects,
            base.root,
            {path: None if data is None else objects.write_blob(data) for path, data in contents.items()},
        )
        # Taking away what is not there is refused by GitHub, and means nothing.
        files = {
            "/".join(path): data for path, data in contents.items() if data is not None or base.holds(path)
        }
        text = message(accepted, self._ids.nonce())
        try:
            tree = self._git.make_tree(str(base.root), files) if files else str(base.root)
            if tree != str(root):
                # It may have kept folders that became empty, which git itself would not.
                root = pygit2.Oid(hex=tree)
                objects.check_files(root, contents)
            author = signature(self._actor, self._clock.wall())
            sha = self._git.make_commit(text, tree, [base.revision], author)
        except OutcomeUnknown as error:
            # Nobody sees what may have been made.
            raise Unavailable(f"nothing was changed: {error}") from error
        made = Commit(
            sha=sha,
            tree=tree,
            parents=(base.revision,),
            message=text,
            author=author.name,
            at=float(author.time),
        )
        return _Sent(base.revision, made, root, accepted)

    def _attempts(self, tries: int) -> Iterator[None]:
        """Yield for each try, with growing random pauses between."""
        pause = _FIRST_PAUSE
        for number in range(tries):
            if number:
                self._clock.sleep(self._rng.uniform(0.0, pause))
                pause = min(pause * 2, _LONGEST_PAUSE)
            yield

    def _deliver(self, sent: _Sent, *, again: bool = False) -> Verdict:
        """Move the branch to ``sent``, until it is known whether that was done.

        The verdict is DONE; ELSEWHERE when it did not land, and no copy of it is under way that could; or
        DECLINED. With ``again``, an earlier move is looked for first. Raises `Unavailable` or
        `OutcomeUnknown`.
        """
        verdict = Verdict(Moved.DECLINED, "an earlier move had no clear answer")
        for attempt, _ in enumerate(self._attempts(_TRIES_AT_BASE)):
            if attempt or not again:
                verdict = self._advance(sent)
            if verdict.moved is Moved.DONE:
                self._won(sent)
                return verdict
            found = self._find(sent, verdict.reason)
            if found is Range.FOUND:
                self._won(sent)
                return Verdict(Moved.DONE)
            if found is Range.MISSING:
                self._forget(sent)
                return Verdict(Moved.ELSEWHERE)
            # The head is its base: whatever became of the other copies, they are this very commit.
        if sent.doubtful:
            raise self._unknown(sent, verdict.reason)
        # Where it says "elsewhere" and reads still show the base, it is the reads that lag behind.
        return verdict

    def _advance(self, sent: _Sent) -> Verdict:
        try:
            return self._git.advance(STATE_REF, sent.commit.sha)
        except OutcomeUnknown as error:
            sent.doubtful = True
            return Verdict(Moved.DECLINED, str(error))
        except Unavailable as error:
            if sent.doubtful:
                raise self._unknown(sent, str(error)) from error
            raise

    def _find(self, sent: _Sent, reason: str) -> Range:
        """Look for ``sent`` in the history after its base."""
        try:
            head = self._state.newest().revision
            found = self._state.search(head, sent.base, frozenset(tx.id for tx in sent.transactions))
        except StoreError as error:
            if not sent.doubtful:
                raise
            raise self._unknown(sent, f"{reason}; and then: {error}") from error
        if found is Range.UNREADABLE:
            raise self._unknown(sent, f"the history between {sent.base} and {head} cannot be read")
        return found

    def _won(self, sent: _Sent) -> None:
        self._forget(sent)
        self._state.know(sent.commit)
        for tx in sent.transactions:
            self._landed[tx.id] = sent.commit.sha
        while len(self._landed) > _REMEMBERED:
            del self._landed[next(iter(self._landed))]
        last = self._state.last
        if last is None or last.revision == sent.base:
            self._state.accept(ApiSnapshot(self._folder.objects, sent.commit.sha, sent.root))

    def _forget(self, sent: _Sent) -> None:
        for tx in sent.transactions:
            self._open.pop(tx.id, None)

    def _unknown(self, sent: _Sent, why: str) -> OutcomeUnknown:
        for tx in sent.transactions:
            self._open[tx.id] = sent
        return OutcomeUnknown(f"whether {sent.transactions[0].note!r} landed is open: {why}")

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
