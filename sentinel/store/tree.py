"""Documents in a Git tree: keys to paths, immutable snapshots, and new trees that share what did not change.

One record a blob, fanned out: ``tasks/build-42`` is ``tasks/ab/cd/build-42.json``, where ``abcd…`` is the
SHA-256 of the name, so that no directory grows long. A key without a folder (``fleet``) is a file at the
root. Names are encoded, never used as they are, and only a path that is exactly the encoding of a key is a
record: whatever else lies in the tree is somebody else's, is not seen, and is carried along.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import pygit2

from sentinel.errors import BadRecord, Unavailable
from sentinel.model.codec import MAX_DOCUMENT_BYTES, Document, decode_document
from sentinel.store.base import ABSENT, Expected, Snapshot

#: An encoded name is a file name with its suffix, and file systems stop at 255 bytes.
MAX_NAME_BYTES = 240

_SUFFIX = ".json"
_TREE_MODE = 0o040000
_BLOB_MODE = 0o100644
_SUBMODULE_MODE = 0o160000
_SYMLINK_MODE = 0o120000

_UNSAFE = re.compile(rb"[^a-z0-9._-]")
_UNSAFE_IN_FOLDER = re.compile(rb"[^a-z0-9_-]")
_ESCAPED = re.compile(rb"%([0-9a-f]{2})")

_K = TypeVar("_K")
_V = TypeVar("_V")


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
    hashed = hashlib.sha256(file.encode()).hexdigest()
    # A folder's encoding holds no dot, so it is never `.`, `..`, `.git` or equal to a root file's name.
    return (_encode(folder, _UNSAFE_IN_FOLDER), hashed[:2], hashed[2:4], file + _SUFFIX)


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


class Entry(NamedTuple):
    """What a tree says of one name."""

    mode: int
    oid: pygit2.Oid


class _Recent(Generic[_K, _V]):
    """A cache of two generations: what was not asked for during a whole generation is forgotten."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._weight = 0
        self._young: dict[_K, _V] = {}
        self._old: dict[_K, _V] = {}

    def get(self, key: _K) -> _V | None:
        found = self._young.get(key)
        if found is None:
            found = self._old.pop(key, None)
            if found is not None:
                self._young[key] = found
        return found

    def put(self, key: _K, value: _V, weight: int) -> None:
        self._young[key] = value
        self._weight += weight
        if self._weight > self._limit:
            self._old, self._young, self._weight = self._young, {}, 0


class Objects:
    """The objects of one repository, parsed once; what all snapshots of one client share.

    Git objects never change, so nothing here ever has to be invalidated.
    """

    def __init__(self, repository: pygit2.Repository) -> None:
        self.repository = repository
        self._trees: _Recent[pygit2.Oid, Mapping[str, Entry]] = _Recent(200_000)
        self._keys: _Recent[tuple[str, ...], tuple[str, ...]] = _Recent(200_000)
        self._records: _Recent[pygit2.Oid, bytes | BadRecord] = _Recent(8 * 1024 * 1024)

    def tree(self, oid: pygit2.Oid) -> Mapping[str, Entry]:
        """The entries of a tree by name. Raises `Unavailable` when the repository lost it."""
        entries = self._trees.get(oid)
        if entries is None:
            entries = self._parse(oid)
            self._trees.put(oid, entries, len(entries) + 1)
        return entries

    def _parse(self, oid: pygit2.Oid) -> dict[str, Entry]:
        kind, data = self._raw(oid)
        if kind != pygit2.enums.ObjectType.TREE:
            raise self.damaged(oid)
        entries: dict[str, Entry] = {}
        at = 0
        while at < len(data):
            blank = data.index(b" ", at)
            zero = data.index(b"\0", blank)
            name = data[blank + 1 : zero].decode("utf-8", "surrogateescape")
            entries[name] = Entry(int(data[at:blank], 8), pygit2.Oid(raw=data[zero + 1 : zero + 21]))
            at = zero + 21
        return entries

    def keys(self, folder: str, bucket: str, oid: pygit2.Oid) -> tuple[str, ...]:
        """The keys of all records in ``folder/bucket``, whose tree is ``oid``."""
        place = (folder, bucket, str(oid))
        keys = self._keys.get(place)
        if keys is None:
            keys = tuple(
                key
                for inner, leaf in self.tree(oid).items()
                if leaf.mode == _TREE_MODE
                for name, entry in self.tree(leaf.oid).items()
                if entry.mode != _TREE_MODE and (key := _key_at((folder, bucket, inner, name))) is not None
            )
            self._keys.put(place, keys, len(keys) + 1)
        return keys

    def document(self, key: str, entry: Entry) -> Document:
        """A fresh copy of the document in ``entry``. Raises `BadRecord` when it is unreadable."""
        if entry.mode in (_SUBMODULE_MODE, _SYMLINK_MODE):
            raise BadRecord(key, "it is not a plain file")
        known = self._records.get(entry.oid)
        if known is None:
            known = self._check(key, entry)
            self._records.put(entry.oid, known, len(known) if isinstance(known, bytes) else 100)
        if isinstance(known, BadRecord):
            raise BadRecord(key, known.reason)
        # The bytes were checked with every limit once; parsing them again gives the caller its own copy.
        copy: Document = json.loads(known)
        return copy

    def _check(self, key: str, entry: Entry) -> bytes | BadRecord:
        try:
            _, size = self.repository.odb.read_header(entry.oid)
            if size > MAX_DOCUMENT_BYTES:
                raise BadRecord(key, f"{size} bytes are more than the limit of {MAX_DOCUMENT_BYTES}")
            _, data = self.repository.odb.read(entry.oid)
            decode_document(key, data)
        except (pygit2.GitError, KeyError):
            return BadRecord(key, f"its content, object {entry.oid}, is missing or damaged")
        except BadRecord as bad:
            return bad
        return data

    def _raw(self, oid: pygit2.Oid) -> tuple[int, bytes]:
        try:
            return self.repository.odb.read(oid)
        except (pygit2.GitError, KeyError) as error:
            raise self.damaged(oid) from error

    def damaged(self, oid: pygit2.Oid) -> Unavailable:
        """The error for an object that cannot be read."""
        path = self.repository.path
        return Unavailable(f"{path} is damaged: object {oid} cannot be read; run `git -C {path} fsck --full`")


