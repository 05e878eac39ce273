"""The objects of one repository, parsed once and written together; what all snapshots of one client share.

Git objects never change, so nothing that is remembered here ever has to be invalidated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import pygit2

from sentinel.errors import BadRecord, Unavailable
from sentinel.model.codec import MAX_DOCUMENT_BYTES, Document, decode_document
from sentinel.store.pack import BLOB, COMMIT, TREE, PackWriter

TREE_MODE = 0o040000
BLOB_MODE = 0o100644
_TYPES = {TREE: pygit2.enums.ObjectType.TREE, BLOB: pygit2.enums.ObjectType.BLOB}
_NO_FILE_MODES = (0o120000, 0o160000)  # symbolic link, submodule

_K = TypeVar("_K")
_V = TypeVar("_V")


class Entry(NamedTuple):
    """What a tree says of one name."""

    mode: int
    oid: pygit2.Oid
    #: As it stands in the tree, with its name; empty for one that is new.
    raw: bytes = b""

    @property
    def is_tree(self) -> bool:
        """Whether it is a folder."""
        return self.mode == TREE_MODE


class Recent(Generic[_K, _V]):
    """A cache of two generations: what was not asked for during a whole generation is forgotten."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._weight = 0
        self._young: dict[_K, _V] = {}
        self._old: dict[_K, _V] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, key: _K) -> _V | None:
        """What was put under ``key``, if it is still there."""
        found = self._young.get(key)
        if found is None:
            found = self._old.pop(key, None)
            if found is not None:
                self._young[key] = found
        return found

    def put(self, key: _K, value: _V, weight: int) -> None:
        """Remember ``value``; a generation ends when its weights pass the limit."""
        self._young[key] = value
        self._weight += weight
        if self._weight > self._limit:
            self._old, self._young, self._weight = self._young, {}, 0


