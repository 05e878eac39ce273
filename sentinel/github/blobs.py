"""Logs and large results through the API: blobs that one ref a day keeps alive."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence

import pygit2

from sentinel.errors import OutcomeUnknown, Unavailable
from sentinel.github.git import Moved
from sentinel.github.hand import Hand
from sentinel.github.objects import Folder
from sentinel.model.layout import ARTIFACT_REFS, artifact_ref
from sentinel.store.tree import write_tree

#: Tries against others that keep something at the same time.
_TRIES = 30
#: Texts up to so many bytes go along with the tree that names them; others are sent alone, as base64.
_INLINE = 256 * 1024

#: Pauses, in seconds, before a blob that is not there is asked for again.
_PATIENCE = (0.5, 1.0, 2.0)
#: Seconds after which what GitHub did not show at the first look and does not show now is not kept.
_BELIEVED = 120.0
#: Blobs that were missed and are remembered.
_MISSED = 1_000

_OBJECT_ID = re.compile(r"[0-9a-f]{40}")


class Blobs:
    """The kept blobs of one connection."""

    def __init__(self, hand: Hand, folder: Folder) -> None:
        self._hand = hand
        self._git = hand.git
        self._folder = folder
        #: The day's ref → where our last commit left it.
        self._artifacts: dict[str, str] = {}
        #: The commit that holds what was stored last.
        self.kept_in: str | None = None
        #: Blobs that GitHub did not show → when that was seen first.
        self._missed: dict[str, float] = {}

    def keep(self, blobs: Sequence[bytes]) -> list[str]:
        """Store blobs, and give their names. Raises `Unavailable`."""
        if not blobs:
            return []
        day = datetime.datetime.fromtimestamp(self._hand.clock.wall(), tz=datetime.UTC).date()
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
        author = self._hand.sign()
        for _ in self._hand.attempts(_TRIES):
            text = f"keep {count} by {self._hand.actor}\n\nSentinel-Nonce: {self._hand.ids.nonce()}\n"
            sha = self._git.make_commit(text, tree, [] if parent is None else [parent], author)
            verdict = self._git.create(ref, sha) if parent is None else self._git.advance(ref, sha)
            if verdict.moved is Moved.DONE:
                self._artifacts = {ref: sha}
                self.kept_in = sha
                return
            now = self._git.ref(ref)
            if verdict.moved is Moved.DECLINED and now == parent:
                raise Unavailable(f"{ref} of {self._hand.store} could not be moved: {verdict.reason}")
            parent = now
        raise Unavailable(f"{ref} of {self._hand.store} was moved by others at every try; try again")

    def days(self) -> dict[str, str]:
        """The days of which blobs are kept → the commit that keeps them. Raises `Unavailable`."""
        return self._git.refs(ARTIFACT_REFS)

    def drop_day(self, day: str, version: str) -> bool:
        """Keep the blobs of a day no longer; False when they are not as in ``version``.

        GitHub compares nothing when it removes a ref, and nobody adds to a day that is long over.
        """
        ref = artifact_ref(day)
        return self._git.ref(ref) == version and self._git.delete(ref).moved is Moved.DONE

    def kept(self, name: str) -> bytes | None:
        """A blob by its name, or None when GitHub has not shown it for a while. Raises `Unavailable`.

        One that was kept a moment ago may be missing in a copy of GitHub's that lags behind.
        """
        if not _OBJECT_ID.fullmatch(name) or not int(name, 16):
            return None
        oid = pygit2.Oid(hex=name)
        for pause in (*_PATIENCE, None):
            data = self._folder.objects.blob(oid)
            if data is not None:
                self._missed.pop(name, None)
                return data
            now = self._hand.clock.now()
            if now - self._missed.setdefault(name, now) >= _BELIEVED:
                return None
            if pause is not None:
                self._hand.clock.sleep(pause)
        while len(self._missed) > _MISSED:
            del self._missed[next(iter(self._missed))]
        raise Unavailable(
            f"{self._hand.store} does not show the blob {name}: it was pruned, or it is not to be seen "
            f"everywhere yet; try again in {_BELIEVED:.0f} s"
        )