class GitSnapshot(Snapshot):
    """All documents at one commit. Folders are read when they are first asked for."""

    def __init__(self, objects: Objects, commit: pygit2.Oid) -> None:
        self.revision = str(commit)
        self.commit = commit
        self._objects = objects
        self.root = self._root(commit)

    def _root(self, commit: pygit2.Oid) -> pygit2.Oid:
        try:
            return self._objects.repository[commit].peel(pygit2.Tree).id
        except (pygit2.GitError, KeyError) as error:
            raise self._objects.damaged(commit) from error

    def _entry(self, key: str) -> Entry | None:
        try:
            *folders, file = path_of(key)
        except ValueError:
            return None
        at = self.root
        for name in folders:
            entry = self._objects.tree(at).get(name)
            if entry is None or entry.mode != _TREE_MODE:
                return None
            at = entry.oid
        entry = self._objects.tree(at).get(file)
        return None if entry is None or entry.mode == _TREE_MODE else entry

    def get(self, key: str) -> Document | None:
        entry = self._entry(key)
        return None if entry is None else self._objects.document(key, entry)

    def version(self, key: str) -> Expected:
        entry = self._entry(key)
        return ABSENT if entry is None else str(entry.oid)

    def list(self, prefix: str) -> Iterator[str]:
        for name, entry in self._objects.tree(self.root).items():
            if entry.mode != _TREE_MODE:
                key = _key_at((name,))
                if key is not None and key.startswith(prefix):
                    yield key
                continue
            folder = _decode(name)
            if folder is None or not _overlap(folder + "/", prefix):
                continue
            whole = (folder + "/").startswith(prefix)
            for bucket, inner in self._objects.tree(entry.oid).items():
                if inner.mode == _TREE_MODE:
                    keys = self._objects.keys(name, bucket, inner.oid)
                    yield from keys if whole else (key for key in keys if key.startswith(prefix))


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
    written = _write(objects, base, nested)
    return written if written is not None else objects.repository.TreeBuilder().write()


def _write(objects: Objects, base: pygit2.Oid | None, changes: Mapping[str, Any]) -> pygit2.Oid | None:
    before = {} if base is None else objects.tree(base)
    repository = objects.repository
    builder = repository.TreeBuilder() if base is None else repository.TreeBuilder(base)
    for name, change in changes.items():
        was = before.get(name)
        if isinstance(change, dict):
            inner = was.oid if was is not None and was.mode == _TREE_MODE else None
            tree = _write(objects, inner, change)
            if tree is not None:
                builder.insert(name, tree, _TREE_MODE)
            elif inner is not None:
                builder.remove(name)
        elif change is not None:
            builder.insert(name, change, _BLOB_MODE)
        elif was is not None and was.mode != _TREE_MODE:
            builder.remove(name)
    return builder.write() if len(builder) else None
