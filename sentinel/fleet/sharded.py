"""A mapping that is never changed, and of which a changed one is made without copying all of it.

Views of a fleet with a hundred thousand tasks differ in a handful of them: a copy of the whole would cost
each look as much as there are tasks.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")
D = TypeVar("D")

#: Parts, a power of two: a change copies the parts that it falls into, and the list of all.
_PARTS = 1024


def _part(key: str) -> int:
    # Not `hash`, which differs from process to process: equal histories are to be gone through alike.
    return zlib.crc32(key.encode("utf-8", "surrogatepass")) & (_PARTS - 1)


class Sharded(Mapping[str, T], Generic[T]):
    """A frozen mapping of texts; `updated` makes the next one."""

    __slots__ = ("_parts", "_size")

    def __init__(self, parts: tuple[dict[str, T], ...] = ({},) * _PARTS, size: int = 0) -> None:
        self._parts = parts
        self._size = size

    def updated(self, changes: Mapping[str, T | None]) -> Sharded[T]:
        """The same with ``changes``: a value for each key that is to have one, None for one that goes."""
        parts = list(self._parts)
        size = self._size
        copied: set[int] = set()
        for key, value in changes.items():
            place = _part(key)
            if place not in copied:
                copied.add(place)
                parts[place] = dict(parts[place])
            part = parts[place]
            size -= len(part)
            if value is None:
                part.pop(key, None)
            else:
                part[key] = value
            size += len(part)
        return Sharded(tuple(parts), size)

    def __getitem__(self, key: str) -> T:
        return self._parts[_part(key)][key]

    @overload
    def get(self, key: str, /) -> T | None: ...
    @overload
    def get(self, key: str, /, default: T | D) -> T | D: ...
    def get(self, key: str, /, default: Any = None) -> Any:
        return self._parts[_part(key)].get(key, default)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key in self._parts[_part(key)]

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[str]:
        return itertools.chain.from_iterable(self._parts)

    # The inherited ones look each key up again.

    def values(self) -> ValuesView[T]:
        return _Values(self)

    def items(self) -> ItemsView[str, T]:
        return _Items(self)


class _Values(ValuesView[T]):
    _mapping: Sharded[T]

    def __iter__(self) -> Iterator[T]:
        return itertools.chain.from_iterable(part.values() for part in self._mapping._parts)


class _Items(ItemsView[str, T]):
    _mapping: Sharded[T]

    def __iter__(self) -> Iterator[tuple[str, T]]:
        return itertools.chain.from_iterable(part.items() for part in self._mapping._parts)
