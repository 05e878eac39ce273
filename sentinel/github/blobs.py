"""Logs and large results through the API: blobs that one ref a day keeps alive."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator, Sequence

import pygit2

from sentinel.clock import Clock
from sentinel.errors import OutcomeUnknown, Unavailable
from sentinel.github.git import GitData, Moved
from sentinel.github.objects import Folder
from sentinel.model.ids import IdSource
from sentinel.model.layout import artifact_ref
from sentinel.store.repository import signature
from sentinel.store.tree import write_tree

#: Tries against others that keep something at the same time.
_TRIES = 30
#: Texts up to so many bytes go along with the tree that names them; others are sent alone, as base64.
_INLINE = 256 * 1024

_OBJECT_ID = re.compile(r"[0-9a-f]{40}")


class Blobs:
    """The kept blobs of one connection."""

    def __init__(
        self,
        git: GitData,
        folder: Folder,
        *,
        store: str,
        actor: str,
        ids: IdSource,
        clock: Clock,
        attempts: Callable[[int], Iterator[None]],
    ) -> None:
        self._git = git
        self._folder = folder
        self._store = store
        self._actor = actor
        self._ids = ids
        self._clock = clock
        self._attempts = attempts
        #: The day's ref → where our last commit left it.
        self._artifacts: dict[str, str] = {}
        #: The commit that holds what was stored last.
        self.kept_in: str | None = None

    def keep(self, blobs: Sequence[bytes]) -> list[str]:
        """Store blobs, and give their names. Raises `Unavailable`."""
        if not blobs:
            return []
        day = datetime.datetime.fromtimestamp(self._clock.wall(), tz=datetime.UTC).date()
        ref = artifact_ref(day.isoformat())
        names = [str(pygit2.hash(data)) for data in blobs]
        try:
            files = {name: self._sendable(data) for name, data in zip(names, blobs, strict=True)}
            tree = self._git.make_tree(None, files)
            expected = write_tree(
                self._folder.objects, None, {(name,): pygit2.Oid(hex=name) for name in names}
            )
            if tree != str(expected):
                raise Unavailable("GitHub kept something else than it was given; try again")
            self._keep_alive(ref, tree, len(names))
        except OutcomeUnknown as error:
            # Kept or not, keeping once more does no harm.
            raise Unavailable(f"{len(names)} blobs could not be kept: {error}") from error
        return names

    def _sendable(self, data: bytes) -> bytes | str:
        """What stands for a blob in a tree that is made: itself, or its id when it was sent before."""
        try:
            if 0 < len(data) <= _INLINE and "\0" not in data.decode("utf-8"):
                return data
        except UnicodeDecodeError:
            pass
        return self._git.make_blob(data)

    def _keep_alive(self, ref: str, tree: str, count: int) -> None:
        parent = self._artifacts.get(ref) or self._git.ref(ref)
        author = signature(self._actor, self._clock.wall())
        for _ in self._attempts(_TRIES):
            text = f"keep {count} by {self._actor}\n\nSentinel-Nonce: {self._ids.nonce()}\n"
            sha = self._git.make_commit(text, tree, [] if parent is None else [parent], author)
            verdict = self._git.create(ref, sha) if parent is None else self._git.advance(ref, sha)
            if verdict.moved is Moved.DONE:
                self._artifacts = {ref: sha}
                self.kept_in = sha
                return
            now = self._git.ref(ref)
            if verdict.moved is Moved.DECLINED and now == parent:
                raise Unavailable(f"{ref} of {self._store} could not be moved: {verdict.reason}")
            parent = now
        raise Unavailable(f"{ref} of {self._store} was moved by others at every try; try again")

    def kept(self, name: str) -> bytes | None:
        """A blob by its name, or None. Raises `Unavailable`."""
        if not _OBJECT_ID.fullmatch(name) or not int(name, 16):
            return None
        return self._folder.objects.blob(pygit2.Oid(hex=name))
