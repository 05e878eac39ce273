"""Alerts: raised and ended when two looks agree, by one peer, in the audit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from sentinel.fleet import registry
from sentinel.fleet.alerting import alerts_in
from sentinel.fleet.health import Limits
from sentinel.model.alerts import Alerts
from sentinel.store.base import Snapshot, Transaction
from sentinel.store.memory import MemoryStore
from tests.peer.harness import TIMES, Member, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def watching(world: World, name: str, limits: Limits | None = None, **more: object) -> Member:
    member = world.member(name, **more)
    options = dataclasses.replace(member.peer._options, alerts=limits or Limits(), watch_every=3.0)
    member.peer.reconfigure(options)
    return member


def active(world: World) -> list[str]:
    return sorted(alerts_in(MemoryStore(world.fleet).read()).active)


def notes(world: World) -> list[str]:
    entries = MemoryStore(world.fleet).audit(10_000)
    return [note for entry in reversed(entries) for note in entry.notes if "alert" in note]


def remove(world: World, worker: str) -> None:
    def decide(snapshot: Snapshot) -> tuple[Transaction, None]:
        return registry.remove(world.client.change(snapshot), snapshot, worker), None

    world.client.transact(decide)


def test_a_worker_that_dies_is_an_alert_until_it_is_back_or_forgotten(world: World) -> None:
    world.member("w9")
    members = [watching(world, name) for name in ("w1", "w2", "w3")]
    world.pass_time(TIMES.stale + 7.0, *members)
    assert active(world) == ["worker_failure:w9"]
    remove(world, "w9")
    world.pass_time(7.0, *members)
    assert active(world) == []
    raised, ended = notes(world)
    assert raised.startswith("alert worker_failure (critical): worker w9 ")
    assert ended == "end of alert worker_failure:w9, seen by w1"


def test_one_look_alone_raises_nothing(world: World) -> None:
    member = watching(world, "w1", Limits(queue=0), types=("other",))
    world.submit("t")
    world.pass_time(3.5, member)
    assert active(world) == []
    world.pass_time(3.0, member)
    assert active(world) == ["queue_backlog"]


def test_one_that_begins_to_watch_ends_nothing_at_its_first_look(world: World) -> None:
    first = watching(world, "w2", Limits(queue=0), types=("other",))
    world.submit("t")
    world.pass_time(7.0, first)
    assert active(world) == ["queue_backlog"]
    second = watching(world, "w1", types=("other",))
    world.pass_time(3.5, first, second)
    assert active(world) == ["queue_backlog"]
    world.pass_time(3.5, first, second)
    assert active(world) == []


def test_only_the_first_of_all_that_beat_watches(world: World) -> None:
    members = [watching(world, name, Limits(utilization=0.1)) for name in ("w1", "w2")]
    world.submit("t")
    world.pass_time(10.0, *members)
    assert [note.rpartition(" ")[2] for note in notes(world)] == ["w1"]


def test_who_was_given_no_limits_looks_for_nothing(world: World) -> None:
    world.member("dead")
    world.pass_time(60.0, world.member("w"))
    assert notes(world) == []


@pytest.mark.parametrize("data", [b"{", b'{"format":1,"rev":1,"tx":"t","active":{"x":1}}'])
def test_alerts_that_cannot_be_read_are_written_anew(world: World, data: bytes) -> None:
    world.fleet.head.state["alerts"] = data  # type: ignore[index]  # planted
    member = watching(world, "w1", Limits(utilization=0.1))
    world.submit("t")
    world.pass_time(10.0, member)
    assert active(world) == ["high_utilization"]


def test_fields_that_this_version_does_not_know_are_kept() -> None:
    document = {**Alerts(rev=1, tx="t").document(), "later": 1}
    assert Alerts.load("alerts", document).document() == document
