"""Canonical JSON: one text for one value, within limits, and nothing that JSON itself does not have.

Every document in a store is an object with ``format`` (1), ``rev`` (its parent's + 1) and ``tx`` (the
transaction that wrote it). A newer format is refused rather than half understood; fields that this
version does not know are kept by whoever rewrites the record.
"""

from __future__ import annotations

import dataclasses
import json
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from sentinel.errors import BadRecord
from sentinel.model.ids import is_id

#: A JSON object. Values are JSON values; a store never hands out one that it also keeps.
Document = dict[str, Any]

FORMAT = 1
#: Limit of one stored record in bytes. A task with arguments, result, dependencies and history at their
#: limits is smaller, so no transition of a task is ever refused for its size.
MAX_DOCUMENT_BYTES = 512 * 1024
#: How deep arrays and objects may nest.
MAX_DEPTH = 32
#: Limit in bytes of arguments, and of a result that is kept inside the record.
MAX_INLINE_BYTES = 64 * 1024
#: Largest integer that every reader of JSON takes as it is; no count of ours comes near it.
MAX_COUNT = 2**53 - 1

# Possessive, and content with a text that never ends: each byte is looked at once, whatever it is.
_STRUCTURE = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
#: Record type → the names of its fields, and what reads all of them at once.
_SHAPES: dict[type[Any], tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]] = {}
#: What most values are, and holds nothing.
_SCALARS = frozenset({str, int, float, bool, type(None)})
#: Of these, the empty one says something, too.
_TOLD = frozenset({str, int, float, bool})
_NESTING = (dict, list, tuple, Mapping)
#: Longest reason in characters that a `BadRecord` gives: the record's own words may be in it.
_MAX_REASON = 200


def encode(value: object) -> bytes:
    """The canonical bytes of a JSON value: sorted keys, no spaces, UTF-8.

    Raises `ValueError` for NaN, infinities, lone surrogates, keys that are not strings, and values that
    are not JSON.
    """
    _check_keys(value, 0)
    try:
        return _ENCODER.encode(value).encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError("a text holds half of a surrogate pair, which UTF-8 cannot carry") from error
    except TypeError as error:
        raise ValueError(f"not a JSON value: {error}") from error


def decode(data: bytes, *, limit: int = MAX_DOCUMENT_BYTES) -> Any:
    """The value that ``data`` (at most ``limit`` bytes of UTF-8 JSON) stands for.

    Size and depth are checked before parsing. Raises `ValueError` with a one-line reason for anything
    that is too large, too deep, not UTF-8, begins with a byte-order mark, repeats a key, or holds a
    number that is not finite.
    """
    if len(data) > limit:
        raise ValueError(f"{len(data)} bytes are more than the limit of {limit}")
    if data.startswith(b"\xef\xbb\xbf"):
        raise ValueError("it begins with a byte-order mark; save it as UTF-8 without one")
    _check_depth(data)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 (byte {error.start})") from error
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at line {error.lineno} column {error.colno}") from error
    if "\\u" in text:
        encode(value)
    return value


def decode_document(key: str, data: bytes) -> Document:
    """The document stored under ``key``. Raises `BadRecord` for what `encode_document` never wrote."""
    try:
        value = decode(data)
    except ValueError as error:
        raise BadRecord(key, str(error)) from error
    if not isinstance(value, dict):
        raise BadRecord(key, "it is not a JSON object")
    found = value.get("format")
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise BadRecord(key, "it has no format number")
    if found > FORMAT:
        newer = str(found)[:20]
        raise BadRecord(key, f"it has format {newer}, newer than {FORMAT}; upgrade task-sentinel here")
    return value


def encode_document(document: Mapping[str, Any]) -> bytes:
    """Canonical bytes of a document, ``format`` added. Raises `ValueError` when it passes a limit."""
    data = encode({"format": FORMAT, **document})
    if len(data) > MAX_DOCUMENT_BYTES:
        raise ValueError(f"a record of {len(data)} bytes passes the limit of {MAX_DOCUMENT_BYTES}")
    return data


def flat(record: Any) -> Document:
    """The fields of a frozen record as a document; what ``extra`` kept is merged back below them."""
    return _with_extra(dict(_fields_of(record)))


def compact(record: Any) -> Document:
    """As `flat`, without fields that are None or hold nothing: what is absent is read as that."""
    return _with_extra({name: value for name, value in _fields_of(record) if value or type(value) in _TOLD})


def _with_extra(fields: Document) -> Document:
    extra = fields.pop("extra", None)
    return {**extra, **fields} if extra else fields


def _fields_of(record: Any) -> Iterator[tuple[str, Any]]:
    shape = _SHAPES.get(type(record))
    if shape is None:
        names = tuple(field.name for field in dataclasses.fields(record))
        # Of one name it would give the value itself, not a tuple.
        shape = _SHAPES[type(record)] = (names, operator.attrgetter(*names, names[0]))
    names, read = shape
    return zip(names, read(record), strict=False)


def _check_depth(data: bytes) -> None:
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for match in _STRUCTURE.finditer(data):
        mark = match.group()
        if mark in (b"[", b"{"):
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"it nests deeper than {MAX_DEPTH} levels")
        elif mark in (b"]", b"}"):
            depth -= 1


