"""Fleets that are led: hints under a lock, and what becomes of them when whoever leads is gone."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sentinel.fleet import registry
from sentinel.fleet.hints import hints
from sentinel.fleet.view import View
from tests.peer.harness import TIMES, Member, World

LED: dict[str, Any] = {"pattern": "master_worker"}
GROUPS: dict[str, Any] = {"pattern": "hierarchical", "group_by": "region"}


@pytest.fixture
def world(tmp_path: Any) -> World:
    return World(tmp_path)


def coordinator(view: View, lock: str = "coordinator") -> str | None:
    return view.locks[lock].holder if lock in view.locks else None


def order(world: World, worker: str, **what: Any) -> None:
    """A person's word about a worker."""
    decide = registry.drain if "deadline" in what else registry.cordon
    world.client.transact(lambda snapshot: decide(world.client.change(snapshot), snapshot, worker, **what))


def all_runs(*members: Member) -> list[str]:
    return sorted(run for member in members for run in member.runs)


def test_the_first_worker_takes_the_lock_without_conflicts(world: World) -> None:
    members = [world.member(name, **LED) for name in ("b", "a", "c")]
    world.settle(*members)
    assert coordinator(world.view()) == "a"
    assert sum(member.peer.counters.conflicts for member in members) == 0


def test_a_worker_whose_role_it_is_takes_the_lock(world: World) -> None:
    world.settle(world.member("a", **LED), world.member("b", role="leader", **LED))
    assert coordinator(world.view()) == "b"


def test_workers_take_what_the_coordinator_means_for_them(world: World) -> None:
    members = [world.member(name, **LED) for name in ("a", "b")]
    world.settle(*members)
    world.submit("t1", "t2", "t3", "t4")
    world.settle(*members)
    assert all_runs(*members) == ["t1@1", "t2@1", "t3@1", "t4@1"]
    assert sum(member.peer.counters.conflicts for member in members) == 0


def test_nobody_takes_what_is_left_to_the_coordinator(world: World) -> None:
    lead, follower = world.member("a", **LED), world.member("b", **LED)
    world.settle(lead, follower)
    world.submit("t")
    follower.peer.tick()
    assert follower.runs == []


def test_the_coordinator_means_as_much_ahead_as_a_worker_has_slots(world: World) -> None:
    lead = world.member("a", max_tasks=1, **LED)
    world.settle(lead)
    world.submit("t1", "t2", "t3")
    world.settle(lead)
    assert lead.runs == ["t1@1"]
    assert len(hints(world.view())) == 1


def test_a_worker_that_has_become_idle_helps_out_after_a_while(world: World) -> None:
    lead, other = world.member("a", max_tasks=1, **LED), world.member("b", max_tasks=1, **LED)
    world.settle(lead, other)
    world.submit("t1", "t2", "t3", "t4")
    world.settle(lead, other)
    other.overseer.finish(other.runs[0])
    world.pass_time(1.0, other, lead)
    other.overseer.finish(other.runs[0])
    world.pass_time(4.0, other, lead)
    assert len(all_runs(lead, other)) == 2


def test_a_coordinator_that_is_silent_is_replaced_within_the_bound(world: World) -> None:
    lead, *others = [world.member(name, **LED) for name in ("a", "b", "c")]
    world.settle(lead, *others)
    world.pass_time(TIMES.stale + 2.0, *others)
    assert coordinator(world.view()) == "b"


def test_tasks_are_taken_while_nobody_coordinates(world: World) -> None:
    lead, *others = [world.member(name, **LED) for name in ("a", "b", "c")]
    world.settle(lead, *others)
    world.submit("t1", "t2", "t3", "t4")
    world.pass_time(TIMES.stale + 2.0, *others)
    assert all_runs(*others) == ["t1@1", "t2@1", "t3@1", "t4@1"]


def test_a_coordinator_that_was_paused_writes_no_hint(world: World) -> None:
    lead, *others = [world.member(name, **LED) for name in ("a", "b")]
    world.settle(lead, *others)
    world.pass_time(TIMES.stale + 2.0, *others)
    world.submit(*[f"t{number}" for number in range(9)])
    lead.peer.tick()
    assert all(found.by != "a" for found in world.view().assignments.values())


def test_a_coordinator_that_drains_goes_on_coordinating_until_it_leaves(world: World) -> None:
    lead, other = world.member("a", **LED), world.member("b", **LED)
    world.settle(lead, other)
    world.submit("t1", "t2")
    world.settle(lead, other)
    running_here = lead.runs[0]
    lead.peer.drain()
    lead.beat.beat()
    world.submit("t3")
    world.settle(lead, other)
    assert "t3@1" in other.runs
    lead.overseer.finish(running_here)
    world.settle(lead, other, rounds=6)
    assert coordinator(world.view()) == "b"


def test_a_worker_that_is_about_to_leave_does_not_begin_to_coordinate(world: World) -> None:
    member = world.member("a", **LED)
    world.submit("t")
    member.peer.drain()
    world.pass_time(6.0, member)
    assert coordinator(world.view()) is None


