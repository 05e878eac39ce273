"""How a commit gets onto the state branch by the API: three requests, of which the last one counts.

A tree, a commit, and the ref, which moves only forwards: with a commit whose parent is the head that was
judged, that is the compare-and-swap. Nobody sees the first two, so whatever became of them is no matter.
"""

from __future__ import annotations

import dataclasses

import pygit2

from sentinel.errors import OutcomeUnknown, Rejected, StoreError, Unavailable
from sentinel.github.errors import Declined, Missing
from sentinel.github.git import Commit, Moved, Verdict
from sentinel.github.hand import Hand
from sentinel.github.objects import ApiSnapshot, Folder
from sentinel.github.state import State
from sentinel.model.codec import encode_document
from sentinel.model.layout import STATE_REF
from sentinel.store.base import DELETE, Refused, Transaction, message
from sentinel.store.history import Range
from sentinel.store.landing import Delivery, Elsewhere, Landed, Sent
from sentinel.store.tree import path_of, write_tree

#: Tries of one commit while the head stays where it was.
_TRIES_AT_BASE = 4


@dataclasses.dataclass(slots=True, kw_only=True)
class ApiSent(Sent):
    """A commit that was made, and that the branch was, or is about to be, moved to."""

    commit: Commit
    root: pygit2.Oid


class Way:
    """One connection's way to the state branch; see `sentinel.store.landing.Place`."""

    def __init__(self, hand: Hand, state: State, folder: Folder) -> None:
        self._hand = hand
        self._git = hand.git
        self._state = state
        self._folder = folder
        self.name = f"{STATE_REF} of {hand.store}"

    def known(self) -> ApiSnapshot | None:
        return self._state.last

    def newest(self) -> ApiSnapshot:
        return self._state.newest()

    def search(self, head: ApiSnapshot, sent: ApiSent) -> Range:
        return self._state.search(head.revision, sent.base, sent.ids)

    def build(self, base: ApiSnapshot, transactions: tuple[Transaction, ...]) -> ApiSent:
        objects = self._folder.objects
        contents = {
            path_of(key): None if written is DELETE else encode_document(written)
            for tx in transactions
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
        text = message(transactions, self._hand.ids.nonce())
        try:
            tree = self._make_tree(base, files) if files else str(base.root)
            if tree != str(root):
                # It may have kept folders that became empty, which git itself would not.
                root = pygit2.Oid(hex=tree)
                objects.check_files(root, contents)
            author = self._hand.sign()
            sha = self._git.make_commit(text, tree, [base.revision], author)
        except (OutcomeUnknown, Missing, Declined) as error:
            # Nobody sees what may have been made; and what a commit stands on may not be everywhere yet.
            raise Unavailable(f"nothing was changed: {error}") from error
        made = Commit(
            sha=sha,
            tree=tree,
            parents=(base.revision,),
            message=text,
            author=author.name,
            at=float(author.time),
        )
        return ApiSent(base=base.revision, revision=sha, transactions=transactions, commit=made, root=root)

    def _make_tree(self, base: ApiSnapshot, files: dict[str, bytes | None]) -> str:
        """The tree with ``files`` in it. Raises `Rejected`: this is where GitHub judges what is in them."""
        try:
            return self._git.make_tree(str(base.root), files)
        except Declined as error:
            if error.status == 409:
                # Its own trouble, and not with what is in the files.
                raise
            raise Rejected(error.reason) from error

    def deliver(self, sent: ApiSent, *, again: bool) -> Delivery:
        verdict = Verdict(Moved.DECLINED, "an earlier move had no clear answer")
        for attempt, _ in enumerate(self._hand.attempts(_TRIES_AT_BASE)):
            if attempt or not again:
                verdict = self._advance(sent)
            if verdict.moved is Moved.DONE:
                return self._won(sent)
            found = self._find(sent, verdict.reason)
            if found is Range.FOUND:
                return self._won(sent)
            if found is Range.MISSING:
                return Elsewhere()
            # The head is its base: whatever became of the other copies, they are this very commit.
        if sent.doubtful:
            raise sent.unknown(verdict.reason)
        # Where it says "elsewhere" and reads still show the base, it is the reads that lag behind.
        return Elsewhere() if verdict.moved is Moved.ELSEWHERE else Refused(verdict.reason)

    def _advance(self, sent: ApiSent) -> Verdict:
        try:
            return self._git.advance(STATE_REF, sent.revision)
        except OutcomeUnknown as error:
            sent.doubtful = True
            return Verdict(Moved.DECLINED, str(error))
        except Unavailable as error:
            if sent.doubtful:
                raise sent.unknown(str(error)) from error
            raise

    def _find(self, sent: ApiSent, reason: str) -> Range:
        """Look for ``sent`` in the history after its base."""
        try:
            head = self._state.newest()
            found = self.search(head, sent)
        except Declined as error:
            # A read that is refused says nothing of what was sent.
            raise self._open(sent, f"{reason}; and then: {error}") from error
        except StoreError as error:
            if not sent.doubtful:
                raise
            raise sent.unknown(f"{reason}; and then: {error}") from error
        if found is Range.UNREADABLE:
            raise sent.unknown(f"the history between {sent.base} and {head.revision} cannot be read")
        return found

    def _open(self, sent: ApiSent, why: str) -> StoreError:
        return sent.unknown(why) if sent.doubtful else Unavailable(why)

    def _won(self, sent: ApiSent) -> Landed:
        self._state.know(sent.commit)
        last = self._state.last
        if last is None or last.revision == sent.base:
            self._state.accept(ApiSnapshot(self._folder.objects, sent.revision, sent.root))
        return Landed()
