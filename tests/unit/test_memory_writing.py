"""How one process writes shared memory: few commits, a queue that yields when it is late, and claims."""

from __future__ import annotations

import pytest

from sentinel.errors import ClaimLost, Conflict, StoreError, Unavailable
from sentinel.fleet.shared_memory import MemoryOptions, SharedMemory
from sentinel.testing.faults import Fault
from tests.unit.builders import Bench, incarnation, running
from tests.unit.memory_site import FENCE, Site, asked


@pytest.fixture
def site() -> Site:
    return Site()


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


def test_a_write_that_waited_for_the_turn_of_its_worker_is_not_late(site: Site) -> None:
    one, other = site.access(interval=5.0, stretched=71.0), site.access()
    one.queue("mine")
    other.put("theirs")
    site.clock.advance(142.0)
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
