"""Sessions on a Git server: each a ref of its own, replaced by its owner under an explicit lease."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pygit2

from sentinel.clock import Clock
from sentinel.errors import OutcomeUnknown, Rejected, Unavailable
from sentinel.model.codec import encode_document
from sentinel.model.ids import IdSource
from sentinel.model.layout import SESSION_REFS
from sentinel.store import sessions
from sentinel.store.base import ABSENT, DELETE, Committed, Conflicted, Expected, Register, Written
from sentinel.store.git_answers import Answer, Pushed
from sentinel.store.mirror import Mirror
from sentinel.store.repository import signature

_OBJECT_ID = re.compile(r"[0-9a-f]{40}")


def object_id(expect: Expected) -> str | None:
    """What a push is to expect of a ref; None: that it is absent. Raises `ValueError` for no object id."""
    if expect is ABSENT:
        return None
    if not _OBJECT_ID.fullmatch(expect):
        raise ValueError(f"{expect!r} names no object")
    return expect


class Sessions:
    """The registers of one connection."""

    def __init__(
        self,
        mirror: Mirror,
        *,
        actor: str,
        ids: IdSource,
        clock: Clock,
        attempts: Callable[[], Iterator[None]],
    ) -> None:
        self._mirror = mirror
        self._actor = actor
        self._ids = ids
        self._clock = clock
        self._attempts = attempts

    def publish(self, name: str, document: Written, expect: Expected) -> Committed | Conflicted:
        """Compare-and-swap one register. Raises `Unavailable`, `Rejected` or `OutcomeUnknown`."""
        sessions.check_name(name)
        try:
            expected = object_id(expect)
        except ValueError:
            return Conflicted((name,))
        if document is DELETE and expect is ABSENT:
            return Conflicted((name,)) if name in self.published() else Committed("")
        data = b"" if document is DELETE else encode_document(document)
        self._mirror.ensure()
        commit = None if document is DELETE else self.write(data)
        answer, doubtful = Answer(Pushed.MOVED), False
        for _ in self._attempts():
            answer = self._mirror.send(SESSION_REFS + name, commit, expected)
            if answer.pushed is Pushed.LANDED:
                return Committed("" if commit is None else str(commit))
            doubtful = doubtful or answer.pushed in (Pushed.UNKNOWN, Pushed.CONTESTED)
            if answer.pushed is Pushed.UNKNOWN or (doubtful and answer.pushed is Pushed.FAILED):
                raise OutcomeUnknown(f"whether the session {name} was written is open: {answer.reason}")
            if answer.pushed is Pushed.FAILED:
                raise Unavailable(answer.reason)
            if answer.pushed is Pushed.REFUSED:
                store = self._mirror.location.store
                raise Rejected(f"{store} refused a session, a ref below {SESSION_REFS}: {answer.reason}")
            now = self._version_now(name, doubtful=doubtful)
            if commit is not None and now == commit:
                return Committed(str(commit))
            if (ABSENT if now is None else str(now)) != expect:
                return Conflicted((name,))
        why = f"the session {name} could not be written: {answer.reason}; try again"
        raise OutcomeUnknown(why) if doubtful else Unavailable(why)

    def write(self, data: bytes) -> pygit2.Oid:
        """A new version of a session, which nobody sees yet. Raises `Unavailable`."""
        try:
            return sessions.write(
                self._mirror.repository, data, signature(self._actor, self._clock.wall()), self._ids.nonce()
            )
        except (pygit2.GitError, OSError) as error:
            raise self._mirror.unwritable(error) from error

    def _version_now(self, name: str, *, doubtful: bool) -> pygit2.Oid | None:
        try:
            self._mirror.fetch(state=False, sessions=True)
            return self._mirror.sessions().get(name)
        except Unavailable as error:
            if doubtful:
                raise OutcomeUnknown(f"whether the session {name} was written is open: {error}") from error
            raise

    def published(self) -> dict[str, Register]:
        """All registers, as they are now. Raises `Unavailable`."""
        self._mirror.fetch(state=False, sessions=True)
        return self.fetched()

    def fetched(self) -> dict[str, Register]:
        """All registers, as they were last brought."""
        found = self._mirror.sessions()
        return {
            name: sessions.read(self._mirror.objects, name, oid)
            for name, oid in found.items()
            if sessions.is_name(name)
        }
