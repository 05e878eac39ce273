"""Documents in a Git tree: keys to paths, immutable snapshots, and new trees that share what did not change.

One record a blob, fanned out: ``tasks/build-42`` is ``tasks/ab/cd/build-42.json``, where ``abcd…`` is the
SHA-256 of the name without its last character. So no directory grows long, and neighbours, such as tasks
that were handed in together, change together in few directories. A key without a folder (``fleet``) is a
file at the root. Names are encoded, never used as they are, and only a path that is exactly the encoding of
a key is a record: whatever else lies in the tree is somebody else's, is not seen, and is carried along.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import pygit2

from sentinel.errors import Unavailable
from sentinel.model.codec import Document
from sentinel.store.base import ABSENT, Expected, Snapshot
from sentinel.store.objects import BLOB_MODE, TREE_MODE, Entry, Objects

T = TypeVar("T")

#: An encoded name is a file name with its suffix, and file systems stop at 255 bytes.
MAX_NAME_BYTES = 240

#: Number of the way in which keys become paths: stores that were laid out in another one are refused.
PATHS = 2

_SUFFIX = ".json"
#: Parts of the longest path of a record.
_DEPTH = 4

_UNSAFE = re.compile(rb"[^a-z0-9._-]")
_UNSAFE_IN_FOLDER = re.compile(rb"[^a-z0-9_-]")
_ESCAPED = re.compile(rb"%([0-9a-f]{2})")


def _escape(match: re.Match[bytes]) -> bytes:
    return b"%%%02x" % match.group()[0]


def _unescape(match: re.Match[bytes]) -> bytes:
    return bytes.fromhex(match[1].decode())


def _encode(text: str, unsafe: re.Pattern[bytes]) -> str:
    encoded = unsafe.sub(_escape, text.encode("utf-8"))
    if not 0 < len(encoded) <= MAX_NAME_BYTES:
        raise ValueError(f"a key of {len(text)} characters cannot be stored; use 1 to {MAX_NAME_BYTES} bytes")
    return encoded.decode("ascii")


def _decode(name: str) -> str | None:
    try:
        return _ESCAPED.sub(_unescape, name.encode("ascii")).decode("utf-8")
    except ValueError:
        return None


@functools.lru_cache(maxsize=65536)
def path_of(key: str) -> tuple[str, ...]:
    """The folders and the file name that ``key`` is stored under.

    Raises `ValueError` for a key that is empty, has an empty part before or after its first slash, is too
    long, or holds half of a surrogate pair.
    """
    folder, slash, name = key.partition("/")
    if not slash:
        return (_encode(key, _UNSAFE) + _SUFFIX,)
    file = _encode(name, _UNSAFE)
    hashed = hashlib.sha256(file[:-1].encode()).hexdigest()
    # A folder's encoding holds no dot, so it is never `.`, `..`, `.git` or equal to a root file's name.
    return (_encode(folder, _UNSAFE_IN_FOLDER), hashed[:2], hashed[2:4], file + _SUFFIX)


@functools.lru_cache(maxsize=65536)
def _key_at(path: tuple[str, ...]) -> str | None:
    """The key whose record lies at ``path``, or None for a file that is not ours."""
    if not path[-1].endswith(_SUFFIX):
        return None
    name = _decode(path[-1][: -len(_SUFFIX)])
    folder = _decode(path[0]) if len(path) > 1 else ""
    if name is None or folder is None:
        return None
    key = name if len(path) == 1 else f"{folder}/{name}"
    try:
        return key if path_of(key) == path else None
    except ValueError:
        return None


class GitSnapshot(Snapshot):
    """All documents at one commit. Folders are read when they are first asked for.

    ``written`` is all in which it differs from the commit ``before`` it, where that is known. With
    ``root``, the commit's tree, the commit itself need not be here.
    """

    def __init__(
        self,
        objects: Objects,
        commit: pygit2.Oid,
        *,
        root: pygit2.Oid | None = None,
        before: pygit2.Oid | None = None,
        written: Mapping[str, Entry | None] | None = None,
    ) -> None:
        self.revision = str(commit)
        self.commit = commit
        self.root = objects.root(commit) if root is None else root
        self._objects = objects
        self._before = before
        #: What was looked up already, or need not be.
        self._entries: dict[str, Entry | None] = dict(written or {})
        self._written = tuple(self._entries)

    def _entry(self, key: str) -> Entry | None:
        try:
            return self._entries[key]
        except KeyError:
            found = self._entries[key] = self._find(key)
            return found

    def _find(self, key: str) -> Entry | None:
        try:
            *folders, file = path_of(key)
        except ValueError:
            return None
        at = self.root
        for name in folders:
            entry = self._objects.tree(at).get(name)
            if entry is None or not entry.is_tree:
                return None
            at = entry.oid
        entry = self._objects.tree(at).get(file)
        return None if entry is None or entry.is_tree else entry

    def get(self, key: str) -> Document | None:
        entry = self._entry(key)
        return None if entry is None else self._objects.document(key, entry)

    def parsed(self, key: str, parse: Callable[[str, Document], T]) -> T | None:
        entry = self._entry(key)
        if entry is None:
            return None
        found: T = self._objects.parsed(key, entry, parse)
        return found

    def version(self, key: str) -> Expected:
        entry = self._entry(key)
        return ABSENT if entry is None else str(entry.oid)

    def list(self, prefix: str) -> Iterator[str]:
        return self._listed(prefix, None)

    def part(self, prefix: str, number: int) -> Iterator[str]:
        # The outer folders are the first two digits of a hash.
        return self._listed(prefix, f"{number:02x}")

    def _listed(self, prefix: str, only: str | None) -> Iterator[str]:
        """All keys below ``prefix``, or those of one outer folder; what is in none is in the first."""
        tree = self._objects.tree
        for name, entry in tree(self.root).items():
            if not entry.is_tree:
                if only in (None, "00"):
                    yield from self._matching((name,), prefix)
                continue
            folder = _decode(name)
            if folder is None or not _overlap(folder + "/", prefix):
                continue
            buckets = tree(entry.oid)
            found = buckets.get(only) if only is not None else None
            for outer, bucket in buckets.items() if only is None else [(only, found)] if found else []:
                for inner, leaf in tree(bucket.oid).items() if bucket.is_tree else ():
                    for file, record in tree(leaf.oid).items() if leaf.is_tree else ():
                        if not record.is_tree:
                            yield from self._matching((name, outer, inner, file), prefix)

    def _matching(self, path: tuple[str, ...], prefix: str) -> Iterator[str]:
        key = _key_at(path)
        if key is not None and key.startswith(prefix):
            yield key

    def changed(self, since: Snapshot) -> Iterable[str] | None:
        if not isinstance(since, GitSnapshot) or since._objects is not self._objects:
            return None
        if since.commit == self._before:
            return self._written
        try:
            return list(self._differing((), since.root, self.root))
        except Unavailable:
            # The older state may be gone by now, and nobody needs it.
            return None

    def _differing(
        self, path: tuple[str, ...], before: pygit2.Oid | None, after: pygit2.Oid | None
    ) -> Iterator[str]:
        """Keys below ``path`` that two trees (None: none) do not share; equal folders are skipped."""
        was = {} if before is None else self._objects.tree(before)
        now = {} if after is None else self._objects.tree(after)
        for name in {**was, **now}:
            old, new = was.get(name), now.get(name)
            if old == new:
                continue
            place = (*path, name)
            below = [entry.oid if entry is not None and entry.is_tree else None for entry in (old, new)]
            if below != [None, None] and len(place) < _DEPTH:
                yield from self._differing(place, *below)
            if any(entry is not None and not entry.is_tree for entry in (old, new)):
                key = _key_at(place)
                if key is not None:
                    yield key


def _overlap(folder: str, prefix: str) -> bool:
    return folder.startswith(prefix) or prefix.startswith(folder)


def write_tree(
    objects: Objects, base: pygit2.Oid | None, changes: Mapping[tuple[str, ...], pygit2.Oid | None]
) -> pygit2.Oid:
    """The tree ``base`` (None: an empty one) with blobs put at paths, or taken away where None stands.

    Only the folders on the way are written anew; a folder that becomes empty goes.
    """
    nested: dict[str, Any] = {}
    for path, blob in changes.items():
        at = nested
        for name in path[:-1]:
            at = at.setdefault(name, {})
        at[path[-1]] = blob
    return _write(objects, base, nested) or objects.empty_tree()


def _write(objects: Objects, base: pygit2.Oid | None, nested: Mapping[str, Any]) -> pygit2.Oid | None:
    before = {} if base is None else objects.tree(base)
    changes: dict[str, Entry | None] = {}
    for name, change in nested.items():
        was = before.get(name)
        if isinstance(change, dict):
            tree = _write(objects, was.oid if was is not None and was.is_tree else None, change)
            if tree is not None:
                changes[name] = Entry(TREE_MODE, tree)
            elif was is not None and was.is_tree:
                changes[name] = None
        elif change is not None:
            changes[name] = Entry(BLOB_MODE, change)
        elif was is not None and not was.is_tree:
            changes[name] = None
    return objects.write_tree(base, changes)
