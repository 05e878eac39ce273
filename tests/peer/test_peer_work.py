"""What one or several peers do with tasks, step by step."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from sentinel.errors import WorkerIdInUse
from sentinel.fleet import failover, tasks
from sentinel.fleet.balancers.rendezvous import lot
from sentinel.model.codec import MAX_DOCUMENT_BYTES, encode_document
from sentinel.model.layout import session_register
from sentinel.model.worker import Session
from sentinel.peer.peer import Phase
from sentinel.store.base import Committed, Outcome, Transaction
from sentinel.store.memory import Commit, MemoryStore
from sentinel.testing.faults import Fault, FaultyStore
from tests.peer.harness import TIMES, Member, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_task_is_claimed_started_and_recorded(world: World) -> None:
    member = world.member("w")
    world.submit("t")
    world.settle(member)
    assert member.runs == ["t@1"]
    member.overseer.finish("t@1", result={"answer": 42})
    world.settle(member)
    task = world.task("t")
    assert (task.state, task.result, task.owner) == ("done", {"answer": 42}, "w")
    assert [event.event for event in task.history] == ["submitted", "claimed", "finished"]


def test_a_peer_starts_no_more_than_its_slots(world: World) -> None:
    member = world.member("w", max_tasks=2)
    world.submit("t1", "t2", "t3", "t4")
    world.settle(member)
    assert len(member.runs) == 2
    assert sum(task.state == "running" for task in world.view().tasks.values()) == 2


def test_the_most_urgent_task_is_taken_first_and_then_the_oldest(world: World) -> None:
    member = world.member("w", max_tasks=1)
    world.submit("old")
    world.submit("older-low", priority="low")
    world.submit("new-high", priority="high")
    order = []
    for _ in range(3):
        world.settle(member)
        (run,) = member.runs
        order.append(run.partition("@")[0])
        member.overseer.finish(run)
    assert order == ["new-high", "old", "older-low"]


def test_two_peers_share_the_work_without_conflicts(world: World) -> None:
    first, second = world.member("a", max_tasks=4), world.member("b", max_tasks=4)
    world.submit(*[f"t{number}" for number in range(6)])
    world.settle(first, second)
    assert len(first.runs) == len(second.runs) == 3
    assert first.peer.counters.conflicts == second.peer.counters.conflicts == 0


def test_a_task_that_its_assignee_does_not_claim_is_taken_by_another(world: World) -> None:
    slow, quick = world.member("a", max_tasks=1), world.member("b", max_tasks=1)
    name = next(f"t{number}" for number in range(99) if lot(f"t{number}", "a") > lot(f"t{number}", "b"))
    world.submit(name)
    quick.peer.tick()
    assert quick.runs == []
    world.clock.advance(2.0)
    slow.beat.beat()
    quick.peer.tick()
    assert quick.runs == [f"{name}@1"]


def test_an_automatic_retry_waits_for_its_backoff(world: World) -> None:
    member = world.member("w")
    world.submit("t", retries=1, retries_left=1)
    world.settle(member)
    member.overseer.finish("t@1", exit_code=1)
    world.settle(member)
    assert member.runs == []
    world.pass_time(1.5, member)
    assert member.runs == ["t@2"]
    assert world.task("t").causes == {"error": 1}


def test_backoff_does_not_depend_on_the_wall_clock(world: World) -> None:
    member = world.member("w")
    world.submit("t", retries=1)
    world.settle(member)
    member.overseer.finish("t@1", exit_code=1)
    world.settle(member)
    world.clock.wall_offset -= 7200
    world.pass_time(1.5, member)
    assert member.runs == ["t@2"]


def test_a_running_task_that_is_cancelled_is_stopped_by_its_owner(world: World) -> None:
    member = world.member("w")
    world.submit("t")
    world.settle(member)
    world.change(tasks.cancel, "t", reason="no longer wanted")
    world.settle(member)
    assert member.runs == []
    assert world.task("t").state == "cancelled"
    assert world.task("t").reason == "no longer wanted"


def test_draining_takes_nothing_new_and_leaves_when_the_last_task_ended(world: World) -> None:
    member = world.member("w", max_tasks=1)
    world.submit("t", "u")
    world.settle(member)
    (run,) = member.runs
    member.peer.drain()
    world.pass_time(20.0, member)
    assert member.peer.phase.value == "draining"
    member.overseer.finish(run)
    world.settle(member, rounds=5)
    assert member.peer.phase is Phase.GONE
    assert world.view().incarnations == {}
    assert sorted(task.state for task in world.view().tasks.values()) == ["pending"]


def test_ending_at_once_hands_everything_back_at_no_cost(world: World) -> None:
    member = world.member("w")
    world.submit("t", retries=1)
    world.settle(member)
    member.peer.end()
    world.settle(member)
    task = world.task("t")
    assert member.peer.phase is Phase.GONE
    assert (task.state, task.retries_left, task.losses) == ("pending", 1, 0)
    assert task.causes == {"drained": 1}


def test_a_second_worker_of_the_same_id_is_refused_while_the_first_beats(world: World) -> None:
    first = world.member("w")
    second = Member(world, "w")
    assert second.admission.attempt() is False
    world.clock.advance(1.0)
    first.beat.beat()
    with pytest.raises(WorkerIdInUse, match="host-of-w"):
        second.admission.attempt()


def test_a_worker_joins_over_its_silent_predecessor_only_after_w(world: World) -> None:
    world.member("w")
    second = Member(world, "w")
    joined_after = None
    for step in range(40):
        if second.admission.attempt():
            joined_after = step * 0.5
            break
        world.clock.advance(0.5)
    assert joined_after is not None
    assert TIMES.stale <= joined_after <= TIMES.stale + 1.0


def test_a_claim_whose_reply_was_lost_is_recognised_and_started_once(world: World) -> None:
    store = FaultyStore(MemoryStore(world.fleet))
    member = world.member("w", store=store)
    world.submit("t")
    store.inject("commit", Fault.REPLY_LOST)
    member.peer.tick()
    assert member.runs == []
    world.settle(member)
    assert member.runs == ["t@1"]
    assert world.task("t").epoch == 1


def test_a_finish_whose_reply_was_lost_is_recorded_once(world: World) -> None:
    store = FaultyStore(MemoryStore(world.fleet))
    member = world.member("w", store=store)
    world.submit("t")
    world.settle(member)
    member.overseer.finish("t@1", result=1)
    store.inject("commit", Fault.REPLY_LOST)
    world.settle(member)
    assert [event.event for event in world.task("t").history].count("finished") == 1
    assert member.peer.counters.stale_results == 0


def test_a_result_waits_out_a_store_that_is_away_for_a_moment(world: World) -> None:
    store = FaultyStore(MemoryStore(world.fleet))
    member = world.member("w", store=store)
    world.submit("t")
    world.settle(member)
    member.overseer.finish("t@1", result=1)
    store.inject("read", Fault.UNAVAILABLE, times=2)
    member.peer.tick()
    member.peer.tick()
    assert world.task("t").state == "running"
    world.settle(member)
    assert world.task("t").state == "done"


def test_a_task_that_takes_workers_down_runs_alone_and_then_is_dead(world: World) -> None:
    survivor = world.member("survivor", types=("other",))
    world.submit("killer", "bystander")
    companions = []
    for number in range(5):
        victim = world.member(f"victim-{number}", max_tasks=4)
        world.settle(victim)
        companions.append(len(victim.runs))
        world.pass_time(TIMES.stale + 1.5, survivor)
    task = world.task("killer")
    assert task.state == "dead"
    assert task.losses == 5
    assert "victim-4" in (task.reason or "")
    assert companions[:3] == [2, 2, 2]
    assert max(companions[3:]) == 1


def test_a_dependent_waits_and_is_cancelled_when_its_dependency_fails(world: World) -> None:
    member = world.member("w")
    world.submit("first")
    world.submit("second", after=("first",))
    world.settle(member)
    assert member.runs == ["first@1"]
    member.overseer.finish("first@1", exit_code=3)
    world.settle(member)
    assert world.task("second").state == "cancelled"
    assert "first" in (world.task("second").reason or "")


def test_unreadable_records_do_not_stop_the_rest(world: World) -> None:
    member = world.member("w")
    world.fleet.head.state["tasks/torn"] = b"{"  # type: ignore[index]  # planted behind the store's back
    world.fleet.head.state["tasks/future"] = b'{"format": 99}'  # type: ignore[index]  # likewise
    world.submit("t")
    world.settle(member)
    assert member.runs == ["t@1"]


def test_abandoned_registers_are_swept(world: World) -> None:
    gone = world.member("gone")
    survivor = world.member("survivor")
    assert len(world.fleet.registers) == 2
    gone.peer.end()
    world.settle(gone)
    world.pass_time(TIMES.stale - 0.5, survivor)
    assert len(world.fleet.registers) == 2
    world.pass_time(1.5, survivor)
    assert len(world.fleet.registers) == 1


def test_the_register_of_one_who_has_just_joined_is_left_alone_by_a_peer_that_reads_old_documents(
    world: World,
) -> None:
    store = FaultyStore(MemoryStore(world.fleet))
    behind = world.member("behind", store=store)
    behind.peer.tick()
    fresh = world.member("fresh")
    store.inject("read", Fault.STALE, times=3)
    world.settle(behind)
    assert session_register(fresh.incarnation.id) in world.fleet.registers


def test_a_result_whose_task_record_became_unreadable_is_dropped_and_the_peer_goes_on(world: World) -> None:
    member = world.member("w")
    world.submit("t", "u")
    world.settle(member)
    head = world.fleet.head
    world.fleet.history.append(Commit(head.revision + 1, (), {**head.state, "tasks/t": b"{"}))
    world.submit("v")
    member.overseer.finish("t@1")
    member.overseer.finish("u@1")
    world.settle(member)
    assert member.peer.counters.stale_results == 1
    assert world.task("u").state == "done"


def test_a_predecessor_that_others_are_failing_over_is_not_taken_for_alive(world: World) -> None:
    old = world.member("w")
    second = Member(world, "w")
    assert second.admission.attempt() is False
    # Another peer seals the session, and its burial is still on the way.
    other = world.member("other")
    world.clock.advance(TIMES.stale + 1)
    name = session_register(old.incarnation.id)
    sealed = Session(
        incarnation=old.incarnation.id, worker="w", seq=1, interval=1, ttl=5, sent_at="", sealed_by="other"
    )
    version = other.store.published()[name].version
    assert isinstance(other.store.publish(name, sealed.document(), version), Committed)
    burial = failover.bury(
        other.transactor.change(other.store.read()),
        failover.Suspect(
            incarnation=old.incarnation.id, worker="w", version=version, session=None, ground="silent"
        ),
        by="other",
    )
    second.admission._transactor = dataclasses.replace(
        second.transactor, store=Overtaken(world, lambda: other.store.commit([burial]))
    )
    assert second.admission.attempt() is False
    assert second.admission.attempt()


class Overtaken(MemoryStore):
    """A client whose first commit is overtaken by somebody else's."""

    def __init__(self, world: World, first: Callable[[], object]) -> None:
        super().__init__(world.fleet)
        self._first: Callable[[], object] | None = first

    def commit(self, transactions: Sequence[Transaction]) -> list[Outcome]:
        first, self._first = self._first, None
        if first is not None:
            first()
        return super().commit(transactions)


