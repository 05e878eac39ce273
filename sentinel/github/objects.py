"""Trees and blobs that were read from GitHub, kept on this machine: none is ever asked for twice.

What git names by its content cannot be out of date, and is checked against its name when it comes. Commits
are not kept so: GitHub shows what is in them, but not always enough to make the same bytes of it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pygit2

from sentinel.errors import BadRecord, Unavailable
from sentinel.github.errors import Declined, Missing
from sentinel.github.git import Change, GitData
from sentinel.model.codec import MAX_DOCUMENT_BYTES
from sentinel.store.objects import TREE_MODE, Entry, Objects
from sentinel.store.slots import Slot, take_slot
from sentinel.store.tree import GitSnapshot, write_tree

log = logging.getLogger(__name__)

#: With about so many objects the folder is made anew, with those of the newest state.
MANY_OBJECTS = 30_000


class ApiObjects(Objects):
    """Objects of a folder of ours; what is missing there is read from GitHub."""

    def __init__(self, repository: pygit2.Repository, git: GitData) -> None:
        super().__init__(repository)
        self._git = git
        #: Whether something here turned out to be damaged.
        self.broken = False

    def _raw(self, oid: pygit2.Oid) -> tuple[int, bytes]:
        try:
            return self.repository.odb.read(oid)
        except KeyError:
            pass
        except pygit2.GitError:
            self.broken = True
        try:
            entries = self._git.tree(str(oid))
        except Missing as error:
            raise self.damaged(oid) from error
        if entries is None:
            raise Unavailable(f"the tree {oid} has more entries than GitHub lists")
        self.put_tree(entries, oid)
        return pygit2.enums.ObjectType.TREE, _serialised(entries)

    def _content(self, key: str, oid: pygit2.Oid) -> bytes:
        data = self.blob(oid)
        if data is None:
            raise self.lost(key, oid)
        if len(data) > MAX_DOCUMENT_BYTES:
            raise self.too_large(key, len(data))
        return data

    def blob(self, oid: pygit2.Oid) -> bytes | None:
        """The content of a blob, from here or from GitHub; None when neither has it. Raises `Unavailable`."""
        try:
            kind, data = self.repository.odb.read(oid)
            return data if kind == pygit2.enums.ObjectType.BLOB else None
        except KeyError:
            pass
        except pygit2.GitError:
            self.broken = True
        try:
            data = self._git.blob(str(oid))
        except (Missing, Declined):
            return None
        self._put(pygit2.enums.ObjectType.BLOB, data, oid)
        return data

    def bring_all_trees(self, root: pygit2.Oid) -> None:
        """Bring all folders below ``root`` in one request, if GitHub lists so many."""
        if root in self.repository.odb:
            return
        entries = self._git.tree(str(root), recursive=True)
        if entries is None:
            return
        folders: dict[str, dict[str, Entry]] = {"": {}}
        for path, entry in entries.items():
            folder, _, name = path.rpartition("/")
            folders.setdefault(folder, {})[name] = entry
        for path, below in folders.items():
            self.put_tree(below, entries[path].oid if path else root)

    def put_tree(self, entries: Mapping[str, Entry], oid: pygit2.Oid) -> None:
        """Keep a tree that GitHub gave as ``oid``. Raises `Unavailable` when it is another."""
        self._put(pygit2.enums.ObjectType.TREE, _serialised(entries), oid)

    def _put(self, kind: pygit2.enums.ObjectType, data: bytes, oid: pygit2.Oid) -> None:
        with self._writing():
            made = self.repository.odb.write(kind, data)
        if made != oid:
            raise Unavailable(f"GitHub gave something else for the object {oid}")

    def write_tree(self, base: pygit2.Oid | None, changes: Mapping[str, Entry | None]) -> pygit2.Oid | None:
        # Unlike git's own builder this one does not ask whether the blobs of the entries are here.
        entries = {} if base is None else dict(self.tree(base))
        for name, entry in changes.items():
            if entry is None:
                entries.pop(name, None)
            else:
                entries[name] = entry
        if not entries:
            return None
        with self._writing():
            return self.repository.odb.write(pygit2.enums.ObjectType.TREE, _serialised(entries))

    def apply(self, root: pygit2.Oid, changes: tuple[Change, ...]) -> pygit2.Oid:
        """The tree that ``root`` becomes by ``changes``; what they show of the files is kept."""
        paths: dict[tuple[str, ...], pygit2.Oid | None] = {}
        for change in changes:
            path = tuple(change.path.split("/"))
            paths[path] = None if change.sha is None else pygit2.Oid(hex=change.sha)
            if change.sha is not None and change.line is not None:
                data = change.line.encode("utf-8", "surrogatepass")
                if str(pygit2.hash(data)) == change.sha:
                    self.write_blob(data)
        return write_tree(self, root, paths)

    def file(self, root: pygit2.Oid, path: tuple[str, ...]) -> Entry | None:
        """What is at ``path`` below the tree ``root``."""
        *folders, name = path
        at = root
        for folder in folders:
            entry = self.tree(at).get(folder)
            if entry is None or not entry.is_tree:
                return None
            at = entry.oid
        return self.tree(at).get(name)

    def check_files(self, root: pygit2.Oid, files: Mapping[tuple[str, ...], bytes | None]) -> None:
        """Raise `Unavailable` unless the tree ``root`` has just these contents (None: nothing) there."""
        self.bring_all_trees(root)
        for path, data in files.items():
            entry = self.file(root, path)
            found = None if entry is None else entry.oid
            if found != (None if data is None else pygit2.hash(data)):
                raise Unavailable(f"GitHub made the tree {root} with something else in it than was meant")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (pygit2.GitError, OSError) as error:
            raise Unavailable(f"cannot write to {self.repository.path}: {error}; free space there") from error

    def lost(self, key: str, oid: pygit2.Oid) -> BadRecord:  # noqa: ARG002 - the record is not at fault
        raise self.damaged(oid)

    def damaged(self, oid: pygit2.Oid) -> Unavailable:
        self.broken = True
        return Unavailable(
            f"the object {oid} cannot be read, neither in {self.repository.path}, which is made anew, nor "
            "from GitHub"
        )


def _serialised(entries: Mapping[str, Entry]) -> bytes:
    """A tree in git's own form, in which a folder's name is ordered as if it ended in a slash."""

    def order(item: tuple[str, Entry]) -> bytes:
        name = item[0].encode("utf-8", "surrogateescape")
        return name + b"/" if item[1].is_tree else name

    return b"".join(
        b"%o %s\0%s" % (entry.mode, name.encode("utf-8", "surrogateescape"), entry.oid.raw)
        for name, entry in sorted(entries.items(), key=order)
    )


class ApiSnapshot(GitSnapshot):
    """All documents at one commit, whose tree is told: the commit itself need not be here."""

    _objects: ApiObjects

    def __init__(self, objects: ApiObjects, commit: str, root: pygit2.Oid) -> None:
        super().__init__(objects, pygit2.Oid(hex=commit), root=root)

    def holds(self, path: tuple[str, ...]) -> bool:
        """Whether there is a file at ``path``."""
        return self._objects.file(self.root, path) is not None


class Folder:
    """A folder of this machine for one connection, with the objects and the newest state that it saw.

    Raises `Unavailable` when the disk or the permissions forbid it.
    """

    def __init__(self, state_folder: Path | None, git: GitData) -> None:
        self._git = git
        self._parent = None if state_folder is None else state_folder / "api"
        self._slot: Slot | None = None
        self._move_in()

    def _move_in(self) -> None:
        with self._using(self._parent or "the folder for temporary files"):
            self._slot = take_slot(self._parent)
            self.path = self._slot.folder / "git"
            self._head = self._slot.folder / "head"
            self.objects = self._open()

    def ensure(self) -> bool:
        """See to it that the folder is ours, there and sound as far as is known; True if it was made anew."""
        if self._slot is None or not self._slot.ours:
            log.warning("the folder %s was deleted; another is made", self.path)
            self.close()
            self._move_in()
        elif self.objects.broken or not (self.path / "HEAD").exists():
            log.warning("what is in %s is damaged; it is made anew", self.path)
            with self._using(self.path):
                shutil.rmtree(self.path, ignore_errors=True)
                self.objects = self._open()
        else:
            return False
        return True

    def _open(self) -> ApiObjects:
        if not (self.path / "complete").exists():
            shutil.rmtree(self.path, ignore_errors=True)
            pygit2.init_repository(str(self.path), bare=True)
            (self.path / "complete").touch()
        repository = pygit2.Repository(str(self.path), pygit2.enums.RepositoryOpenFlag.NO_SEARCH)
        return ApiObjects(repository, self._git)

    @contextlib.contextmanager
    def _using(self, place: object) -> Iterator[None]:
        try:
            yield
        except (OSError, pygit2.GitError) as error:
            self.close()
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise Unavailable(
                f"cannot keep objects in {place}: {reason}; free space, or name another folder in "
                "SENTINEL_STATE_FOLDER"
            ) from error

    def known(self) -> tuple[str, str] | None:
        """The newest commit that was seen by whoever had this folder before, and its tree."""
        try:
            commit, tree = json.loads(self._head.read_text("ascii"))
            self.objects.repository.odb.read(pygit2.Oid(hex=tree))
        except (OSError, ValueError, TypeError, KeyError, pygit2.GitError):
            return None
        return (commit, tree) if isinstance(commit, str) and len(commit) == 40 else None

    def remember(self, snapshot: ApiSnapshot) -> None:
        """Keep what `known` gives."""
        with contextlib.suppress(OSError):
            temporary = self._head.with_name("head.new")
            temporary.write_text(json.dumps([snapshot.revision, str(snapshot.root)]), "ascii")
            temporary.replace(self._head)

    @property
    def crowded(self) -> bool:
        """Whether most of the objects here are out of date."""
        try:
            return len(os.listdir(self.path / "objects" / "17")) * 256 > MANY_OBJECTS  # noqa: PTH208 - a count
        except OSError:
            return False

    def renew(self, root: pygit2.Oid) -> None:
        """Begin anew with the objects of the state ``root`` alone."""
        old = self.objects.repository
        with self._using(self.path):
            fresh = self.path.with_name("git.new")
            shutil.rmtree(fresh, ignore_errors=True)
            _copy(old, pygit2.init_repository(str(fresh), bare=True), root)
            (fresh / "complete").touch()
            old.free()
            shutil.rmtree(self.path)
            fresh.rename(self.path)
            self.objects = self._open()

    def close(self) -> None:
        """Let the next connection have the folder. Idempotent."""
        if self._slot is not None:
            self._slot.close()
            self._slot = None


def _copy(source: pygit2.Repository, target: pygit2.Repository, oid: pygit2.Oid) -> None:
    """Copy a tree and what is below it, as far as it is there."""
    try:
        kind, data = source.odb.read(oid)
    except (KeyError, pygit2.GitError):
        return
    target.odb.write(kind, data)
    if kind == pygit2.enums.ObjectType.TREE:
        for entry in source[oid].peel(pygit2.Tree):
            if entry.filemode in (TREE_MODE, 0o100644, 0o100755):
                _copy(source, target, entry.id)