def test_a_lock_that_is_torn_leaves_peers_among_peers(world: World) -> None:
    head = world.fleet.head
    torn = {**head.state, "locks/coordinator": b"{"}
    world.fleet.history.append(dataclasses.replace(head, revision=head.revision + 1, state=torn))
    member = world.member("a", **LED)
    world.submit("t")
    world.settle(member)
    assert member.runs == ["t@1"]


def test_each_group_has_a_leader_that_means_tasks_for_its_own(world: World) -> None:
    members = [
        world.member(name, region=region, **GROUPS)
        for name, region in (("a1", "asia"), ("a2", "asia"), ("e1", "europe"), ("e2", "europe"))
    ]
    world.settle(*members)
    view = world.view()
    assert (coordinator(view, "leader.asia"), coordinator(view, "leader.europe")) == ("a1", "e1")
    world.submit(*[f"t{number}" for number in range(8)])
    world.settle(*members)
    assert len(all_runs(*members)) == 8
    assert sum(member.peer.counters.conflicts for member in members) == 0


def test_a_group_whose_leader_is_gone_goes_on_and_finds_another(world: World) -> None:
    lead, *others = [
        world.member(name, region=region, **GROUPS)
        for name, region in (("a1", "asia"), ("a2", "asia"), ("e1", "europe"))
    ]
    world.settle(lead, *others)
    world.submit("t1", "t2", "t3", affinity={"region": "asia"})
    world.pass_time(TIMES.stale + 4.0, *others)
    assert len(others[0].runs) == 2
    assert coordinator(world.view(), "leader.asia") == "a2"


def test_what_waits_for_an_overloaded_worker_is_meant_for_an_idle_one_in_time(world: World) -> None:
    lead = world.member("a", max_tasks=1, rebalance=10.0, claim_grace=100.0, **LED)
    world.settle(lead)
    world.submit("t1", "t2")
    world.settle(lead)
    late = world.member("b", max_tasks=1, rebalance=10.0, claim_grace=100.0, **LED)
    world.pass_time(8.0, lead, late)
    assert late.runs == []
    world.pass_time(4.0, lead, late)
    assert late.runs == ["t2@1"]


def test_a_task_that_runs_never_moves(world: World) -> None:
    lead = world.member("a", max_tasks=2, rebalance=1.0, **LED)
    world.settle(lead)
    world.submit("t1", "t2")
    world.settle(lead)
    late = world.member("b", max_tasks=2, rebalance=1.0, **LED)
    world.pass_time(10.0, lead, late)
    assert (lead.runs, late.runs) == (["t1@1", "t2@1"], [])


# -- orders ------------------------------------------------------------------------------------------


def test_a_cordoned_worker_takes_nothing_and_finishes_what_it_runs(world: World) -> None:
    member = world.member("w")
    world.submit("t1")
    world.settle(member)
    order(world, "w", cordoned=True)
    world.submit("t2")
    world.settle(member)
    assert member.runs == ["t1@1"]
    member.overseer.finish("t1@1")
    world.settle(member)
    assert world.task("t1").state == "done"
    assert member.runs == []


def test_a_worker_that_is_uncordoned_takes_tasks_again(world: World) -> None:
    member = world.member("w")
    order(world, "w", cordoned=True)
    world.submit("t")
    world.settle(member)
    order(world, "w", cordoned=False)
    world.settle(member)
    assert member.runs == ["t@1"]


def test_a_worker_that_is_to_drain_leaves_when_its_work_is_done(world: World) -> None:
    member = world.member("w")
    world.submit("t1")
    world.settle(member)
    order(world, "w", deadline=0.0)
    world.pass_time(60.0, member)
    assert member.runs == ["t1@1"]
    member.overseer.finish("t1@1")
    world.settle(member, rounds=5)
    assert member.peer.left
    assert world.task("t1").state == "done"


def test_a_worker_hands_back_what_still_runs_at_the_deadline_of_its_draining(world: World) -> None:
    member = world.member("w")
    world.submit("t1")
    world.settle(member)
    order(world, "w", deadline=5.0)
    world.pass_time(4.0, member)
    assert member.runs == ["t1@1"]
    world.pass_time(3.0, member)
    assert member.peer.left
    assert (world.task("t1").state, world.task("t1").causes) == ("pending", {"drained": 1})


def test_a_worker_that_was_drained_and_starts_again_is_cordoned_and_stays(world: World) -> None:
    member = world.member("w")
    world.settle(member)
    order(world, "w", deadline=0.0)
    world.settle(member, rounds=5)
    again = world.member("w")
    world.submit("t")
    world.pass_time(3.0, again)
    assert (again.runs, again.peer.left) == ([], False)


def test_a_failed_task_is_tried_again_on_another_worker(world: World) -> None:
    members = [world.member("a"), world.member("b")]
    world.submit("t", retries=2)
    world.settle(*members)
    (first,) = [member for member in members if member.runs]
    first.overseer.finish("t@1", exit_code=1)
    world.pass_time(2.0, *members)
    assert [member.worker for member in members if member.runs] == [
        member.worker for member in members if member is not first
    ]
