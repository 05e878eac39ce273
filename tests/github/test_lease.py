"""What becomes of a lease whose beats go by the API while GitHub refuses or loses them (F7, F8, F17, F18)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from sentinel.fleet.pacing import Rhythm
from sentinel.model.layout import session_register
from sentinel.model.lease import LeaseTimes
from sentinel.peer.beat import Beat, Load
from sentinel.peer.lease import Lease
from sentinel.testing.clock import ManualClock
from tests.github.bench import ApiBench
from tests.github.conftest import MakeApi
from tests.github.emulator import token
from tests.github.faults import Fault
from tests.github.proxy import Proxy

INC = "01incarnation"


class Peer:
    """The part of a peer that keeps its lease."""

    def __init__(self, bench: ApiBench) -> None:
        self.clock = ManualClock()
        self.told: list[float] = []
        self.lease = Lease(self.clock, self.told.append)
        times = LeaseTimes(interval=30.0, stale=120.0)
        self.store = bench.open(clock=self.clock)
        self.beat = Beat(
            store=self.store,
            clock=self.clock,
            incarnation=INC,
            worker="worker-1",
            lease=self.lease,
            load=lambda: Load(progress=self.clock.now(), rhythm=Rhythm(times=times, poll=10.0)),
            changed=lambda: None,
        )

    @property
    def deadline(self) -> float:
        """Until when its tasks may run, as its supervisor was told."""
        return self.told[-1]


@pytest.fixture
def peer(make_api: MakeApi, tmp_path: Path) -> Iterator[Peer]:
    """A peer that has beaten once."""
    bench = ApiBench(make_api, tmp_path)
    peer = Peer(bench)
    assert peer.beat.beat()
    yield peer
    peer.store.close()
    bench.close()


def test_a_token_that_is_revoked_in_mid_lease_lets_the_deadline_come_and_is_named_f18(
    peer: Peer, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    before = peer.deadline
    proxy.tokens.pop(token("robot"))
    peer.clock.advance(30)
    with caplog.at_level(logging.WARNING):
        assert not peer.beat.beat()
    assert peer.deadline == before
    assert "GITHUB_TOKEN" in caplog.text
    assert token("robot") not in caplog.text


def test_a_scope_that_is_missing_in_mid_lease_is_named_f18(
    peer: Peer, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    before = peer.deadline
    proxy.fail(Fault.LACKS_SCOPE, "PATCH")
    peer.clock.advance(30)
    with caplog.at_level(logging.WARNING):
        assert not peer.beat.beat()
    assert peer.deadline == before
    assert "one of the scopes repo" in caplog.text


def test_a_token_that_comes_back_in_time_keeps_the_lease_f18(peer: Peer, proxy: Proxy) -> None:
    before = peer.deadline
    login = proxy.tokens.pop(token("robot"))
    peer.clock.advance(10)
    assert not peer.beat.beat()
    proxy.tokens[token("robot")] = login
    peer.clock.advance(10)
    assert peer.beat.beat()
    assert peer.deadline == before + 20
    assert peer.lease.fenced is None


@pytest.mark.parametrize("fault", [Fault.RESET_AFTER, Fault.BAD_GATEWAY_AFTER, Fault.HTML_AFTER])
def test_a_beat_whose_reply_is_lost_is_confirmed_as_of_its_sending_f8_f17(
    peer: Peer, proxy: Proxy, fault: Fault
) -> None:
    before = peer.deadline
    proxy.fail(fault, "PATCH")
    peer.clock.advance(30)
    assert peer.beat.beat()
    assert peer.deadline == before + 30
    document = peer.store.published()[session_register(INC)].document
    assert document is not None
    assert document["seq"] == 2


def test_a_beat_that_stays_in_doubt_extends_nothing_until_it_is_known_f7(peer: Peer, proxy: Proxy) -> None:
    before = peer.deadline
    proxy.fail(Fault.RESET_AFTER, "PATCH", times=None)
    proxy.fail(Fault.RESET_BEFORE, "GET", times=None)
    peer.clock.advance(30)
    assert not peer.beat.beat()
    assert peer.deadline == before
    proxy.heal()
    assert peer.beat.beat()
    assert peer.deadline > before
    assert peer.lease.fenced is None


@pytest.mark.parametrize("fault", [Fault.SECONDARY, Fault.TOO_MANY, Fault.PRIMARY])
def test_a_limit_costs_a_beat_and_no_lease_f17(peer: Peer, proxy: Proxy, fault: Fault) -> None:
    before = peer.deadline
    proxy.fail(fault, "PATCH", retry_after=20)
    assert not peer.beat.beat()
    assert peer.deadline == before
    peer.clock.advance(61)
    assert peer.beat.beat()
    assert peer.lease.fenced is None


def test_a_peer_that_was_sealed_while_its_reply_was_lost_is_fenced_f6(
    peer: Peer, proxy: Proxy, make_api: MakeApi, tmp_path: Path
) -> None:
    name = session_register(INC)
    version = peer.store.published()[name].version
    sealed = {"incarnation": INC, "worker": "worker-1", "seq": 1, "interval": 30.0, "ttl": 120.0}
    peer.store.publish(name, {**sealed, "sealed_by": "worker-2"}, version)
    peer.clock.advance(30)
    assert not peer.beat.beat()
    assert peer.lease.fenced == "it was failed over by worker-2"
