"""One process's access to shared memory: cache, age of reads, queue, expiry and watching."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.errors import ClaimLost, Conflict, StoreError, Unavailable
from sentinel.fleet.memory_writing import Asked
from sentinel.fleet.shared_memory import MemoryOptions, SharedMemory
from sentinel.model.ids import IdSource
from sentinel.model.layout import memory_key
from sentinel.model.memory import Change, Entry, Wish
from sentinel.model.task import Fence
from sentinel.store.base import Snapshot
from sentinel.store.memory import MemoryFleet, MemoryStore
from sentinel.store.transact import Transactor
from sentinel.testing.clock import ManualClock
from sentinel.testing.faults import Fault, FaultyStore
from tests.unit.builders import Bench, incarnation, running

FENCE = Fence(task="t", incarnation="inc1", run=1, epoch=1)


class Counting(FaultyStore):
    """A store that counts reads, and is as far away as it is told."""

    def __init__(self, fleet: MemoryFleet, *, near: bool) -> None:
        super().__init__(MemoryStore(fleet))
        self.hears = near
        self.reads = 0

    def read(self) -> Snapshot:
        self.reads += 1
        return super().read()


class Site:
    """Several accesses to one memory, on one clock."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.fleet = MemoryFleet()
        self.rng = random.Random(7)
        self.ids = IdSource(self.rng, self.clock.wall)

    def access(self, *, near: bool = True, patience: float = 1.0, **options: Any) -> Access:
        store = Counting(self.fleet, near=near)
        transactor = Transactor(store, self.clock, self.rng, self.ids, patience=patience)
        return Access(SharedMemory(transactor, MemoryOptions(**options)), store)

    @property
    def commits(self) -> int:
        return len(self.fleet.history) - 1


class Access:
    """One process's access, in few words."""

    def __init__(self, shared: SharedMemory, store: Counting) -> None:
        self.shared = shared
        self.store = store

    def get(self, key: str = "k", max_age: float | None = None) -> Any:
        found = self.shared.read("ns", key, max_age)
        return None if found is None else found.value

    def put(self, value: Any, key: str = "k", **more: Any) -> Entry:
        written = self.shared.write(asked(value, key, **more))
        assert written is not None
        return written

    def queue(self, value: Any, key: str = "k", **more: Any) -> None:
        self.shared.queue(asked(value, key, **more))

    def dropped(self) -> list[str]:
        return [str(dropped.why) for dropped in self.shared.take_dropped()]

    def changes(self, known: Mapping[str, str], prefix: str = "") -> list[Change]:
        return self.shared.differences("ns", None, prefix, known)


def asked(value: Any, key: str = "k", fence: Fence | None = None, **more: Any) -> Asked:
    return Asked(Wish(namespace="ns", key=key, value=value, by="w", **more), fence)


@pytest.fixture
def site() -> Site:
    return Site()


# --- reading -------------------------------------------------------------------------------------------


def test_a_value_that_is_kept_is_a_hit_as_long_as_its_version_stays(site: Site) -> None:
    one, other = site.access(), site.access()
    other.put("v")
    for _ in range(4):
        assert one.get() == "v"
    other.put("w")
    assert one.get() == "w"
    assert (one.shared.stats.hits, one.shared.stats.misses) == (3, 2)
    assert one.shared.stats.hit_rate == 0.6


def test_the_least_recently_used_value_goes_first(site: Site) -> None:
    one = site.access(cache_size=2)
    for key in ("a", "b", "c"):
        one.put(key, key)
    for key in ("a", "b", "a", "c", "a", "b"):
        one.get(key)
    assert (one.shared.stats.hits, one.shared.stats.misses) == (2, 4)


def test_a_cache_of_no_size_keeps_nothing_and_reads_all_the_same(site: Site) -> None:
    one = site.access(cache_size=0)
    one.put("v")
    assert [one.get(), one.get()] == ["v", "v"]
    assert one.shared.stats.hits == 0


