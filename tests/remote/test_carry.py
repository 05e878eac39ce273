"""One push for the state and for a beat: each has its own lease and its own answer."""

from __future__ import annotations

import pytest

from sentinel.errors import Unavailable
from sentinel.model.codec import Document
from sentinel.store.base import ABSENT, Committed, Conflicted, Expected, Outcome, Rode
from sentinel.store.remote import RemoteStore
from sentinel.testing.workbench import Passenger, landed, transaction
from tests.remote import servers
from tests.remote.bench import RemoteBench
from tests.remote.conftest import MakeBench
from tests.remote.proxy import Fault, Proxy

NAME = "ab12"


@pytest.fixture
def bench(make_http_bench: MakeBench, http_proxy: Proxy) -> RemoteBench:
    return make_http_bench(http_proxy.port)


@pytest.fixture
def store(bench: RemoteBench) -> RemoteStore:
    store = bench.client()
    assert isinstance(store, RemoteStore)
    return store


def first_beat(store: RemoteStore) -> Expected:
    outcome = store.publish(NAME, {"seq": 1}, ABSENT)
    assert isinstance(outcome, Committed)
    return outcome.revision


def beat(store: RemoteStore) -> Document | None:
    return store.published()[NAME].document


def carry(store: RemoteStore, passenger: Passenger, *, key: str = "tasks/a") -> Outcome:
    (outcome,) = store.carry([transaction({key: ABSENT}, {key: {"n": 1}})], passenger)
    return outcome


def test_one_push_writes_both(bench: RemoteBench, store: RemoteStore, web: servers.SmartHttp) -> None:
    passenger = Passenger(NAME, first_beat(store))
    before = web.pushes
    assert isinstance(carry(store, passenger), Committed)
    assert web.pushes == before + 1
    other = bench.open()
    (outcome,) = passenger.outcomes
    assert outcome == Committed(str(other.published()[NAME].version))
    assert (other.read().get("tasks/a"), beat(other)) == ({"format": 1, "n": 1}, {"format": 1, "seq": 2})
    other.close()


def test_one_push_stores_outputs_and_takes_the_beat_along(
    bench: RemoteBench, store: RemoteStore, web: servers.SmartHttp
) -> None:
    passenger = Passenger(NAME, first_beat(store))
    before = web.pushes
    (name,) = store.keep_and_carry([b"said"], passenger)
    assert web.pushes == before + 1
    other = bench.open()
    assert passenger.outcomes == [Committed(str(other.published()[NAME].version))]
    assert (other.kept(name), beat(other)) == (b"said", {"format": 1, "seq": 2})
    other.close()


@pytest.mark.parametrize("expect", ["0" * 39 + "1", "no-such-version", ABSENT])
def test_a_beat_that_expects_what_is_not_there_does_not_keep_the_commit_from_landing(
    store: RemoteStore, expect: Expected
) -> None:
    first_beat(store)
    passenger = Passenger(NAME, expect)
    assert isinstance(carry(store, passenger), Committed)
    assert passenger.outcomes == [Conflicted((NAME,))]
    assert beat(store) == {"format": 1, "seq": 1}


def test_a_state_that_moved_meanwhile_does_not_keep_the_beat_from_landing(
    bench: RemoteBench, store: RemoteStore
) -> None:
    passenger = Passenger(NAME, first_beat(store))
    store.read()
    landed(bench.client(), transaction({"tasks/b": ABSENT}, {"tasks/b": {}}))
    assert isinstance(carry(store, passenger), Committed)
    (outcome,) = passenger.outcomes
    assert isinstance(outcome, Committed)
    assert beat(store) == {"format": 1, "seq": 2}


def test_what_lost_on_its_keys_takes_nothing_along(bench: RemoteBench, store: RemoteStore) -> None:
    passenger = Passenger(NAME, first_beat(store))
    landed(bench.client(), transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))
    store.read()
    assert isinstance(carry(store, passenger), Conflicted)
    assert passenger.outcomes == []


@pytest.mark.parametrize("fault", [Fault.RESET_AFTER_EFFECT, Fault.BAD_GATEWAY_AFTER_EFFECT])
def test_when_the_reply_is_lost_the_commit_is_looked_for_and_the_beat_is_in_doubt(
    store: RemoteStore, http_proxy: Proxy, fault: Fault
) -> None:
    passenger = Passenger(NAME, first_beat(store))
    http_proxy.set(fault, times=2)
    assert isinstance(carry(store, passenger), Committed)
    http_proxy.set(None)
    assert passenger.outcomes == [Rode.UNKNOWN]
    assert beat(store) == {"format": 1, "seq": 2}


def test_a_server_that_cannot_be_reached_took_neither(store: RemoteStore, web: servers.SmartHttp) -> None:
    passenger = Passenger(NAME, first_beat(store))
    web.password = "unknown to us"
    with pytest.raises(Unavailable, match="did not take"):
        carry(store, passenger)
    web.password = None
    assert passenger.outcomes == [Rode.NOT]
    assert beat(store) == {"format": 1, "seq": 1}
