"""How a commit gets onto the state branch of a Git server: by a push that names what it expects there."""

from __future__ import annotations

from collections.abc import Callable

import pygit2

from sentinel.clock import Clock
from sentinel.errors import StoreError, Unavailable
from sentinel.model.codec import encode_document
from sentinel.model.ids import IdSource
from sentinel.model.layout import STATE_REF
from sentinel.store.base import DELETE, Refused, Transaction, message
from sentinel.store.git_answers import Answer, Pushed
from sentinel.store.history import Range, search
from sentinel.store.landing import Delivery, Elsewhere, Landed, Sent
from sentinel.store.mirror import Mirror, Update
from sentinel.store.remote_state import State
from sentinel.store.repository import signature
from sentinel.store.tree import GitSnapshot, path_of, write_tree

#: Tries of one commit while the head stays where it was.
_TRIES_AT_BASE = 4


class Way:
    """One connection's way to the state branch; see `sentinel.store.landing.Place`."""

    def __init__(
        self,
        mirror: Mirror,
        state: State,
        send: Callable[[Update, int], Answer],
        *,
        actor: str,
        ids: IdSource,
        clock: Clock,
    ) -> None:
        self._mirror = mirror
        self._state = state
        self._send = send
        self._actor = actor
        self._ids = ids
        self._clock = clock
        self.name = f"{STATE_REF} of {mirror.location.store}"

    def known(self) -> GitSnapshot | None:
        return self._state.known

    def newest(self) -> GitSnapshot:
        return self._state.newest()

    def search(self, head: GitSnapshot, sent: Sent) -> Range:
        return search(self._mirror.repository, head.commit, pygit2.Oid(hex=sent.base), sent.ids)

    def build(self, base: GitSnapshot, transactions: tuple[Transaction, ...]) -> Sent:
        objects = self._mirror.objects
        try:
            changes = {
                path_of(key): None if written is DELETE else objects.write_blob(encode_document(written))
                for tx in transactions
                for key, written in tx.write.items()
            }
            tree = write_tree(objects, base.root, changes)
            author = signature(self._actor, self._clock.wall())
            text = message(transactions, self._ids.nonce())
            commit = objects.write_commit(text, author, tree, [base.commit])
        except (pygit2.GitError, OSError, KeyError) as error:
            raise self._mirror.unwritable(error) from error
        return Sent(base=base.revision, revision=str(commit), transactions=transactions)

    def deliver(self, sent: Sent, *, again: bool) -> Delivery:
        answer = Answer(Pushed.UNKNOWN) if again else self._push(sent)
        tries = _TRIES_AT_BASE
        while sent.doubtful or answer.pushed is Pushed.MOVED:
            if answer.pushed is Pushed.LANDED:
                break
            found = self._find(sent, answer)
            if found is Range.FOUND:
                return self._won(sent)
            if found is Range.MISSING:
                return Elsewhere()
            tries -= 1
            if not tries or (tries < _TRIES_AT_BASE - 1 and answer.pushed is not Pushed.CONTESTED):
                break
            # The head is its base: whatever became of the other copies, they are this very commit.
            answer = self._push(sent)
        if answer.pushed is Pushed.LANDED:
            return self._won(sent)
        if sent.doubtful:
            raise sent.unknown(answer.reason)
        if answer.pushed is Pushed.FAILED:
            raise Unavailable(answer.reason)
        return Refused(answer.reason) if answer.pushed is Pushed.REFUSED else Elsewhere()

    def _push(self, sent: Sent) -> Answer:
        if sent.revision not in self._mirror.repository:
            # The mirror was made anew. Another commit of the same transactions does as well: both expect
            # the same base, so at most one of the two can land.
            base = GitSnapshot(self._mirror.objects, pygit2.Oid(hex=sent.base))
            sent.revision = self.build(base, sent.transactions).revision
        size = 0 if len(sent.transactions) < 20 else len(sent.transactions) * 1000
        update = Update(STATE_REF, pygit2.Oid(hex=sent.revision), pygit2.Oid(hex=sent.base))
        answer = self._send(update, size)
        sent.doubtful = sent.doubtful or answer.pushed in (Pushed.UNKNOWN, Pushed.CONTESTED)
        return answer

    def _find(self, sent: Sent, answer: Answer) -> Range:
        """Look for ``sent`` in the history after its base."""
        try:
            head = self._state.newest()
            found = self.search(head, sent)
        except StoreError as error:
            if not sent.doubtful:
                raise
            raise sent.unknown(f"{answer.reason}; and then: {error}") from error
        if found is Range.UNREADABLE:
            raise sent.unknown(f"the history between {sent.base} and {head.revision} cannot be read")
        return found

    def _won(self, sent: Sent) -> Landed:
        last = self._state.last
        if (last is None or last.revision == sent.base) and sent.revision in self._mirror.repository:
            self._state.accept(pygit2.Oid(hex=sent.revision))
        return Landed()