def test_what_a_reader_does_to_a_value_does_not_reach_the_cache(site: Site) -> None:
    one = site.access()
    one.put({"a": [1]})
    one.get()["a"].append(2)
    assert one.get() == {"a": [1]}


def test_a_near_store_is_always_read_as_it_is(site: Site) -> None:
    one, other = site.access(near=True), site.access()
    other.put(1)
    assert one.get() == 1
    other.put(2)
    assert one.get() == 2


def test_a_read_of_a_far_store_is_at_most_one_interval_old(site: Site) -> None:
    one, other = site.access(near=False, interval=5.0), site.access()
    other.put(1)
    assert one.get() == 1
    other.put(2)
    site.clock.advance(4.9)
    assert (one.get(), one.store.reads) == (1, 1)
    site.clock.advance(0.1)
    assert (one.get(), one.store.reads) == (2, 2)


def test_the_newest_value_can_be_asked_for(site: Site) -> None:
    one, other = site.access(near=False), site.access()
    other.put(1)
    one.get()
    other.put(2)
    assert one.get(max_age=0.0) == 2


def test_ones_own_write_is_always_seen(site: Site) -> None:
    one = site.access(near=False)
    one.get()
    one.put(1)
    assert one.get() == 1


def test_a_record_that_cannot_be_read_is_left_out_of_a_list_and_an_error_by_name(site: Site) -> None:
    one = site.access()
    one.put(1, "good")
    one.put(1, "bad")
    head = site.fleet.head
    torn = {**head.state, memory_key("ns", "bad"): b"{"}
    site.fleet.history.append(type(head)(head.revision + 1, (), torn))
    assert [entry.key for entry in one.shared.scan("ns", "")] == ["good"]
    with pytest.raises(StoreError, match="sentinel doctor"):
        one.get("bad")
    with pytest.raises(StoreError, match="sentinel doctor"):
        one.put(1, "bad")


# --- the queue -----------------------------------------------------------------------------------------


def test_a_hundred_queued_writes_land_in_one_commit(site: Site) -> None:
    one = site.access()
    for number in range(100):
        one.queue(number, f"k{number}")
    assert site.commits == 0
    one.shared.flush()
    assert site.commits == 1
    assert (one.shared.stats.writes, one.shared.stats.commits) == (100, 1)


def test_the_queue_is_due_one_interval_after_its_first_write(site: Site) -> None:
    one = site.access(interval=5.0)
    assert one.shared.due is None
    one.queue(1)
    begun = site.clock.now()
    site.clock.advance(3.0)
    one.queue(2, "other")
    assert one.shared.due == begun + 5.0


def test_a_later_queued_write_takes_the_place_of_an_earlier_one(site: Site) -> None:
    one = site.access()
    one.queue(1)
    one.queue(2)
    one.shared.flush()
    assert (one.get(), site.commits) == (2, 1)


def test_reading_a_queued_key_lands_it_first(site: Site) -> None:
    one = site.access()
    one.queue(1)
    assert one.get() == 1
    assert site.commits == 1


def test_merge_patches_in_a_queue_are_all_applied(site: Site) -> None:
    one = site.access()
    one.queue({"a": 1}, policy="merge")
    one.queue({"b": 2}, policy="merge")
    one.shared.flush()
    assert one.get() == {"a": 1, "b": 2}


def test_a_queued_write_within_its_limit_is_the_last_write(site: Site) -> None:
    one, other = site.access(interval=5.0), site.access()
    one.queue("mine")
    other.put("theirs")
    site.clock.advance(10.0)
    one.shared.flush()
    assert (one.get(), one.dropped()) == ("mine", [])


