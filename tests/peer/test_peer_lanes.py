"""What a peer takes ahead of its slots, and that this holds nobody up."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel.fleet import tasks
from sentinel.peer.lanes import MOST, PATIENCE
from tests.peer.harness import Member, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def practised(world: World, worker: str = "w", *, max_tasks: int = 1) -> Member:
    """A member that has seen tasks end at once, and beats."""
    member = world.member(worker, max_tasks=max_tasks, warm=True)
    world.submit("first")
    world.settle(member)
    member.overseer.finish("first@1")
    world.settle(member)
    return member


def names(count: int) -> list[str]:
    return [f"t{number:03}" for number in range(count)]


def test_a_peer_takes_short_tasks_ahead_of_its_slots(world: World) -> None:
    member = practised(world)
    world.submit(*names(20))
    world.settle(member)
    assert len(member.runs) == 20


def test_what_is_taken_ahead_waits_in_the_lanes_of_the_slots(world: World) -> None:
    member = practised(world, max_tasks=2)
    world.submit(*names(20))
    world.settle(member)
    assert {run.spec.lane for run in member.overseer.runs.values()} == {"0", "1"}


def test_of_what_is_taken_ahead_only_what_runs_is_asked_how_far_it_is(world: World) -> None:
    member = practised(world, max_tasks=2)
    world.submit(*names(20))
    world.settle(member)
    assert [attempt.task for attempt in member.peer.load.attempts] == ["t000", "t001"]
    member.overseer.finish(f"{member.peer.load.attempts[0].task}@1")
    member.peer.tick()
    assert len(member.peer.load.attempts) == 2
    assert "t000" not in [attempt.task for attempt in member.peer.load.attempts]


def test_all_that_ended_is_recorded_and_as_much_is_taken_in_one_commit(world: World) -> None:
    member = practised(world)
    world.submit(*names(MOST + 100))
    world.settle(member, rounds=5)
    assert len(member.runs) == MOST + 1
    for run in member.runs:
        member.overseer.finish(run)
    before = len(member.store.audit(1000))
    member.peer.tick()
    assert len(member.store.audit(1000)) == before + 1
    assert sum(task.state == "pending" for task in world.view().tasks.values()) == 0


def test_a_task_of_a_type_that_was_never_seen_is_not_taken_ahead(world: World) -> None:
    member = world.member("w", max_tasks=1, warm=True)
    world.submit(*names(5))
    world.settle(member)
    assert len(member.runs) == 1


def test_tasks_with_a_process_of_their_own_are_not_taken_ahead(world: World) -> None:
    member = world.member("w", max_tasks=1)
    for name in names(5):
        world.submit(name)
        world.settle(member)
        member.overseer.finish(f"{name}@1")
    world.settle(member)
    world.submit(*("a", "b", "c"))
    world.settle(member)
    assert len(member.runs) == 1


def test_a_long_task_does_not_hold_up_what_was_taken_behind_it_while_others_are_idle(world: World) -> None:
    busy = practised(world)
    world.submit(*names(10))
    world.settle(busy)
    assert len(busy.runs) == 10
    idle = world.member("idle", warm=True, max_tasks=100)
    world.pass_time(PATIENCE + 2.0, busy, idle)
    assert len(busy.runs) == 1
    assert len(idle.runs) == 9


def test_what_is_given_back_from_behind_a_long_task_costs_it_nothing(world: World) -> None:
    member = practised(world)
    world.submit(*names(2), retries=1)
    world.settle(member)
    world.pass_time(PATIENCE + 1.0, member)
    task = world.task("t001")
    assert (task.state, task.retries_left, task.losses) == ("pending", 1, 0)


def test_what_waits_behind_a_long_task_goes_into_a_slot_that_is_free(world: World) -> None:
    member = practised(world, max_tasks=2)
    world.submit(*names(4))
    world.settle(member)
    (other,) = [name for name, run in member.overseer.runs.items() if run.spec.lane == "1"][:1]
    for name, run in list(member.overseer.runs.items()):
        if run.spec.lane == "1":
            member.overseer.finish(name)
    world.pass_time(PATIENCE + 0.5, member)
    assert {run.spec.lane for run in member.overseer.runs.values()} == {"0", "1"}
    assert other not in member.runs


def test_a_task_that_waits_in_a_lane_can_be_cancelled(world: World) -> None:
    member = practised(world)
    world.submit(*names(3))
    world.settle(member)
    world.change(tasks.cancel, "t002", reason="not wanted")
    world.settle(member)
    assert world.task("t002").state == "cancelled"
    assert world.task("t000").state == "running"
