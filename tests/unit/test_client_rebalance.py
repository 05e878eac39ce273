"""Rebalancing by hand: what waits for an overloaded worker goes to idle ones of the same leader."""

from __future__ import annotations

import pytest

from sentinel.fleet.hints import hints
from sentinel.model import layout
from sentinel.model.assignment import Assignment
from sentinel.store.base import Snapshot, Transaction
from tests.unit.stage import Stage


@pytest.fixture
def stage() -> Stage:
    """A busy worker that three waiting tasks are meant for, and an idle one."""
    stage = Stage()
    stage.join("busy")
    stage.join("idle", max_tasks=2)
    for name in ("runs", "a", "b", "c"):
        stage.client().submit("shell", positional=["true"], id=name)
        stage.clock.advance(1.0)
    stage.claim("runs", "busy")
    mean(stage, "busy", "a", "b", "c")
    for worker in ("busy", "idle"):
        stage.beat(worker)
    return stage


def mean(stage: Stage, worker: str, *tasks: str) -> None:
    def decide(snapshot: Snapshot) -> tuple[Transaction, None]:
        change = stage.transactor.change(snapshot)
        record = Assignment(worker=worker, tasks=dict.fromkeys(tasks, 0), by="boss", lock="coordinator")
        change.put(layout.assignment_key(worker), record)
        return change.transaction(f"mean {worker}"), None

    stage.transactor.transact(decide)


def test_as_much_moves_as_there_are_idle_slots(stage: Stage) -> None:
    moves = stage.client().rebalance("master_worker")
    assert {(move.before, move.after) for move in moves} == {("busy", "idle")}
    assert len(moves) == 2
    meant = hints(stage.view())
    assert sorted(meant.values()) == ["busy", "idle", "idle"]
    assert stage.view().assignments["busy"].lock == "coordinator"


def test_a_second_time_nothing_moves(stage: Stage) -> None:
    stage.client().rebalance("master_worker")
    before = len(stage.fleet.history)
    assert stage.client().rebalance("master_worker") == []
    assert len(stage.fleet.history) == before


def test_a_dry_run_moves_nothing(stage: Stage) -> None:
    assert len(stage.client().rebalance("master_worker", dry_run=True)) == 2
    assert set(hints(stage.view()).values()) == {"busy"}


def test_among_peers_nothing_moves(stage: Stage) -> None:
    assert stage.client().rebalance("peer_to_peer") == []


def test_a_silent_worker_gets_nothing(stage: Stage) -> None:
    stage.clock.advance(60.0)
    stage.beat("busy")
    assert stage.client().rebalance("master_worker") == []


def test_nothing_moves_to_workers_of_another_leader(stage: Stage) -> None:
    stage.join("far", max_tasks=4, region="elsewhere")
    moves = stage.client().rebalance("hierarchical", "region")
    assert {move.after for move in moves} == {"idle"}
