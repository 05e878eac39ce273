"""What each thing costs in requests, as the decision record says: requests are what GitHub counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sentinel.github.store import ApiStore
from sentinel.store.base import ABSENT, DELETE, Committed
from sentinel.testing.clock import ManualClock
from sentinel.testing.workbench import landed, transaction
from tests.github.bench import ApiBench
from tests.github.conftest import MakeApi
from tests.github.proxy import Proxy

#: (requests, charged, points)
Cost = tuple[int, int, int]


@pytest.fixture
def bench(make_api: MakeApi, tmp_path: Path) -> Iterator[ApiBench]:
    bench = ApiBench(make_api, tmp_path)
    yield bench
    bench.close()


@pytest.fixture
def store(bench: ApiBench) -> Iterator[ApiStore]:
    """A store that has looked, and whose pauses take no time."""
    store = bench.open(clock=ManualClock())
    store.read()
    store.published()
    yield store
    store.close()


@pytest.fixture
def cost(proxy: Proxy) -> Callable[[Callable[[], object]], Cost]:
    """What doing something costs, as the proxy sees it."""

    def measure(act: Callable[[], object]) -> Cost:
        proxy.ledger.clear()
        act()
        return len(proxy.ledger.calls), proxy.ledger.charged, proxy.ledger.points

    return measure


Measure = Callable[[Callable[[], object]], Cost]


def fill(store: ApiStore, name: str, number: int) -> None:
    keys = [f"tasks/{name}{n}" for n in range(number)]
    landed(store, transaction(dict.fromkeys(keys, ABSENT), {key: {"key": key} for key in keys}))


def test_a_look_that_shows_nothing_new_is_free(store: ApiStore, cost: Measure) -> None:
    assert cost(store.read) == (1, 0, 1)


def test_a_look_that_shows_a_hundred_new_documents_is_two_requests(
    bench: ApiBench, store: ApiStore, cost: Measure
) -> None:
    other = bench.client()
    assert isinstance(other, ApiStore)
    fill(other, "a", 60)
    fill(other, "b", 40)

    def look() -> None:
        snapshot = store.read()
        assert len([snapshot.get(key) for key in snapshot.list("tasks/")]) == 100

    assert cost(look) == (2, 2, 2)


def test_a_look_after_documents_changed_is_two_requests(
    bench: ApiBench, store: ApiStore, cost: Measure
) -> None:
    other = bench.client()
    assert isinstance(other, ApiStore)
    fill(other, "a", 3)
    store.read()
    change = {f"tasks/a{n}": other.read().version(f"tasks/a{n}") for n in range(3)}
    landed(other, transaction(change, {"tasks/a0": {"n": 2}, "tasks/a1": DELETE, "tasks/a2": {"n": "ż"}}))

    def look() -> None:
        snapshot = store.read()
        assert (snapshot.get("tasks/a0"), snapshot.get("tasks/a2")) == (
            {"format": 1, "n": 2},
            {"format": 1, "n": "ż"},
        )

    assert cost(look) == (2, 2, 2)


def test_a_commit_is_three_requests_however_much_is_in_it(store: ApiStore, cost: Measure) -> None:
    assert cost(lambda: fill(store, "a", 1)) == (3, 3, 15)
    assert cost(lambda: fill(store, "b", 50)) == (3, 3, 15)


def test_a_commit_that_another_was_faster_than_looks_and_tries_once_more(
    bench: ApiBench, store: ApiStore, cost: Measure
) -> None:
    other = bench.client()
    assert isinstance(other, ApiStore)
    fill(other, "a", 1)
    assert cost(lambda: fill(store, "b", 1)) == (3 + 2 + 3, 3 + 2 + 3, 15 + 2 + 15)


def test_a_machine_that_saw_the_fleet_before_begins_with_a_comparison(
    bench: ApiBench, cost: Measure, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    first = bench.open(folder=folder)
    fill(first, "a", 20)
    first.close()
    other = bench.client()
    assert isinstance(other, ApiStore)
    fill(other, "b", 20)

    def begin() -> None:
        store = bench.open(folder=folder)
        snapshot = store.read()
        assert len([snapshot.get(key) for key in snapshot.list("tasks/")]) == 40
        store.close()

    # The ref, the comparison, and the ref once more for `read`; what the first one wrote it never read.
    requests, charged, _ = cost(begin)
    assert (requests, charged) == (3, 2)


def test_a_beat_is_two_requests(store: ApiStore, cost: Measure) -> None:
    outcome = store.publish("ab", {"seq": 1}, ABSENT)
    assert isinstance(outcome, Committed)
    version = outcome.revision
    assert cost(lambda: store.publish("ab", {"seq": 2}, version)) == (2, 2, 10)


def test_sessions_that_did_not_change_are_read_for_nothing(store: ApiStore, cost: Measure) -> None:
    for name in ("aa", "bb", "cc"):
        store.publish(name, {"seq": 1}, ABSENT)
    store.published()
    assert cost(store.published) == (1, 0, 1)


def test_each_session_that_changed_is_a_request(bench: ApiBench, store: ApiStore, cost: Measure) -> None:
    other = bench.client()
    for name in ("aa", "bb", "cc"):
        other.publish(name, {"seq": 1}, ABSENT)
    assert cost(store.published) == (1 + 3, 1 + 3, 1 + 3)


def test_leaving_closes_and_deletes(store: ApiStore, cost: Measure) -> None:
    outcome = store.publish("ab", {"seq": 1}, ABSENT)
    assert isinstance(outcome, Committed)
    version = outcome.revision
    assert cost(lambda: store.publish("ab", DELETE, version)) == (3, 3, 15)


def test_keeping_a_log_is_four_requests(store: ApiStore, cost: Measure) -> None:
    assert cost(lambda: store.keep([b"a log\n", b"another\n"])) == (4, 4, 16)
    # From then on it knows where the day's ref is.
    assert cost(lambda: store.keep([b"a third\n"])) == (3, 3, 15)
