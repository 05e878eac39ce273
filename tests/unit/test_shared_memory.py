"""One process's access to shared memory: cache, age of reads, expiry and watching."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.errors import Conflict, StoreError
from sentinel.model.layout import memory_key
from sentinel.model.memory import Entry
from tests.unit.memory_site import Site, asked


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