def _check_keys(value: object, depth: int) -> None:
    # json.dumps would turn True or 1 into a key silently, and would recurse without a limit.
    kind = type(value)
    if kind in _SCALARS:
        return
    if isinstance(value, _NESTING) and depth >= MAX_DEPTH:
        raise ValueError(f"it nests deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict) or (kind is not list and isinstance(value, Mapping)):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise ValueError(f"the key {key!r} is not a text")  # noqa: TRY004 - callers expect one type
            if type(inner) not in _SCALARS:
                _check_keys(inner, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            if type(inner) not in _SCALARS:
                _check_keys(inner, depth + 1)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"the key {name[:40]!r} stands twice in one object")
            seen.add(name)
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:  # Python's own limit on digits
        raise ValueError(f"the number {text[:40]}… is too large") from error


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} is too large")
    return value


_DECODER = json.JSONDecoder(
    object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_finite, parse_int=_whole
)


class Fields:
    """Reads the fields of one document by type; whatever is wrong becomes one `BadRecord`.

    Each field is taken once; `rest` gives those that nobody asked for, to be written back unchanged.
    """

    def __init__(self, key: str, document: Mapping[str, Any]) -> None:
        self._key = key
        self._left = dict(document)
        self._left.pop("format", None)

    def bad(self, reason: str) -> BadRecord:
        """The error for this record."""
        return BadRecord(self._key, reason if len(reason) <= _MAX_REASON else reason[: _MAX_REASON - 1] + "…")

    def take(self, name: str, kind: type | tuple[type, ...], default: Any = ...) -> Any:
        """The field ``name``, which must be of ``kind``; without a ``default`` it must be there."""
        value = self._left.pop(name, ...)
        if value is ...:
            if default is ...:
                raise self.bad(f"the field {name!r} is missing")
            return default
        if type(value) is kind:
            return value
        if isinstance(value, bool) and kind is not object:
            raise self.bad(f"the field {name!r} has the wrong type")
        if not isinstance(value, kind):
            raise self.bad(f"the field {name!r} has the wrong type")
        return value

    def text(self, name: str, default: Any = ...) -> str:
        """A field that is a text."""
        return self.take(name, str, default)  # type: ignore[no-any-return]  # checked by take

    def maybe_text(self, name: str) -> str | None:
        """A field that is a text or null."""
        return self.take(name, (str, type(None)), None)  # type: ignore[no-any-return]  # checked by take

    def count(self, name: str, default: Any = ...) -> int:
        """A field that is an integer from zero to `MAX_COUNT`."""
        value: int = self.take(name, int, default)
        if not 0 <= value <= MAX_COUNT:
            raise self.bad(f"the field {name!r} is not a count from 0 to {MAX_COUNT}")
        return value

    def maybe_count(self, name: str) -> int | None:
        """A field that is a count or null."""
        if self._left.get(name) is None:
            self._left.pop(name, None)
            return None
        return self.count(name)

    def seconds(self, name: str, default: Any = ...) -> float:
        """A field that is a number, zero or more."""
        value: float = self.take(name, (int, float), default)
        if value < 0:
            raise self.bad(f"the field {name!r} is negative")
        try:
            return float(value)
        except OverflowError:
            raise self.bad(f"the field {name!r} is too large") from None

    def id(self, name: str) -> str:
        """A field that is a valid id: it may go into keys, messages, environments and names of files."""
        value = self.text(name)
        if not is_id(value):
            raise self.bad(f"the field {name!r} is not a valid id: {value!r}")
        return value

    def maybe_id(self, name: str) -> str | None:
        """A field that is a valid id or null."""
        value = self.maybe_text(name)
        if value is not None and not is_id(value):
            raise self.bad(f"the field {name!r} is not a valid id: {value!r}")
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        """A field that is an object; absent means empty."""
        return dict(self.take(name, dict, {}))

    def maybe_fields(self, name: str) -> Fields | None:
        """The fields of an object inside this one, or None for null."""
        value = self.take(name, (dict, type(None)), None)
        return None if value is None else Fields(self._key, value)

    def maybe_labels(self, name: str) -> dict[str, str] | None:
        """A field that is an object of texts or null."""
        value: dict[str, str] | None = self.take(name, (dict, type(None)), None)
        if value is not None and not all(isinstance(item, str) for item in value.values()):
            raise self.bad(f"the field {name!r} is not an object of texts")
        return value

    def counts(self, name: str) -> dict[str, int]:
        """A field that is an object of integers, zero or more; absent means empty."""
        value = self.mapping(name)
        if not all(type(item) is int and 0 <= item <= MAX_COUNT for item in value.values()):
            raise self.bad(f"the field {name!r} is not an object of counts")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A field that is a list of texts; absent means empty."""
        value = self.take(name, list, [])
        if not all(isinstance(item, str) for item in value):
            raise self.bad(f"the field {name!r} is not a list of texts")
        return tuple(value)

    def numbers(self, name: str) -> tuple[int, ...]:
        """A field that is a list of counts; absent means empty."""
        value = self.take(name, list, [])
        if not all(type(item) is int and 0 <= item <= MAX_COUNT for item in value):
            raise self.bad(f"the field {name!r} is not a list of counts")
        return tuple(value)

    def items(self, name: str) -> Iterator[dict[str, Any]]:
        """The objects of a list field; absent means none."""
        for item in self.take(name, list, []):
            if not isinstance(item, dict):
                raise self.bad(f"the field {name!r} is not a list of objects")
            yield item

    def rest(self) -> Mapping[str, Any]:
        """The fields that this version does not know."""
        return self._left
