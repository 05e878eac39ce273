"""Logs and large results on a Git server: blobs that one ref a day keeps alive."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator, Sequence

import pygit2

from sentinel.clock import Clock
from sentinel.errors import OutcomeUnknown, Unavailable
from sentinel.model.ids import IdSource
from sentinel.model.layout import ARTIFACT_REFS, artifact_ref
from sentinel.store.base import Version
from sentinel.store.git_answers import Answer, Pushed
from sentinel.store.mirror import Mirror, Update
from sentinel.store.repository import signature
from sentinel.store.tree import write_tree

_OBJECT_ID = re.compile(r"[0-9a-f]{40}")
_NOTHING = "0" * 40

#: Sends an update, of about so many bytes.
Send = Callable[[Update, int], Answer]


class Artifacts:
    """The kept blobs of one connection."""

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
        #: Artifact ref → where our last push left it.
        self._artifacts: dict[str, pygit2.Oid] = {}
        #: The commit that holds what was stored last.
        self.kept_in: str | None = None

    def keep(self, blobs: Sequence[bytes], send: Send) -> list[str]:
        """Store blobs, sent by ``send``, and give their names. Raises `Unavailable`."""
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
            raise self._mirror.unwritable(error) from error
        parent = self._artifacts.get(ref)
        if parent is None or parent not in repository:
            parent = self._mirror.fetch_first_of_artifacts(ref)
        for _ in self._attempts():
            text = f"keep {len(names)} by {self._actor}\n\nSentinel-Nonce: {self._ids.nonce()}\n"
            try:
                author = signature(self._actor, self._clock.wall())
                parents = [] if parent is None else [parent]
                commit = self._mirror.objects.write_commit(text, author, tree, parents)
            except (pygit2.GitError, OSError) as error:
                raise self._mirror.unwritable(error) from error
            answer = send(Update(ref, commit, parent), sum(map(len, blobs)))
            if answer.pushed is Pushed.LANDED:
                self._artifacts = {ref: commit}
                self.kept_in = str(commit)
                return names
            if answer.pushed not in (Pushed.MOVED, Pushed.CONTESTED, Pushed.UNKNOWN):
                raise Unavailable(f"{len(names)} blobs could not be kept: {answer.reason}")
            parent = self._mirror.fetch_first_of_artifacts(ref)
            if parent is not None:
                self._artifacts = {ref: parent}
            if parent == commit:
                self.kept_in = str(commit)
                return names
            if answer.pushed is Pushed.UNKNOWN:
                # Kept or not, keeping once more does no harm.
                raise Unavailable(f"{len(names)} blobs could not be kept: {answer.reason}")
        raise Unavailable(
            f"{ref} of {self._mirror.location.store} was moved by others at every try; try again"
        )

    def kept(self, name: str) -> bytes | None:
        """A blob by its name, or None. Raises `Unavailable`."""
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
        """The days of which blobs are kept → the commit that keeps them. Raises `Unavailable`."""
        return self._mirror.list_refs(ARTIFACT_REFS)

    def drop_day(self, day: str, version: Version) -> bool:
        """Keep the blobs of a day no longer; False when they are not as in ``version``.

        Raises `Unavailable` or `OutcomeUnknown`.
        """
        if not _OBJECT_ID.fullmatch(version):
            return False  # git would not even ask the server
        answer = self._mirror.send(artifact_ref(day), None, version)
        if answer.pushed is Pushed.UNKNOWN:
            raise OutcomeUnknown(f"whether the artifacts of {day} were let go is open: {answer.reason}")
        if answer.pushed in (Pushed.FAILED, Pushed.REFUSED):
            raise Unavailable(answer.reason)
        return answer.pushed is Pushed.LANDED
