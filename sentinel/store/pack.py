"""Writes the objects of one commit as one pack, and puts many small packs together.

A commit that ends and claims some hundred tasks has over a thousand objects. As a file each, they cost more
than all else together; with waiting for the disk, many times more. As a pack they are two files. Objects
stand in there whole, never as differences, so a pack costs little to write, and two packs are put together
by copying.

Packs must not pile up, for every look at the repository asks each of them. So whoever writes a pack also
looks how many of about one size there are, and makes one of them all when they are many: each object is
copied once for each power of `_MANY`, which is twice or three times in the life of a fleet. What others wrote
is put together like one's own; that two do it at once does no harm, for the new pack is there before the old
ones go.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pygit2

from sentinel.store.durability import sync_content

BLOB, TREE, COMMIT = "blob", "tree", "commit"
_KINDS = {COMMIT: 1, TREE: 2, BLOB: 3}
#: Records are small and short-lived: little time for packing them well. Two thirds of a folder are hashes,
#: which do not get smaller at all.
_LEVELS = {COMMIT: 1, TREE: 0, BLOB: 1}
#: So many packs of about one size are put together; sizes differ by this factor, from the smallest on.
_MANY = 32
#: One client looks after its first pack, and then after so many: a look asks for the size of each pack.
_LOOK_EVERY = 8
_SMALLEST = 1 << 16
#: A pack above this size is left as it is.
_LARGE = 1 << 26
_INDEX = b"\xfftOc\x00\x00\x00\x02"
#: Offsets in an index are 31 bits; what is beyond stands in a table of its own, which no pack of ours needs.
_MAX_OFFSET = (1 << 31) - 1


class PackWriter:
    """Collects objects and writes them together into ``folder``, the repository's ``objects/pack``."""

    def __init__(self, folder: Path, *, sync: bool, tidying: Path | None = None) -> None:
        self._folder = folder
        #: A file that is locked while packs go; None where nobody else makes them go.
        self._tidying = tidying
        self._sync = sync
        self._objects: dict[bytes, bytes] = {}
        self._since_look = _LOOK_EVERY

    def add(self, kind: str, data: bytes) -> pygit2.Oid:
        """Take an object in; its id. Nobody else sees it before `write`."""
        digest = hashlib.sha1(b"%s %d\0" % (kind.encode(), len(data)) + data, usedforsecurity=False).digest()
        if digest not in self._objects:
            self._objects[digest] = _header(_KINDS[kind], len(data)) + zlib.compress(data, _LEVELS[kind])
        return pygit2.Oid(raw=digest)

    def write(self) -> None:
        """Put what was collected into one pack, on the disk if that is asked for. Raises `OSError`."""
        if self._objects:
            _write(self._folder, self._objects.items(), sync=self._sync)
            self._objects = {}
            self._since_look += 1

    def tidy(self) -> None:
        """Put packs together if there are many of a size. What is in the way of that is left for others."""
        if self._since_look < _LOOK_EVERY:
            return
        self._since_look = 0
        with contextlib.suppress(OSError, ValueError):
            for crowd in _crowds(self._folder):
                if self._tidying is None:
                    _put_together(self._folder, crowd, sync=self._sync)
                    continue
                with held(self._tidying, fcntl.LOCK_SH | fcntl.LOCK_NB):
                    _put_together(self._folder, crowd, sync=self._sync)