def test_a_queued_write_that_is_late_yields_to_a_change_and_says_so(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = site.access(interval=5.0), site.access()
    one.queue("mine")
    other.put("theirs")
    site.clock.advance(10.1)
    one.shared.flush()
    (said,) = one.dropped()
    assert said.startswith("the write of ns/k waited 10.1 s, longer than 10 s, and yields to version")
    assert said in caplog.text
    assert (one.get(), one.shared.stats.dropped) == ("theirs", 1)


def test_a_queued_write_that_is_late_lands_where_nothing_has_changed(site: Site) -> None:
    one = site.access(interval=5.0)
    one.put("before")
    one.queue("mine")
    site.clock.advance(1_000.0)
    one.shared.flush()
    assert (one.get(), one.dropped()) == ("mine", [])


def test_a_late_key_that_was_absent_yields_to_one_that_was_made(site: Site) -> None:
    one, other = site.access(interval=5.0), site.access()
    one.queue("mine")
    site.clock.advance(10.1)
    other.put("theirs")
    one.shared.flush()
    assert len(one.dropped()) == 1


def test_a_direct_write_is_never_late(site: Site) -> None:
    one, other = site.access(interval=0.1, patience=60.0), site.access()
    other.put("theirs")
    one.store.inject("commit", Fault.UNAVAILABLE, times=8)
    before = site.clock.now()
    one.put("mine")
    assert site.clock.now() - before > 0.2
    assert one.get() == "mine"


def test_what_is_queued_stays_so_while_the_store_is_away(site: Site) -> None:
    one = site.access(interval=5.0)
    one.queue(1)
    one.store.inject("read", Fault.UNAVAILABLE, times=1_000)
    with pytest.raises(Unavailable):
        one.shared.flush()
    one.store._injected.clear()
    one.shared.flush()
    assert one.get() == 1


def test_a_queued_write_whose_reply_was_lost_recognises_itself(site: Site) -> None:
    one = site.access(interval=0.1, patience=0.0)
    one.put("before")
    one.queue("mine")
    one.store.inject("commit", Fault.REPLY_LOST)
    with pytest.raises(StoreError):
        one.shared.flush()
    site.clock.advance(60.0)
    one.shared.flush()
    assert (one.dropped(), one.get(), site.commits) == ([], "mine", 2)


def test_a_write_in_the_place_of_one_whose_reply_was_lost_does_not_yield_to_it(site: Site) -> None:
    one = site.access(interval=0.1, patience=0.0)
    one.put("before")
    one.queue("first")
    one.store.inject("commit", Fault.REPLY_LOST)
    with pytest.raises(StoreError):
        one.shared.flush()
    one.queue("second")
    site.clock.advance(60.0)
    one.shared.flush()
    assert (one.dropped(), one.get()) == ([], "second")


def test_what_a_lost_task_had_queued_is_dropped(site: Site) -> None:
    one = site.access()
    one.queue(1, fence=FENCE)
    one.queue(2, "other")
    one.shared.drop(FENCE)
    one.shared.flush()
    assert [entry.key for entry in one.shared.scan("ns", "")] == ["other"]


def test_a_queued_write_whose_claim_is_over_is_dropped_and_says_so(site: Site) -> None:
    one = site.access()
    one.queue(1, fence=FENCE)
    one.shared.flush()
    (dropped,) = one.shared.take_dropped(FENCE)
    assert isinstance(dropped.why, ClaimLost)


def test_a_write_under_a_claim_in_force_lands(bench: Bench) -> None:
    bench.put(incarnation("inc1"), running("t", incarnation="inc1"))
    shared = SharedMemory(bench.transactor, MemoryOptions())
    shared.write(asked(1, fence=FENCE))
    found = shared.read("ns", "k")
    assert found is not None
    assert found.value == 1


def test_a_rehearsal_writes_nothing_and_refuses_what_the_write_would(site: Site) -> None:
    one = site.access()
    assert one.shared.write(asked(1), dry_run=True) is not None
    with pytest.raises(Conflict):
        one.shared.write(asked(1, expect="v"), dry_run=True)
    assert site.commits == 0


# --- expiry --------------------------------------------------------------------------------------------


def test_a_reader_does_not_see_what_it_saw_unchanged_for_its_ttl(site: Site) -> None:
    one = site.access()
    one.put(1, ttl=30.0)
    assert one.get() == 1
    site.clock.advance(29.9)
    assert one.get() == 1
    site.clock.advance(0.1)
    assert one.get() is None
    assert one.shared.scan("ns", "") == []


def test_the_first_look_never_takes_a_value_for_expired(site: Site) -> None:
    site.access().put(1, ttl=30.0)
    site.clock.advance(3_600.0)
    assert site.access().get() == 1


def test_a_write_begins_its_ttl_anew(site: Site) -> None:
    one = site.access()
    one.put(1, ttl=30.0)
    one.get()
    site.clock.advance(20.0)
    one.put(2, ttl=30.0)
    one.get()
    site.clock.advance(20.0)
    assert one.get() == 2


def test_a_key_that_has_expired_can_be_made_anew(site: Site) -> None:
    one = site.access()
    one.put(1, ttl=30.0)
    one.get()
    site.clock.advance(30.0)
    assert one.get() is None
    assert one.put(2, expect=None).value == 2


def test_a_set_clock_expires_nothing(site: Site) -> None:
    one = site.access()
    one.put(1, ttl=30.0)
    one.get()
    site.clock.wall_offset += 86_400.0
    assert one.get() == 1


# --- watching ------------------------------------------------------------------------------------------


def test_differences_are_what_was_set_and_what_is_gone(site: Site) -> None:
    one = site.access()
    kept, _ = one.put(1, "kept"), one.put(1, "changed")
    found = one.changes({"kept": kept.version, "changed": "old", "gone": "v"})
    assert [(change.kind, change.key) for change in found] == [("set", "changed"), ("deleted", "gone")]


def test_a_prefix_hides_other_keys(site: Site) -> None:
    one = site.access()
    one.put(1, "a/1")
    one.put(1, "b/1")
    assert [change.key for change in one.changes({}, "a/")] == ["a/1"]


def test_a_watch_without_changes_ends_with_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    one = site.access()
    monkeypatch.setattr(one.store, "wait", site.clock.advance)
    before = site.clock.now()
    assert one.shared.changes("ns", None, "", {}, 12.0) == []
    assert site.clock.now() == before + 12.0


KEYS = st.sampled_from(["a", "b", "c"])


@given(st.lists(st.tuples(KEYS, st.sampled_from(["set", "delete", "look"])), max_size=20))
def test_whoever_applies_all_changes_has_what_is_there(steps: list[tuple[str, str]]) -> None:
    site = Site()
    one, watcher = site.access(), site.access()
    known: dict[str, str] = {}

    def look() -> None:
        for change in watcher.changes(known):
            if change.entry is None:
                del known[change.key]
            else:
                known[change.key] = change.entry.version

    for key, step in steps:
        if step == "look":
            look()
        else:
            one.shared.write(asked(1, key, delete=step == "delete"))
    look()
    assert known == {entry.key: entry.version for entry in one.shared.scan("ns", "")}


# --- any order of writers ------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["read", "swap", "queue", "flush"])), max_size=25)
)
def test_no_update_is_lost_under_compare_and_swap(steps: list[tuple[int, str]]) -> None:
    site = Site()
    writers = [site.access(near=False, policy="compare_and_swap") for _ in range(3)]
    read: dict[int, Entry | None] = {}
    landed = 0
    for who, step in steps:
        access = writers[who]
        if step == "read":
            read[who] = access.shared.read("ns", "n")
        elif step == "queue":
            access.queue(1, "other")
        elif step == "flush":
            access.shared.flush()
        elif who in read:
            before = read[who]
            value = 0 if before is None else before.value
            version = None if before is None else before.version
            try:
                access.shared.write(asked(value + 1, "n", read=version))
                landed += 1
            except Conflict:
                read[who] = access.shared.read("ns", "n", 0.0)
    found = site.access().shared.read("ns", "n")
    assert (0 if found is None else found.value) == landed