class Objects:
    """Reads and writes the objects of ``repository``.

    With ``pack`` what is written is there for others when it was flushed, in one pack, and otherwise at once.
    """

    def __init__(self, repository: pygit2.Repository, *, pack: PackWriter | None = None) -> None:
        self.repository = repository
        self._pack = pack
        # A batch that was written is read by the next look: some thousand records.
        self._parsed: Recent[tuple[pygit2.Oid, str, Callable[..., Any]], Any] = Recent(2_000)
        self._roots: Recent[pygit2.Oid, pygit2.Oid] = Recent(1_000)
        self._trees: Recent[pygit2.Oid, Mapping[str, Entry]] = Recent(10_000)
        self._records: Recent[pygit2.Oid, bytes | BadRecord] = Recent(2 * 1024 * 1024)

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
            end = zero + 21
            name = data[blank + 1 : zero].decode("utf-8", "surrogateescape")
            entries[name] = Entry(int(data[at:blank], 8), pygit2.Oid(raw=data[zero + 1 : end]), data[at:end])
            at = end
        return entries

    def document(self, key: str, entry: Entry) -> Document:
        """A fresh copy of the document in ``entry``. Raises `BadRecord` when it is unreadable."""
        if entry.mode in _NO_FILE_MODES:
            raise BadRecord(key, "it is not a plain file")
        known = self._records.get(entry.oid)
        if known is None:
            return self._check(key, entry.oid)
        if isinstance(known, BadRecord):
            raise BadRecord(key, known.reason)
        # The bytes were checked with every limit once; parsing them again gives the caller its own copy.
        copy: Document = json.loads(known)
        return copy

    def parsed(self, key: str, entry: Entry, parse: Callable[[str, Document], Any]) -> Any:
        """What ``parse`` makes of a document, remembered. Raises `BadRecord`, and what it does."""
        place = (entry.oid, key, parse)
        known = self._parsed.get(place)
        if known is None:
            known = parse(key, self.document(key, entry))
            self._parsed.put(place, known, 1)
        return known

    def remember(self, key: str, oid: pygit2.Oid, record: Any) -> None:
        """The blob ``oid``, stored under ``key``, would be loaded as ``record`` by its class."""
        self._parsed.put((oid, key, type(record).load), record, 1)

    def _check(self, key: str, oid: pygit2.Oid) -> Document:
        """The document in a blob that was not read lately; what it holds is remembered."""
        try:
            data = self._content(key, oid)
            document = decode_document(key, data)
        except BadRecord as bad:
            self._records.put(oid, bad, 100)
            raise
        self._records.put(oid, data, len(data))
        return document

    def _content(self, key: str, oid: pygit2.Oid) -> bytes:
        """The bytes of a blob. Raises `BadRecord` when they are too many, or cannot be read."""
        try:
            _, size = self.repository.odb.read_header(oid)
            if size > MAX_DOCUMENT_BYTES:
                raise self.too_large(key, size)
            return self.repository.odb.read(oid)[1]
        except (pygit2.GitError, KeyError) as error:
            raise self.lost(key, oid) from error

    def too_large(self, key: str, size: int) -> BadRecord:
        """What stands for a record that is not even parsed."""
        return BadRecord(key, f"{size} bytes are more than the limit of {MAX_DOCUMENT_BYTES}")

    def _raw(self, oid: pygit2.Oid) -> tuple[int, bytes]:
        try:
            return self.repository.odb.read(oid)
        except (pygit2.GitError, KeyError) as error:
            raise self.damaged(oid) from error

    def root(self, commit: pygit2.Oid) -> pygit2.Oid:
        """The tree of a commit. Raises `Unavailable` when it is none, or lost."""
        known = self._roots.get(commit)
        if known is not None:
            return known
        try:
            return self.repository[commit].peel(pygit2.Tree).id
        except (pygit2.GitError, KeyError) as error:
            raise self.damaged(commit) from error

    def lost(self, key: str, oid: pygit2.Oid) -> BadRecord:
        """What stands for a record whose content cannot be read: its loss does not stop the others."""
        return BadRecord(key, f"its content, object {oid}, is missing or damaged")

    def damaged(self, oid: pygit2.Oid) -> Unavailable:
        """The error for an object that cannot be read."""
        path = self.repository.path
        return Unavailable(f"{path} is damaged: object {oid} cannot be read; run `git -C {path} fsck --full`")

    def write_blob(self, data: bytes) -> pygit2.Oid:
        """Store ``data``."""
        return self.repository.create_blob(data) if self._pack is None else self._pack.add(BLOB, data)

    def write_tree(self, base: pygit2.Oid | None, changes: Mapping[str, Entry | None]) -> pygit2.Oid | None:
        """Store the tree ``base`` (None: an empty one) with ``changes``, or nothing when it became empty."""
        entries = {} if base is None else dict(self.tree(base))
        fresh = False
        for name, entry in changes.items():
            if entry is not None:
                fresh = fresh or name not in entries
                raw = b"%o %s\0" % (entry.mode, name.encode("utf-8", "surrogateescape")) + entry.oid.raw
                entries[name] = Entry(entry.mode, entry.oid, raw)
            else:
                entries.pop(name, None)
        if not entries:
            return None
        if fresh:
            entries = dict(sorted(entries.items(), key=_tree_order))
        oid = self._write(TREE, b"".join([entry.raw for entry in entries.values()]))
        self._trees.put(oid, entries, len(entries) + 1)
        return oid

    def empty_tree(self) -> pygit2.Oid:
        """Store the tree without entries."""
        return self._write(TREE, b"")

    def write_commit(
        self, text: str, author: pygit2.Signature, tree: pygit2.Oid, parents: Iterable[pygit2.Oid]
    ) -> pygit2.Oid:
        """Store a commit; no ref moves."""
        if self._pack is None:
            return self.repository.create_commit(None, author, author, text, tree, list(parents))
        who = f"{author.name} <{author.email}> {author.time} +0000"
        lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
        lines += [f"author {who}", f"committer {who}", "", text]
        oid = self._pack.add(COMMIT, "\n".join(lines).encode())
        self._roots.put(oid, tree, 1)
        return oid

    def _write(self, kind: str, data: bytes) -> pygit2.Oid:
        if self._pack is not None:
            return self._pack.add(kind, data)
        return self.repository.odb.write(_TYPES[kind], data)

    def flush(self) -> None:
        """Let others see what was written so far. Raises `OSError`."""
        if self._pack is not None:
            self._pack.write()

    def tidy(self) -> None:
        """Do what keeps the repository quick to read, if it is time for that."""
        if self._pack is not None:
            self._pack.tidy()


def _tree_order(item: tuple[str, Entry]) -> bytes:
    # Git sorts a folder as if its name ended with a slash.
    name, entry = item
    return (f"{name}/" if entry.is_tree else name).encode("utf-8", "surrogateescape")
