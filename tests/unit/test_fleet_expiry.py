"""What one peer frees of the values that have expired, and when."""

from __future__ import annotations

import pytest

from sentinel.fleet.expiry import STEP, Expiry
from sentinel.fleet.memory_writing import Asked
from sentinel.fleet.shared_memory import MemoryOptions, SharedMemory
from sentinel.model.memory import Wish
from tests.unit.builders import Bench


class Watchman:
    """An `Expiry` with an observer, on a bench."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.expiry = Expiry(5.0)
        self.shared = SharedMemory(bench.transactor, MemoryOptions())

    def put(self, key: str, ttl: float = 0.0) -> None:
        self.shared.write(Asked(Wish(namespace="ns", key=key, value=1, ttl=ttl)))

    def look(self) -> None:
        now = self.bench.clock.now()
        seen = self.expiry.look(self.bench.snapshot(), now)
        self.bench.observer.look(seen, sent=now, reply=now, keep=self.expiry.watched)

    def free(self) -> int:
        freed = list(self.expiry.due(self.bench.snapshot(), self.bench.change, self.bench.observer, by="w1"))
        return sum(self.bench.lands(transaction) for transaction in freed)

    def keys(self) -> list[str]:
        return [entry.key for entry in self.shared.scan("ns", "")]


@pytest.fixture
def watchman(bench: Bench) -> Watchman:
    return Watchman(bench)


def test_what_was_seen_unchanged_for_its_ttl_is_freed(watchman: Watchman) -> None:
    watchman.put("short", 10.0)
    watchman.put("stays")
    watchman.look()
    watchman.bench.clock.advance(9.9)
    watchman.look()
    assert watchman.free() == 0
    watchman.bench.clock.advance(5.0)
    watchman.look()
    assert watchman.free() == 1
    assert watchman.keys() == ["stays"]


def test_between_two_looks_nothing_is_listed_and_nothing_forgotten(watchman: Watchman) -> None:
    watchman.put("k", 10.0)
    watchman.look()
    for _ in range(3):
        watchman.bench.clock.advance(1.0)
        watchman.look()
    watchman.bench.clock.advance(7.0)
    watchman.look()
    assert watchman.free() == 1


def test_a_step_frees_so_many_and_the_next_one_the_rest(watchman: Watchman) -> None:
    for number in range(STEP + 3):
        watchman.put(f"k{number}", 5.0)
    watchman.look()
    watchman.bench.clock.advance(5.0)
    watchman.look()
    assert (watchman.free(), watchman.free(), watchman.free()) == (STEP, 3, 0)


def test_what_could_not_be_freed_at_the_look_is_freed_later(watchman: Watchman) -> None:
    watchman.put("k", 5.0)
    watchman.look()
    watchman.bench.clock.advance(5.0)
    watchman.look()
    watchman.bench.clock.advance(3.0)
    watchman.look()
    assert watchman.free() == 1


def test_what_was_written_since_the_look_is_not_freed(watchman: Watchman) -> None:
    watchman.put("k", 5.0)
    watchman.look()
    watchman.bench.clock.advance(5.0)
    watchman.look()
    watchman.put("k", 5.0)
    assert watchman.free() == 0


def test_a_write_between_decision_and_commit_wins(watchman: Watchman) -> None:
    watchman.put("k", 5.0)
    watchman.look()
    watchman.bench.clock.advance(5.0)
    watchman.look()
    bench = watchman.bench
    (freeing,) = watchman.expiry.due(bench.snapshot(), bench.change, bench.observer, by="w1")
    watchman.put("k", 5.0)
    assert not bench.lands(freeing)
