"""What becomes of two writes of one key of shared memory: rules, found by name.

A rule is asked for each write, with what is stored at the moment at which the write would land, so that the
order of commits is the order of writes. Other packages bring more under the entry-point group
``sentinel.memory_policies``::

    def highest(stored, write):
        return write.value if stored is None else max(stored.value, write.value)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

from sentinel.errors import BadInput, Conflict
from sentinel.fleet.submission import nearest
from sentinel.model.memory import Entry, merge_patch

#: Packages announce rules under this entry-point group.
ENTRY_POINTS = "sentinel.memory_policies"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A write that is about to land."""

    #: ``namespace/key`` for messages.
    name: str
    value: Any
    #: Whether the key is to be deleted; what the rule returns is then of no account.
    delete: bool = False
    #: The version that the writer had last read; None when it read none, or none was there.
    read: str | None = None
    #: The version that was there when the write was handed in; None for none.
    found: str | None = None
    #: Seconds since it was handed in; zero for one that is not queued.
    waited: float = 0.0
    #: Seconds that a queued write may wait.
    limit: float = 0.0


class Policy(Protocol):
    """A rule for two writers. Equal arguments must give equal answers."""

    def __call__(self, stored: Entry | None, write: Write) -> Any:
        """The value to store over ``stored``. Raises `Conflict` when the write must yield."""


def last_write_wins(stored: Entry | None, write: Write) -> Any:
    """The write that lands last stays; one that was queued for too long yields to what came meanwhile."""
    if write.waited > write.limit and _version(stored) != write.found:
        raise Conflict(
            f"the write of {write.name} waited {write.waited:.1f} s, longer than {write.limit:g} s, and "
            f"yields to {_what(stored)}"
        )
    return write.value


def compare_and_swap(stored: Entry | None, write: Write) -> Any:
    """Only who has read what is there may write over it; who has read nothing may make a new key."""
    if _version(stored) != write.read:
        raise Conflict(f"{write.name} has changed since it was read: there is {_what(stored)}")
    return write.value


def merge(stored: Entry | None, write: Write) -> Any:
    """The value is a JSON merge patch (RFC 7386) of what is there, whoever wrote that."""
    return merge_patch(None if stored is None else stored.value, write.value)


_BUILT_IN: Mapping[str, Policy] = {
    "last_write_wins": last_write_wins,
    "compare_and_swap": compare_and_swap,
    "merge": merge,
}


def find_policy(name: str) -> Policy:
    """The rule called ``name``. Raises `BadInput` when there is none, or it cannot be loaded."""
    found = _BUILT_IN.get(name)
    if found is not None:
        return found
    from importlib.metadata import entry_points  # costs 20 ms, and most fleets need it never

    known = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    if name not in known:
        raise BadInput(
            f"there is no memory policy {name!r:.60}; the nearest is {nearest(name, {*_BUILT_IN, *known})}"
        )
    try:
        loaded: Policy = known[name].load()
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise BadInput(f"the memory policy {name} cannot be loaded: {reason}") from error
    return loaded


def _version(stored: Entry | None) -> str | None:
    return None if stored is None else stored.version


def _what(stored: Entry | None) -> str:
    if stored is None:
        return "no such key any more"
    return f"version {stored.version} by {stored.written_by or 'somebody'}"
