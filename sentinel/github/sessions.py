"""Sessions through the API: each a ref of its own, whose beats are commits, one upon the other.

The API moves a ref only forwards (or by force, without comparing). So each beat has the one before it as its
parent: it lands if, and only if, the ref is where it is expected to be. Peers that reach the same repository
by git replace the commit and name the object id that they expect; both kinds compare the same ref, and read
the same documents. Deleting compares nothing, so a last commit closes the session first, and nobody beats
upon that.
"""

from __future__ import annotations

import re

from sentinel.errors import BadRecord, OutcomeUnknown, Rejected, StoreError, Unavailable
from sentinel.github.errors import Declined, Missing
from sentinel.github.git import Moved, Verdict
from sentinel.github.hand import Hand
from sentinel.model.codec import MAX_DOCUMENT_BYTES, decode_document, encode_document
from sentinel.model.layout import SESSION_REFS
from sentinel.store.base import ABSENT, DELETE, Committed, Conflicted, Expected, Register, Written
from sentinel.store.objects import Recent
from sentinel.store.sessions import check_name, is_name, session_text, split_text

_OBJECT_ID = re.compile(r"[0-9a-f]{40}")
#: What is in the tree of every beat: a commit must have one, and an empty one GitHub does not make.
_TREE = {"session": b"A session of Task Sentinel; what it says is in the commit's message.\n"}
_CLOSED = "closed: it is being deleted"
#: Tries of one change while the ref stays where it was.
_TRIES = 4
#: Sessions that are remembered, in bytes.
_REMEMBERED = 4 * 1024 * 1024


class Sessions:
    """The registers of one connection."""

    def __init__(self, hand: Hand) -> None:
        self._hand = hand
        self._git = hand.git
        self._tree: str | None = None
        self._read: Recent[str, str] = Recent(_REMEMBERED)

    def published(self) -> dict[str, Register]:
        """All registers. Raises `Unavailable`."""
        found = {}
        for name, sha in self._git.refs(SESSION_REFS).items():
            if is_name(name):
                register = self._register(name, sha)
                if register is not None:
                    found[name] = register
        return found

    def _register(self, name: str, sha: str) -> Register | None:
        text = self._read.get(sha)
        if text is None:
            try:
                text = self._git.commit(sha).message
            except Missing:
                # Deleted since the refs were listed.
                return None
            self._read.put(sha, text, len(text))
        # Parsed anew: it is the caller's own copy.
        return _parsed(name, sha, text)

    def publish(self, name: str, document: Written, expect: Expected) -> Committed | Conflicted:
        """Compare-and-swap one register. Raises `Unavailable`, `Rejected` or `OutcomeUnknown`."""
        check_name(name)
        if document is DELETE:
            return self._delete(name, expect)
        return self._swap(name, session_text(encode_document(document), self._hand.ids.nonce()), expect)

    def _swap(self, name: str, text: str, expect: Expected) -> Committed | Conflicted:
        ref = SESSION_REFS + name
        sha = self._commit(text, expect)
        if sha is None:
            return Conflicted((name,))
        doubtful, reason = False, ""
        for _ in self._hand.attempts(_TRIES):
            try:
                verdict = self._git.create(ref, sha) if expect is ABSENT else self._git.advance(ref, sha)
            except OutcomeUnknown as error:
                doubtful, verdict = True, Verdict(Moved.DECLINED, str(error))
            except Unavailable as error:
                if doubtful:
                    raise self._unknown(name, error) from error
                raise
            if verdict.moved is Moved.DONE:
                return Committed(sha)
            reason = verdict.reason
            if verdict.moved is Moved.ELSEWHERE and not doubtful:
                return Conflicted((name,))
            outcome = self._settled(name, sha, expect, doubtful=doubtful)
            if outcome is not None:
                return outcome
        if doubtful:
            raise self._unknown(name, reason)
        raise Rejected(f"{self._hand.store} refused a session, a ref below {SESSION_REFS}: {reason}")

    def _settled(
        self, name: str, sha: str, expect: Expected, *, doubtful: bool
    ) -> Committed | Conflicted | None:
        """What became of a beat, by where the ref is now; None while it is where it was expected."""
        try:
            now = self._git.ref(SESSION_REFS + name)
            if (ABSENT if now is None else now) == expect:
                return None
            if now is not None and expect is not ABSENT and now in self._git.commit(expect).parents:
                # A copy that lags behind shows what was there before.
                return None
            landed = now is not None and (now == sha or sha in self._git.commit(now).parents)
        except StoreError as error:
            if doubtful:
                raise self._unknown(name, error) from error
            raise
        return Committed(sha) if landed else Conflicted((name,))

    def _delete(self, name: str, expect: Expected) -> Committed | Conflicted:
        ref = SESSION_REFS + name
        if expect is ABSENT:
            return Committed("") if self._git.ref(ref) is None else Conflicted((name,))
        if not self._is_closed(expect):
            closed = self._swap(name, f"{_CLOSED}\n\n{self._hand.ids.nonce()}\n", expect)
            if isinstance(closed, Conflicted):
                return closed
        for _ in self._hand.attempts(_TRIES):
            # Nobody beats upon a closed session, and its name is never used for another one. So it is not
            # looked for first: a copy that lags behind would show a beat before it was closed, or nothing.
            try:
                verdict = self._git.delete(ref)
            except OutcomeUnknown:
                continue
            if verdict.moved is not Moved.DECLINED:
                return Committed("")
        raise OutcomeUnknown(
            f"whether the session {name} was deleted is open; nobody can beat in it any more"
        )

    def _is_closed(self, version: str) -> bool:
        return (self._read.get(version) or "").startswith(_CLOSED)

    def _commit(self, text: str, expect: Expected) -> str | None:
        """A commit with ``text`` that nobody sees yet; None when GitHub knows nothing of what is expected."""
        if expect is not ABSENT and not _OBJECT_ID.fullmatch(expect):
            return None
        try:
            if self._tree is None:
                self._tree = self._git.make_tree(None, _TREE)
            author = self._hand.sign()
            return self._git.make_commit(text, self._tree, [] if expect is ABSENT else [expect], author)
        except OutcomeUnknown as error:
            raise Unavailable(f"a session could not be written: {error}; try again") from error
        except Declined:
            if expect is ABSENT or self._git.knows(expect):
                raise
            return None

    def _unknown(self, name: str, why: object) -> OutcomeUnknown:
        return OutcomeUnknown(f"whether the session {name} was written is open: {why}")


def _parsed(name: str, sha: str, text: str) -> Register:
    if text.startswith(_CLOSED):
        return Register(sha, None, _CLOSED)
    data = split_text(text.encode("utf-8", "surrogatepass"))
    if len(data) > MAX_DOCUMENT_BYTES:
        return Register(sha, None, f"{len(data)} bytes are more than the limit of {MAX_DOCUMENT_BYTES}")
    try:
        return Register(sha, decode_document(name, data))
    except BadRecord as bad:
        return Register(sha, None, bad.reason)