@contextlib.contextmanager
def held(file: Path, how: int) -> Iterator[None]:
    """Hold the `flock` of a file, taken in the way ``how``. Raises `BlockingIOError`."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _header(kind: int, size: int) -> bytes:
    first, size = kind << 4 | size & 15, size >> 4
    found = bytearray()
    while size:
        found.append(first | 0x80)
        first, size = size & 0x7F, size >> 7
    found.append(first)
    return bytes(found)


def _write(folder: Path, objects: Iterable[tuple[bytes, bytes]], *, sync: bool) -> str:
    """Write pack and index; the pack's name."""
    offsets: list[tuple[bytes, int, int]] = []
    parts = [b""]
    at = 12
    for digest, data in objects:
        offsets.append((digest, zlib.crc32(data), at))
        parts.append(data)
        at += len(data)
    if at > _MAX_OFFSET:
        raise ValueError("a pack may not be that large")
    parts[0] = b"PACK" + struct.pack(">II", 2, len(offsets))
    pack = b"".join(parts)
    checksum = hashlib.sha1(pack, usedforsecurity=False).digest()
    offsets.sort()
    names = b"".join(digest for digest, _, _ in offsets)
    name = hashlib.sha1(names + checksum, usedforsecurity=False).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    index = _index(offsets, names, checksum)
    # Whoever finds an index takes its pack for complete, so that gets its name last.
    files = {
        _put(folder, f"pack-{name}{ending}", data): folder / f"pack-{name}{ending}"
        for ending, data in ((".pack", pack + checksum), (".idx", index))
    }
    if sync:
        sync_content(list(files))
    for temporary, file in files.items():
        temporary.rename(file)
    if sync:
        _sync_folder(folder)
    return name


def _index(offsets: list[tuple[bytes, int, int]], names: bytes, checksum: bytes) -> bytes:
    counts = [0] * 256
    for digest, _, _ in offsets:
        counts[digest[0]] += 1
    total, fan = 0, []
    for count in counts:
        total += count
        fan.append(total)
    number = len(offsets)
    body = b"".join(
        (
            _INDEX,
            struct.pack(">256I", *fan),
            names,
            struct.pack(f">{number}I", *[crc for _, crc, _ in offsets]),
            struct.pack(f">{number}I", *[offset for _, _, offset in offsets]),
            checksum,
        )
    )
    return body + hashlib.sha1(body, usedforsecurity=False).digest()


def _put(folder: Path, name: str, data: bytes) -> Path:
    # Git clears away what is called like this and left behind.
    temporary = folder / f"tmp_pack_{os.getpid()}_{name}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o444)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
    finally:
        os.close(descriptor)
    return temporary


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _crowds(folder: Path) -> Iterator[list[Path]]:
    """Packs of about one size, where there are many."""
    classes: dict[int, list[Path]] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("pack-") and entry.name.endswith(".pack"):
                size = entry.stat().st_size
                if size <= _LARGE:
                    rank, limit = 0, _SMALLEST
                    while size > limit:
                        rank, limit = rank + 1, limit * _MANY
                    classes.setdefault(rank, []).append(folder / entry.name)
    for _, crowd in sorted(classes.items()):
        if len(crowd) >= _MANY:
            yield crowd


def _put_together(folder: Path, packs: list[Path], *, sync: bool) -> None:
    objects: dict[bytes, bytes] = {}
    merged: list[Path] = []
    for pack in packs:
        keep = pack.with_suffix(".keep")
        if not keep.exists() and (found := _read(pack)) is not None:
            objects |= found
            merged.append(pack)
    if len(merged) < 2:
        return
    name = _write(folder, objects.items(), sync=sync)
    for pack in merged:
        if pack.stem != f"pack-{name}":
            # The index goes first: without it, nobody looks for the pack.
            for suffix in (".idx", ".pack", ".rev"):
                pack.with_suffix(suffix).unlink(missing_ok=True)


def _read(pack: Path) -> dict[bytes, bytes] | None:
    """The objects of a pack as they stand there; None for one that holds differences, is damaged, or gone."""
    try:
        return _parse(pack.with_suffix(".idx").read_bytes(), pack.read_bytes())
    except (FileNotFoundError, struct.error, IndexError):
        return None


def _parse(index: bytes, data: bytes) -> dict[bytes, bytes] | None:
    if not index.startswith(_INDEX) or len(data) > _MAX_OFFSET:
        return None
    (number,) = struct.unpack_from(">I", index, 8 + 255 * 4)
    names = 8 + 256 * 4
    offsets = struct.unpack_from(f">{number}I", index, names + 24 * number)
    ends = [*sorted(offsets)[1:], len(data) - 20]
    until = dict(zip(sorted(offsets), ends, strict=True))
    found = {}
    for place, offset in enumerate(offsets):
        if offset > _MAX_OFFSET or data[offset] >> 4 & 7 not in _KINDS.values():
            return None
        found[index[names + 20 * place : names + 20 * place + 20]] = data[offset : until[offset]]
    return found
