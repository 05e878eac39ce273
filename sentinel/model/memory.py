"""Shared memory: JSON values by namespace and key, which tasks and programs leave for each other.

Each write of a key gives it a new *version*: the id of the transaction that wrote it, so a version never
comes back, also not after the key was deleted and made again. A value with a TTL expires when its version was
unchanged for so long on an observer's own clock; no two clocks are compared.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeGuard

from sentinel.errors import BadInput
from sentinel.model.codec import MAX_INLINE_BYTES, Fields, encode
from sentinel.model.ids import check_id
from sentinel.model.layout import memory_key
from sentinel.model.record import Stored, stamp

DEFAULT_NAMESPACE = "default"
#: Longest key in characters, which are single bytes.
MAX_KEY = 256
#: Largest value in bytes of canonical JSON.
MAX_VALUE_BYTES = MAX_INLINE_BYTES
#: Most keys of one namespace. Writers that make new keys at the same moment may pass it by their number.
MAX_KEYS = 10_000
#: Bounds of a TTL in seconds.
MIN_TTL, MAX_TTL = 1.0, 604_800.0

#: Expected version where any will do, the absence of the key included.
ANY: Final = "*"

# It begins with a letter or digit, so that it is no option of a command, and nothing that programs in which
# objects have a `__proto__` stumble over.
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@=+-]*")
KEY_RULE = (
    f"1 to {MAX_KEY} letters, digits and any of '._:/@=+-', beginning with a letter or digit "
    "(such as task-42/result)"
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry(Stored):
    """A value of shared memory as stored."""

    namespace: str
    key: str
    value: Any = None
    #: Seconds after which it expires if it is not written again; zero is never.
    ttl: float = 0.0
    #: For people.
    written_by: str = ""
    written_at: str = ""

    @property
    def version(self) -> str:
        """What `compare_and_swap` compares; it never comes back."""
        return self.tx

    @classmethod
    def load(cls, key: str, document: Mapping[str, Any]) -> Entry:
        """The value stored under ``key``. Raises `BadRecord` when it is not one, or is another's."""
        fields = Fields(key, document)
        entry = cls(
            namespace=fields.id("namespace"),
            key=fields.text("key"),
            value=fields.take("value", object),
            ttl=fields.seconds("ttl", 0.0),
            written_by=fields.text("written_by", ""),
            written_at=fields.text("written_at", ""),
            **stamp(fields),
        )
        if not is_key(entry.key) or memory_key(entry.namespace, entry.key) != key:
            raise fields.bad(f"it says it is {entry.namespace}/{entry.key!a}")
        return entry

    def row(self) -> dict[str, Any]:
        """What people and programs see of it."""
        return {
            "namespace": self.namespace,
            "key": self.key,
            "value": self.value,
            "version": self.version,
            "ttl": self.ttl or None,
            "written_by": self.written_by,
            "written_at": self.written_at,
        }

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Entry:
        """The entry that `row` showed."""
        return cls(
            namespace=row["namespace"],
            key=row["key"],
            value=row["value"],
            ttl=row["ttl"] or 0.0,
            written_by=row["written_by"],
            written_at=row["written_at"],
            tx=row["version"],
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One write that somebody wants."""

    namespace: str
    key: str
    value: Any = None
    delete: bool = False
    #: Seconds; zero is never.
    ttl: float = 0.0
    #: The version that the key must have: `ANY`, None for no such key, or a version.
    expect: str | None = ANY
    #: The version that the writer had last read; None when it read none, or none was there.
    read: str | None = None
    #: Name of the rule for two writers of one key; None is the one that is configured.
    policy: str | None = None
    #: For people: who wants it.
    by: str = ""

    @property
    def name(self) -> str:
        """Namespace and key for messages."""
        return f"{self.namespace}/{self.key}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a watch saw: the key's newest value, or that it is gone."""

    namespace: str
    key: str
    #: None when the key was deleted or has expired.
    entry: Entry | None

    @property
    def kind(self) -> Literal["set", "deleted"]:
        """``set`` or ``deleted``."""
        return "deleted" if self.entry is None else "set"

    def row(self) -> dict[str, Any]:
        """What people and programs see of it: the kind, and the entry with null for what is gone."""
        empty = Entry(namespace=self.namespace, key=self.key).row() | {"version": None}
        return {"event": self.kind, **(empty if self.entry is None else self.entry.row())}


def is_key(key: object) -> TypeGuard[str]:
    """Whether ``key`` is a valid key."""
    return isinstance(key, str) and len(key) <= MAX_KEY and _KEY.fullmatch(key) is not None


def check_key(key: object) -> str:
    """``key`` itself. Raises `BadInput` naming the rule, and what is wrong."""
    if is_key(key):
        return key
    text = key if isinstance(key, str) else repr(key)
    shown = ascii(text[:40]) + (f"… of {len(text)} characters" if len(text) > 40 else "")
    raise BadInput(f"memory key {shown} is not valid: use {KEY_RULE}")


def check_prefix(prefix: str) -> str:
    """The beginning of a key, or nothing. Raises `BadInput`."""
    return prefix if prefix == "" else check_key(prefix)


def check_namespace(namespace: object) -> str:
    """``namespace`` itself. Raises `BadInput` naming the rule."""
    return check_id(namespace if isinstance(namespace, str) else repr(namespace), "memory namespace")


def check_ttl(ttl: object) -> float:
    """Seconds, zero for never. Raises `BadInput` for what is out of range."""
    if ttl is None:
        return 0.0
    if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not MIN_TTL <= ttl <= MAX_TTL:
        raise BadInput(f"ttl {ttl!r:.40} is not valid: use {MIN_TTL:g} to {MAX_TTL:,.0f} seconds")
    return float(ttl)


def check_value(name: str, value: Any) -> Any:
    """``value`` as readers will get it. Raises `BadInput` for what is no JSON, or passes the limit."""
    try:
        # Inside an object, as it is stored: so it nests no deeper than a record may.
        size = len(encode({"value": value})) - len(b'{"value":}')
        data = encode(value)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the value of {name} is not a JSON value: {error}") from error
    if size > MAX_VALUE_BYTES:
        raise BadInput(
            f"the value of {name} has {size} bytes, more than the limit of {MAX_VALUE_BYTES}; "
            "keep large data elsewhere and store where it is"
        )
    return json.loads(data)


def merge_patch(target: Any, patch: Any) -> Any:
    """``target`` after the JSON merge patch ``patch`` (RFC 7386): objects are merged, null removes a member,
    and everything else takes the place of what was there."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged
