"""Shared memory as programs use it: `Client.memory`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sentinel.client import Client
from sentinel.errors import BadInput, Conflict, StoreError
from sentinel.fleet.shared_memory import MemoryOptions
from sentinel.model import memory_calls
from sentinel.model.layout import memory_key
from sentinel.model.memory import MAX_VALUE_BYTES
from sentinel.model.memory_calls import Memory
from tests.unit.stage import Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def memory(stage: Stage) -> Memory:
    return stage.client(actor="ann").memory


def test_a_value_is_set_read_and_deleted(memory: Memory) -> None:
    memory.set("task-42-assignment", {"workerId": "w1"}, "assignments")
    assert memory.get("task-42-assignment", "assignments") == {"workerId": "w1"}
    assert memory.get("task-42-assignment") is None
    assert memory.delete("task-42-assignment", "assignments")
    assert not memory.delete("task-42-assignment", "assignments")


def test_a_missing_value_is_the_default(memory: Memory) -> None:
    assert memory.get("k", default=7) == 7


def test_null_is_a_value(memory: Memory) -> None:
    memory.set("k", None)
    assert memory.get("k", default=7) is None


def test_an_entry_tells_who_wrote_it_and_when(memory: Memory) -> None:
    written = memory.set("k", 1, ttl=60.0)
    assert written is not None
    assert written == memory.entry("k")
    assert (written.written_by, written.ttl, written.written_at[:4]) == ("ann", 60.0, "2026")


def test_entries_are_listed_by_namespace_and_key(memory: Memory) -> None:
    for namespace, key in (("b", "x"), ("a", "z"), ("a", "y")):
        memory.set(key, 1, namespace)
    assert [(entry.namespace, entry.key) for entry in memory.list()] == [("a", "y"), ("a", "z"), ("b", "x")]
    assert [entry.key for entry in memory.list("a", "z")] == ["z"]


@pytest.mark.parametrize(
    "call",
    [
        lambda memory: memory.set("", 1),
        lambda memory: memory.get("__proto__"),
        lambda memory: memory.delete("k" * 10_240),
        lambda memory: memory.set("k", "x" * MAX_VALUE_BYTES),
        lambda memory: memory.set("k", 1, "No Namespace"),
        lambda memory: memory.set("k", 1, ttl=0.5),
        lambda memory: memory.set("k", 1, policy="no_such"),
        lambda memory: memory.set("k", 1, policy="no_such", behind=True),
        lambda memory: memory.list("ns", "__"),
        lambda memory: memory.watch("k", prefix="k"),
        lambda memory: memory.get("k", max_age=-1),
        lambda memory: memory.get("k", max_age=float("nan")),
        lambda memory: memory.compare_and_swap("k", "*", 1),
    ],
)
def test_what_breaks_a_limit_is_refused_and_writes_nothing(stage: Stage, memory: Memory, call: Any) -> None:
    with pytest.raises(BadInput):
        call(memory)
    memory.flush()
    assert len(stage.fleet.history) == 1


def test_compare_and_swap_writes_over_the_version_that_was_read(memory: Memory) -> None:
    first = memory.compare_and_swap("k", None, 1)
    second = memory.compare_and_swap("k", first.version, 2)
    for stale in (None, first.version):
        with pytest.raises(Conflict, match=second.version):
            memory.compare_and_swap("k", stale, 3)
    assert memory.get("k") == 2


def test_two_writers_who_update_one_key_lose_nothing(stage: Stage) -> None:
    one, other = stage.client().memory, stage.client().memory

    def add(value: int) -> int:
        if value < 3:
            other.update("n", lambda value: value + 10, default=0)
        return value + 1

    assert one.update("n", add, default=0).value == 11


def test_an_update_that_can_never_win_is_a_conflict(
    stage: Stage, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_calls, "_TRIES", 20)
    other = stage.client().memory

    def disturb(value: Any) -> int:
        other.set("n", value)
        return 1

    with pytest.raises(Conflict, match="kept changing"):
        memory.update("n", disturb)


def test_the_configured_rule_decides_between_two_writers(stage: Stage) -> None:
    one = stage.client(memory=MemoryOptions(policy="compare_and_swap")).memory
    other = stage.client().memory
    one.set("k", 1)
    one.set("k", 2)
    other.set("k", 3)
    with pytest.raises(Conflict):
        one.set("k", 4)
    assert one.get("k") == 3
    one.set("k", 4)
    assert other.get("k") == 4


def test_a_writer_who_has_read_nothing_makes_new_keys_only(stage: Stage) -> None:
    stage.client().memory.set("k", 1)
    blind = stage.client(memory=MemoryOptions(policy="compare_and_swap")).memory
    with pytest.raises(Conflict):
        blind.set("k", 2)
    with pytest.raises(Conflict):
        blind.delete("k")
    blind.set("new", 2)


def test_one_write_may_name_its_own_rule(memory: Memory) -> None:
    memory.set("k", {"a": 1})
    memory.set("k", {"b": 2}, policy="merge")
    assert memory.get("k") == {"a": 1, "b": 2}


def test_a_dry_run_writes_nothing(stage: Stage, memory: Memory) -> None:
    memory.set("k", 1, dry_run=True)
    memory.set("k", 1, dry_run=True, behind=True)
    assert not memory.delete("k", dry_run=True)
    memory.compare_and_swap("k", None, 1, dry_run=True)
    assert len(stage.fleet.history) == 1


def test_what_is_queued_lands_with_the_first_call_after_it_is_due(stage: Stage, memory: Memory) -> None:
    memory.set("k", 1, behind=True)
    stage.clock.advance(4.9)
    memory.get("other")
    assert stage.client().memory.get("k") is None
    stage.clock.advance(0.1)
    memory.get("other")
    assert stage.client().memory.get("k") == 1


def test_what_is_queued_lands_when_the_client_is_closed(stage: Stage) -> None:
    with stage.client() as client:
        client.memory.set("k", 1, behind=True)
    assert stage.client().memory.get("k") == 1


def test_flush_tells_what_was_dropped(stage: Stage, memory: Memory) -> None:
    memory.set("k", "mine", behind=True)
    stage.client().memory.set("k", "theirs")
    stage.clock.advance(10.1)
    assert ["yields" in sentence for sentence in memory.flush()] == [True]
    assert memory.flush() == []
    assert memory.stats()["dropped"] == 1


def test_a_program_that_comes_again_goes_on_with_a_ttl(stage: Stage, tmp_path: Path) -> None:
    def look() -> Any:
        with stage.client(state_folder=tmp_path) as client:
            return client.memory.get("k")

    stage.client().memory.set("k", 1, ttl=30.0)
    assert look() == 1
    stage.clock.advance(30.0)
    assert look() is None


# --- watching ------------------------------------------------------------------------------------------


def test_a_watch_begins_with_what_changes_from_now_on(memory: Memory) -> None:
    memory.set("before", 1)
    watch = memory.watch()
    memory.set("after", 2)
    change = watch.next(0)
    assert change is not None
    assert (change.kind, change.key, change.entry and change.entry.value) == ("set", "after", 2)
    assert watch.next(0) is None


def test_a_watch_may_begin_with_all_that_is_there(memory: Memory) -> None:
    memory.set("before", 1)
    change = memory.watch(since={}).next(0)
    assert change is not None
    assert change.key == "before"


def test_a_watch_of_one_key_sees_no_other(memory: Memory) -> None:
    watch = memory.watch("k")
    memory.set("other", 1)
    memory.set("k", 1)
    memory.delete("k")
    memory.set("k", 2)
    change = next(watch)
    assert change.entry is not None
    assert (change.key, change.entry.value) == ("k", 2)


def test_a_watch_sees_a_deletion(memory: Memory) -> None:
    memory.set("k", 1)
    watch = memory.watch()
    memory.delete("k")
    change = watch.next(0)
    assert change is not None
    assert change.row() == {
        "event": "deleted",
        "namespace": "default",
        "key": "k",
        "value": None,
        "version": None,
        "ttl": None,
        "written_by": "",
        "written_at": "",
    }


def test_a_watch_that_is_resumed_misses_nothing_and_repeats_nothing(stage: Stage, memory: Memory) -> None:
    memory.set("kept", 1)
    memory.set("gone", 1)
    watch = memory.watch(since={})
    assert [change.key for change in (watch.next(0), watch.next(0)) if change] == ["gone", "kept"]
    memory.delete("gone")
    memory.set("new", 1)
    resumed = stage.client().memory.watch(since=watch.position)
    told = [change for change in (resumed.next(0), resumed.next(0), resumed.next(0)) if change]
    assert [(change.kind, change.key) for change in told] == [("deleted", "gone"), ("set", "new")]


def test_the_position_holds_only_what_was_told(memory: Memory) -> None:
    memory.set("a", 1)
    memory.set("b", 1)
    watch = memory.watch(since={})
    watch.next(0)
    assert list(watch.position) == ["a"]


def torn(stage: Stage, memory: Memory) -> str:
    """Leave a record of the key ``k`` that cannot be read; its key in the store."""
    memory.set("k", 1)
    key = memory_key("default", "k")
    head = stage.fleet.head
    stage.fleet.history.append(type(head)(head.revision + 1, (), {**head.state, key: b"{"}))
    return key


def test_an_unreadable_value_is_a_problem(stage: Stage, memory: Memory) -> None:
    key = torn(stage, memory)
    assert [problem.key for problem in stage.client().problems()] == [key]


def test_an_unreadable_value_is_told_with_what_replaces_it(stage: Stage, memory: Memory) -> None:
    torn(stage, memory)
    with pytest.raises(StoreError, match="last_write_wins replaces this one"):
        memory.get("k")


@pytest.mark.parametrize("behind", [False, True])
def test_an_unreadable_value_is_written_over_saying_what_it_was(
    stage: Stage, memory: Memory, caplog: pytest.LogCaptureFixture, behind: bool
) -> None:
    key = torn(stage, memory)
    memory.set("k", 2, behind=behind)
    memory.flush()
    assert memory.get("k") == 2
    (said,) = [record.message for record in caplog.records]
    assert said.startswith(f"default/k had a record that could not be read and was written over: {key}: ")
    (landed,) = stage.fleet.head.transactions
    assert landed.note == "set memory default/k, which could not be read, by ann"


def test_an_unreadable_value_is_deleted_saying_what_it_was(
    stage: Stage, memory: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    torn(stage, memory)
    assert memory.delete("k")
    assert memory.get("k") is None
    assert "could not be read and was deleted" in caplog.text


def test_an_unreadable_value_stays_where_the_write_turns_on_what_is_there(
    stage: Stage, memory: Memory
) -> None:
    torn(stage, memory)
    writes: list[Callable[[], object]] = [
        lambda: memory.set("k", {}, policy="merge"),
        lambda: memory.set("k", 2, policy="compare_and_swap"),
        lambda: memory.compare_and_swap("k", None, 2),
    ]
    for write in writes:
        with pytest.raises(StoreError, match="replaces this one"):
            write()


def test_a_memory_of_its_own_for_tests() -> None:
    with Client("memory:") as client:
        client.memory.set("k", 1)
        assert client.memory.get("k") == 1
