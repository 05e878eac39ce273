"""Shared memory on a store that stands on a server."""

from __future__ import annotations

import threading

import pytest

from sentinel.client import Client, ClientOptions
from sentinel.errors import Conflict
from sentinel.fleet.shared_memory import MemoryOptions
from tests.remote.bench import RemoteBench


def client(bench: RemoteBench, interval: float = 3_600.0) -> Client:
    options = ClientOptions(memory=MemoryOptions(interval=interval))
    return Client(bench.open(), actor="ann", options=options)


def test_a_read_is_as_old_as_the_interval_unless_the_newest_is_asked_for(file_bench: RemoteBench) -> None:
    one, other = client(file_bench).memory, client(file_bench).memory
    other.set("k", 1)
    assert one.get("k") == 1
    other.set("k", 2)
    assert one.get("k") == 1
    assert one.get("k", max_age=0) == 2
    assert one.stats()["hits"] == 1


def test_ones_own_write_is_seen_at_once(file_bench: RemoteBench) -> None:
    memory = client(file_bench).memory
    assert memory.get("k") is None
    memory.set("k", 1)
    assert memory.get("k") == 1


def test_a_refused_write_shows_what_is_there(file_bench: RemoteBench) -> None:
    one, other = client(file_bench).memory, client(file_bench).memory
    first = other.set("k", 1)
    assert first is not None
    assert one.get("k") == 1
    other.set("k", 2)
    with pytest.raises(Conflict):
        one.compare_and_swap("k", first.version, 3)
    assert one.get("k") == 2


def test_writers_who_update_one_key_at_once_lose_nothing(file_bench: RemoteBench) -> None:
    def count() -> None:
        memory = client(file_bench).memory
        for _ in range(4):
            memory.update("n", lambda value: value + 1, default=0)

    writers = [threading.Thread(target=count) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert client(file_bench).memory.get("n") == 12


def test_what_is_queued_is_one_push(file_bench: RemoteBench) -> None:
    before = len(file_bench.subjects())
    with client(file_bench) as one:
        for number in range(20):
            one.memory.set(f"k{number}", number, behind=True)
        assert len(file_bench.subjects()) == before
    assert len(file_bench.subjects()) == before + 1


def test_a_watch_goes_on_where_another_machine_stopped(file_bench: RemoteBench) -> None:
    writer = client(file_bench).memory
    writer.set("a", 1)
    watch = client(file_bench).memory.watch(since={})
    assert (watch.next(0), watch.next(0)) != (None, None)
    writer.set("b", 2)
    change = client(file_bench).memory.watch(since=watch.position).next(30)
    assert change is not None
    assert change.key == "b"
