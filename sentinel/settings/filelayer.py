"""The layer that a configuration file makes, and what to say about names that are no settings."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from sentinel.settings.interpolation import Lookup, expand
from sentinel.settings.jsonfile import below
from sentinel.settings.key import Key
from sentinel.settings.layers import Entry, KeyPath, shown_value
from sentinel.settings.tree import KEYS


@dataclasses.dataclass(frozen=True, slots=True)
class Unset:
    """A reference to a variable that is not set."""

    key: Key
    sentence: str


class FileLayer:
    """Walks the object of a configuration file; what it finds is in the attributes."""

    def __init__(self, shown: str, *, shared: bool, lookup: Lookup) -> None:
        self._shown = shown
        self._shared = shared
        self._lookup = lookup
        self.entries: dict[KeyPath, Entry] = {}
        self.problems: list[str] = []
        self.unset: list[Unset] = []
        self.warnings: list[str] = []

    def read(self, tree: Mapping[str, Any]) -> FileLayer:
        """Take in the whole object."""
        self._section(TREE, tree, "")
        return self

    def _section(self, known: Mapping[str, Any], found: Mapping[str, Any], path: str) -> None:
        for name, value in found.items():
            place = below(path, name)
            node = known.get(name)
            if node is None and not path:
                node = _AT_TOP.get(name)
            if node is None:
                self.problems.append(f"{self._shown}: {place} is no setting; {_nearest(name, known, path)}")
            elif isinstance(node, Key):
                self._value(node, value, place)
            elif isinstance(value, dict):
                self._section(node, value, place)
            else:
                # The value is not shown: somebody may have put a token there.
                self.problems.append(f"{self._shown}: {place} must be an object, in braces")

    def _value(self, key: Key, value: Any, place: str) -> None:
        if self._shared and key.json in OWN_KEYS:
            self.problems.append(
                f"{self._shown}: {place} belongs into a worker file, since no two workers may share it; "
                "choose the worker with --id or WORKER_ID"
            )
        elif key.kind == "mapping" and isinstance(value, dict):
            for name, inner in value.items():
                self._entry(key, (*key.path, name), inner, below(place, name))
        else:
            self._entry(key, key.path, value, place)

    def _entry(self, key: Key, path: KeyPath, value: Any, place: str) -> None:
        label = f"{self._shown}: {place}"
        if path in self.entries:
            self.problems.append(f"{label} and {self.entries[path].label} set the same; keep one of them")
            return
        expanded = expand(value, self._lookup)
        if expanded.malformed:
            rule = "neither ${NAME} nor ${NAME:-default}; write $${ for a literal ${"
            self.problems.append(f"{label} holds ${{ that begins {rule}")
        self.unset += [
            Unset(key, f"{label} refers to ${{{name}}}, which is not set") for name in expanded.unset
        ]
        if expanded.malformed or expanded.unset:
            return
        if key.kind == "secret" and isinstance(value, str) and not expanded.referred:
            self.warnings.append(f"{label} is a secret in a file; put it into {key.env[0]} instead")
        hidden = key.kind == "secret" or expanded.referred
        result = expanded.value
        if expanded.referred and isinstance(result, str):
            result = key.from_text(result)
        self.entries[path] = Entry(
            key=key,
            path=path,
            value=key.from_json(result),
            shown=None if hidden else shown_value(value),
            origin=label,
            label=label,
            in_json=True,
        )


def _nearest(name: str, known: Mapping[str, Any], path: str) -> str:
    """What to write instead of the unknown ``name`` below ``path``."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), by_lower, 1, 0.6)
    if close:
        return f"did you mean {below(path, by_lower[close[0]])}?"
    elsewhere = {place.rpartition(".")[2].lower(): place for place in reversed(PLACES)}
    close = difflib.get_close_matches(name.lower(), elsewhere, 1, 0.8)
    if close:
        return f"did you mean {elsewhere[close[0]]}?"
    return f"known here: {', '.join(sorted(known))}"


def _tree_of(keys: Iterable[Key]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key in keys:
        *above, last = key.json.split(".")
        node = tree
        for name in above:
            node = node.setdefault(name, {})
        node[last] = key
    return tree


#: The files' tree: names to keys or to further trees.
TREE = _tree_of(KEYS)
#: Sections that the guide also shows by themselves.
_AT_TOP = {"loadBalancer": TREE["distributed"]["loadBalancer"]}
_SPLIT = tuple(key.json.split(".") for key in KEYS)
#: Every dotted place in a file, sections before what they hold.
PLACES = tuple(dict.fromkeys(".".join(names[:n]) for names in _SPLIT for n in range(1, len(names) + 1)))
#: Keys that make no sense for more than one worker.
OWN_KEYS = frozenset({"workerId", "hostname"})
