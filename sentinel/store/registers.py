"""Registers of a local store: small files with compare-and-swap, without any lock.

A register has a folder of its own, and in it exactly one empty file, the *pointer*, whose name is the
register's version: a generation and random digits, never used again. The value is a file beside them.

=====================================  ===========================================================
``sessions/live/<name>/<version>``     the pointer; no pointer, no register
``sessions/values/<name>-<version>``   the value, complete before any pointer names it
``sessions/new/<random>/``             a register's folder, being made
=====================================  ===========================================================

Each change is one atomic step that only one can take, because it uses up what it expects:

* *update* renames the pointer that it expects to the new one;
* *delete* unlinks the pointer that it expects, and then tries to remove the empty folder;
* *create* renames a whole prepared folder into place, which fails unless there is none or an empty one.

So nobody ever waits: a writer that is stopped between any two steps stops nobody, and finds out when it
wakes. See ``docs/decisions/0002-local-registers.md`` for why neither a lock file nor links do.

Nothing is synced: a beat that a power cut takes away is silence of a machine that is off.
"""

from __future__ import annotations

import contextlib
import errno
import re
from pathlib import Path

from sentinel.errors import BadRecord
from sentinel.model.codec import MAX_DOCUMENT_BYTES, decode_document, encode_document
from sentinel.model.ids import IdSource
from sentinel.store.base import ABSENT, DELETE, Committed, Conflicted, Expected, Register, Written

#: What a killed writer left behind is removed after a day; no live one takes that long.
LEFTOVER_SECONDS = 86_400.0
#: A reader that is overtaken this often in a row reports the register as unreadable.
_TRIES = 100
#: Bytes that a register hardly ever has.
_USUAL = 16 * 1024

_NAME = re.compile(r"[0-9a-f]{1,64}")
_VERSION = re.compile(r"([0-9]{12})-[0-9a-f]{32}")


class Registers:
    """All registers below ``folder``. Raises `OSError` when the file system does."""

    def __init__(self, folder: Path, ids: IdSource) -> None:
        self._live = folder / "sessions" / "live"
        self._values = folder / "sessions" / "values"
        self._new = folder / "sessions" / "new"
        self._ids = ids
        #: Name → the version that was read last, and its value: a version never comes back.
        self._known: dict[str, tuple[str, bytes]] = {}
        for needed in (self._live, self._values, self._new):
            needed.mkdir(parents=True, exist_ok=True)

    def publish(self, name: str, document: Written, expect: Expected) -> Committed | Conflicted:
        """Compare-and-swap one register. Raises `ValueError` for a name or document that cannot be stored."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"the register name {name!r} is not lower-case hexadecimal")
        if document is DELETE:
            return self._delete(name, expect)
        data = encode_document(document)
        if expect is ABSENT:
            return self._create(name, data)
        return self._update(name, data, expect)

    def _create(self, name: str, data: bytes) -> Committed | Conflicted:
        version, value = self._write(name, 1, data)
        self._sweep(value.stat().st_mtime)
        folder = self._new / f"{name}-{version}"
        folder.mkdir()
        (folder / version).touch()
        try:
            folder.rename(self._live / name)
        except OSError as error:
            _discard(folder / version, value)
            _remove_empty(folder)
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return Conflicted((name,))
        return Committed(version)

    def _update(self, name: str, data: bytes, expect: str) -> Committed | Conflicted:
        match = _VERSION.fullmatch(expect)
        if match is None:
            return Conflicted((name,))
        version, value = self._write(name, int(match[1]) + 1, data)
        folder = self._live / name
        try:
            (folder / expect).rename(folder / version)
        except OSError as error:
            _discard(value)
            if not isinstance(error, FileNotFoundError):
                raise
            return Conflicted((name,))
        _discard(self._value(name, expect))
        return Committed(version)

    def _delete(self, name: str, expect: Expected) -> Committed | Conflicted:
        if expect is ABSENT:
            return Committed("") if self._pointer(name) is None else Conflicted((name,))
        folder = self._live / name
        if not _VERSION.fullmatch(expect):
            return Conflicted((name,))
        try:
            (folder / expect).unlink()
        except FileNotFoundError:
            return Conflicted((name,))
        _discard(self._value(name, expect))
        # Fails when it was made again meanwhile, which is as it should be. An empty folder that stays
        # behind, because we die here, counts as absent and is replaced by the next creation.
        _remove_empty(folder)
        return Committed("")

    def _write(self, name: str, generation: int, data: bytes) -> tuple[str, Path]:
        while True:
            version = f"{generation:012d}-{self._ids.nonce()}"
            value = self._value(name, version)
            try:
                with value.open("xb") as file:
                    file.write(data)
            except FileExistsError:
                continue
            except OSError:
                _discard(value)
                raise
            return version, value

    def _value(self, name: str, version: str) -> Path:
        return self._values / f"{name}-{version}"

    def _pointer(self, name: str) -> str | None:
        try:
            found = [entry.name for entry in (self._live / name).iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return None
        return max((entry for entry in found if _VERSION.fullmatch(entry)), default=None)

    def published(self) -> dict[str, Register]:
        """All registers by name."""
        found: dict[str, Register] = {}
        for folder in self._live.iterdir():
            if _NAME.fullmatch(folder.name):
                register = self._read(folder.name)
                if register is not None:
                    found[folder.name] = register
        for name in self._known.keys() - found.keys():
            del self._known[name]
        return found

    def _read(self, name: str) -> Register | None:
        pointer = self._pointer(name)
        for _ in range(_TRIES):
            if pointer is None:
                return None
            try:
                version, data = self._known.get(name, ("", b""))
                if version != pointer:
                    data = _content(self._value(name, pointer))
                    self._known[name] = (pointer, data)
                return Register(pointer, decode_document(name, data))
            except BadRecord as bad:
                return Register(pointer, None, bad.reason)
            except FileNotFoundError:
                latest = self._pointer(name)
                if latest == pointer:
                    return Register(pointer, None, "its value is missing")
                pointer = latest
        return Register(pointer or "", None, "it changed at every look")

    def _sweep(self, now: float) -> None:
        """Remove what killed writers left; ``now`` is a time of the file system's own clock."""
        for value in self._values.iterdir():
            name, _, version = value.name.partition("-")
            if _is_old(value, now) and self._pointer(name) != version:
                _discard(value)
        for folder in self._new.iterdir():
            if _is_old(folder, now):
                _discard(*folder.iterdir())
                _remove_empty(folder)


def _content(file: Path) -> bytes:
    """What is in a file, or enough of it to see that it is too large; room is made for what is usual."""
    with file.open("rb", buffering=0) as opened:
        data = opened.read(_USUAL)
        while len(data) <= MAX_DOCUMENT_BYTES and (more := opened.read(_USUAL)):
            data += more
    return data


# What is done after the one step that counts must never make that step look as if it had failed.


def _discard(*files: Path) -> None:
    for file in files:
        with contextlib.suppress(OSError):
            file.unlink()


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _is_old(path: Path, now: float) -> bool:
    try:
        return now - path.stat().st_mtime > LEFTOVER_SECONDS
    except FileNotFoundError:
        return False
