"""The rules for two writers of one key of shared memory."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import pytest

from sentinel.errors import BadInput, Conflict
from sentinel.fleet.memory_policies import ENTRY_POINTS, Write, compare_and_swap, find_policy
from sentinel.model.memory import Entry

STORED = Entry(namespace="ns", key="k", value={"a": 1}, written_by="other", tx="v2")


def asked(value: Any = None, **more: Any) -> Write:
    return Write(name="ns/k", value=value, **more)


def highest(stored: Entry | None, write: Write) -> Any:
    return write.value if stored is None else max(stored.value, write.value)


@pytest.mark.parametrize(
    ("found", "waited", "yields"),
    [("v2", 0.0, False), ("v1", 10.0, False), ("v2", 99.0, False), ("v1", 10.1, True), (None, 10.1, True)],
)
def test_the_last_write_wins_unless_it_waited_too_long_and_the_key_has_changed(
    found: str | None, waited: float, yields: bool
) -> None:
    write = asked("mine", found=found, waited=waited, limit=10.0)
    if yields:
        with pytest.raises(Conflict, match=r"ns/k waited 10.1 s, longer than 10 s, and yields to version v2"):
            find_policy("last_write_wins")(STORED, write)
    else:
        assert find_policy("last_write_wins")(STORED, write) == "mine"


def test_a_late_write_yields_to_a_deletion_too() -> None:
    with pytest.raises(Conflict, match="no such key any more"):
        find_policy("last_write_wins")(None, asked(1, found="v1", waited=11.0, limit=10.0))


@pytest.mark.parametrize(
    ("stored", "read", "lands"),
    [
        (STORED, "v2", True),
        (STORED, "v1", False),
        (STORED, None, False),
        (None, None, True),
        (None, "v1", False),
    ],
)
def test_compare_and_swap_wants_the_version_that_was_read(
    stored: Entry | None, read: str | None, lands: bool
) -> None:
    if lands:
        assert compare_and_swap(stored, asked(7, read=read)) == 7
    else:
        with pytest.raises(Conflict, match="has changed since it was read"):
            compare_and_swap(stored, asked(7, read=read))


def test_merge_patches_what_is_there_whoever_wrote_it() -> None:
    assert find_policy("merge")(STORED, asked({"b": 2}, read="v1")) == {"a": 1, "b": 2}


def test_merge_begins_with_nothing() -> None:
    assert find_policy("merge")(None, asked({"b": {"c": None}})) == {"b": {}}


def test_a_package_brings_a_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = importlib.metadata.EntryPoint("highest", f"{__name__}:highest", ENTRY_POINTS)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [entry])
    monkeypatch.setattr(importlib.metadata.EntryPoint, "load", lambda self: {"highest": highest}[self.name])
    assert find_policy("highest")(Entry(namespace="ns", key="k", value=9), asked(7)) == 9


def test_a_rule_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = importlib.metadata.EntryPoint("broken", "no_such_module:rule", ENTRY_POINTS)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [entry])
    with pytest.raises(BadInput, match="broken cannot be loaded: ModuleNotFoundError"):
        find_policy("broken")


def test_an_unknown_rule_is_answered_with_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"'last_write_win'.*nearest is last_write_wins"):
        find_policy("last_write_win")