@pytest.mark.parametrize("left", [{"error": "x"}, {"error": ["x"]}, ["x"], "x"])
def test_whatever_a_task_leaves_as_its_result_does_not_end_the_daemon(world: World, left: object) -> None:
    member = world.member("w")
    world.submit("t")
    world.settle(member)
    member.overseer.finish("t@1", exit_code=1)
    (world.folder / "t-1.json").write_text(json.dumps(left))
    world.settle(member)
    assert world.task("t").state == "failed"


def test_a_record_with_an_absurd_epoch_is_left_out_and_the_rest_goes_on(world: World) -> None:
    member = world.member("w")
    world.submit("t")
    planted = {**world.task("t").document(), "format": 1, "id": "huge", "epoch": 10**4299}
    world.fleet.head.state["tasks/huge"] = json.dumps(planted).encode()  # type: ignore[index]  # planted
    world.submit("u")
    world.settle(member)
    assert member.runs == ["t@1", "u@1"]
    assert [problem.key for problem in world.view().problems] == ["tasks/huge"]


def test_a_task_whose_claim_the_store_refuses_does_not_keep_others_from_running(world: World) -> None:
    member = world.member("w", max_tasks=1)
    world.submit("t", priority="critical")
    padded = {**world.task("t").document(), "format": 1, "later": ""}
    padded["later"] = "x" * (MAX_DOCUMENT_BYTES - len(encode_document(padded)))
    world.fleet.head.state["tasks/t"] = encode_document(padded)  # type: ignore[index]  # planted
    world.submit("u")
    world.settle(member)
    assert member.runs == ["u@1"]


def test_a_worker_is_not_out_of_work_before_it_has_looked_at_what_it_made(world: World) -> None:
    member = world.member("w")
    world.submit("first")
    world.submit("second", after=("first",))
    world.settle(member)
    member.overseer.finish("first@1")
    member.peer.tick()
    assert member.peer.out_of_work is False
    world.settle(member)
    assert member.runs == ["second@1"]


def test_a_fenced_peer_sends_no_claim_again(world: World) -> None:
    store = FaultyStore(MemoryStore(world.fleet))
    member = world.member("w", store=store)
    world.submit("t")
    store.inject("commit", Fault.DELAYED)
    member.peer.tick()
    member.lease.fence("the test wants it")
    world.settle(member)
    assert member.peer.phase is Phase.GONE
    assert [event.event for event in world.task("t").history] == ["submitted"]
    store.release()
    assert [event.event for event in world.task("t").history] == ["submitted"]


def test_what_is_in_doubt_stays_in_doubt_while_the_store_is_away(world: World) -> None:
    store = FaultyStore(MemoryStore(world.fleet))
    member = world.member("w", store=store)
    world.submit("t")
    world.settle(member)
    member.overseer.finish("t@1", result=1)
    store.inject("commit", Fault.REPLY_LOST)
    member.peer.tick()
    store.inject("commit", Fault.UNAVAILABLE)
    world.settle(member)
    assert (member.peer.counters.ended, member.peer.counters.stale_results) == (1, 0)
