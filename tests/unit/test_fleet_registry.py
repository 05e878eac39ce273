"""Joining and leaving: who may speak for a worker id, and what goes with the last transaction."""

from __future__ import annotations

import dataclasses

import pytest

from sentinel.errors import Conflict, NotFound
from sentinel.fleet import registry
from sentinel.model.task import Ending, Fence
from sentinel.store.base import Committed, Snapshot, Transaction
from tests.unit.builders import (
    OK,
    WALL,
    Bench,
    evolve,
    held_lock,
    incarnation,
    running,
    worker,
)

BACK = Ending(cause="drained", message="its worker is leaving")


def join(bench: Bench, name: str, snapshot: Snapshot | None = None, **fields: object) -> Transaction:
    snapshot = snapshot if snapshot is not None else bench.snapshot()
    new = dataclasses.replace(worker(incarnation="none-yet"), **fields)  # type: ignore[arg-type]  # any fields
    return registry.join(bench.change(snapshot), snapshot, new, incarnation(name))


def speaks(bench: Bench) -> str | None:
    return registry.predecessor(bench.snapshot(), "w1")


def test_a_join_makes_worker_and_incarnation_live(bench: Bench) -> None:
    assert bench.lands(join(bench, "inc1"))
    assert (speaks(bench), bench.view().live("inc1")) == ("inc1", True)


def test_a_registration_names_the_incarnation_that_made_it(bench: Bench) -> None:
    bench.commit(join(bench, "inc1"))
    assert bench.view().workers["w1"].incarnation == "inc1"


def test_a_second_start_is_the_next_revision_of_the_registration(bench: Bench) -> None:
    bench.commit(join(bench, "inc1"))
    bench.drop("incarnations/inc1")
    bench.commit(join(bench, "inc2", max_tasks=7))
    again = bench.view().workers["w1"]
    assert (again.incarnation, again.max_tasks, again.rev) == ("inc2", 7, 2)


def test_a_second_start_keeps_what_a_later_version_added(bench: Bench) -> None:
    bench.put(worker(extra={"paid_until": "2027"}))
    bench.commit(join(bench, "inc2"))
    assert bench.document("workers/w1")["paid_until"] == "2027"


def test_a_cordon_stays_through_a_restart(bench: Bench) -> None:
    bench.put(worker(cordoned=True))
    bench.commit(join(bench, "inc2"))
    assert bench.document("workers/w1")["cordoned"] is True


def test_an_order_to_drain_is_for_the_incarnation_that_got_it(bench: Bench) -> None:
    bench.put(worker(drain="inc1", drain_deadline=60.0))
    bench.commit(join(bench, "inc2"))
    assert bench.document("workers/w1")["drain"] is None


def test_of_two_that_join_at_once_one_wins(bench: Bench) -> None:
    snapshot = bench.snapshot()
    batch = [join(bench, "inc1", snapshot), join(bench, "inc2", snapshot)]
    assert [isinstance(outcome, Committed) for outcome in bench.store.commit(batch)] == [True, False]


def test_of_two_that_join_at_once_over_a_dead_predecessor_one_wins(bench: Bench) -> None:
    bench.put(worker())
    snapshot = bench.snapshot()
    assert [bench.lands(join(bench, name, snapshot)) for name in ("inc2", "inc3")] == [True, False]


def test_nobody_can_join_over_a_live_predecessor(bench: Bench) -> None:
    bench.join()
    assert not bench.lands(join(bench, "inc2"))


def test_nobody_can_join_over_a_predecessor_that_became_live_meanwhile(bench: Bench) -> None:
    bench.put(worker())
    late = join(bench, "inc2")
    bench.put(incarnation("inc1"))
    assert not bench.lands(late)


def test_an_incarnation_cannot_join_twice(bench: Bench) -> None:
    bench.commit(join(bench, "inc1"))
    again = dataclasses.replace(worker("w2"), incarnation="none-yet")
    snapshot = bench.snapshot()
    assert not bench.lands(registry.join(bench.change(snapshot), snapshot, again, incarnation("inc1", "w2")))


def test_workers_of_other_ids_do_not_mind(bench: Bench) -> None:
    bench.join("w2", "inc2")
    assert bench.lands(join(bench, "inc1"))


def test_over_a_registration_that_cannot_be_read_one_can_join(bench: Bench) -> None:
    bench.tear("workers/w1")
    assert bench.lands(join(bench, "inc1"))
    assert speaks(bench) == "inc1"


def test_a_live_predecessor_is_found_even_if_its_registration_cannot_be_read(bench: Bench) -> None:
    bench.join("w1", "inc1")
    bench.tear("workers/w1")
    assert (speaks(bench), bench.lands(join(bench, "inc2"))) == ("inc1", False)


def test_a_lock_session_with_the_label_of_a_worker_is_no_predecessor(bench: Bench) -> None:
    bench.tear("workers/w1")
    bench.put(incarnation("inc9", "w1", kind="lock"))
    assert speaks(bench) is None


def test_nobody_speaks_for_a_worker_whose_incarnation_is_gone(bench: Bench) -> None:
    bench.put(worker())
    assert speaks(bench) is None


def test_nobody_speaks_for_an_id_that_is_not_registered(bench: Bench) -> None:
    bench.put(incarnation())
    assert speaks(bench) is None


def test_an_unreadable_incarnation_speaks_for_its_worker(bench: Bench) -> None:
    bench.put(worker())
    bench.tear("incarnations/inc1")
    assert speaks(bench) == "inc1"


def test_a_host_name_cannot_break_the_line_of_the_audit(bench: Bench) -> None:
    note = join(bench, "inc1", hostname="evil\nhost \x1b[2J").note
    assert note == "join w1 on evilhost\N{REPLACEMENT CHARACTER}[2J as inc1"


def test_a_lock_session_becomes_live_without_a_worker(bench: Bench) -> None:
    entered = incarnation("inc1", "alice", kind="lock")
    assert bench.lands(registry.enter(bench.change(), entered))
    view = bench.view()
    assert (view.live("inc1"), dict(view.workers)) == (True, {})


def test_a_lock_session_cannot_enter_twice(bench: Bench) -> None:
    bench.put(incarnation("inc1"))
    assert not bench.lands(registry.enter(bench.change(), incarnation("inc1")))


# -- leaving -----------------------------------------------------------------------------------------


@pytest.fixture
def two_tasks(bench: Bench) -> Bench:
    bench.join()
    bench.put(running("one"), running("two"), held_lock(incarnation="inc1"))
    return bench


def fence(name: str, **fields: object) -> Fence:
    return dataclasses.replace(running(name).fence(), **fields)  # type: ignore[arg-type]  # any fields


def leave(bench: Bench, *endings: tuple[Fence, Ending], forget: bool = False) -> Transaction:
    view = bench.view()
    return registry.leave(
        bench.change(view.snapshot), view, incarnation(), endings or _all_back(), wall=WALL, forget=forget
    )


def _all_back() -> tuple[tuple[Fence, Ending], ...]:
    return ((fence("one"), OK), (fence("two"), BACK))


def states(bench: Bench) -> tuple[str, str]:
    return bench.stored_task("one").state, bench.stored_task("two").state


def test_who_leaves_is_gone_with_all_that_it_held(two_tasks: Bench) -> None:
    assert two_tasks.lands(leave(two_tasks))
    view = two_tasks.view()
    assert (view.live("inc1"), states(two_tasks), view.locks["deploy"].held) == (
        False,
        ("done", "pending"),
        False,
    )


def test_work_that_is_handed_back_is_not_lost(two_tasks: Bench) -> None:
    two_tasks.commit(leave(two_tasks))
    back = two_tasks.stored_task("two")
    assert (back.losses, back.causes, back.history[-1].event) == (0, {"drained": 1}, "requeued")


@pytest.mark.parametrize("moved", ["one", "two"])
def test_leaving_is_all_or_nothing(two_tasks: Bench, moved: str) -> None:
    leaving = leave(two_tasks)
    two_tasks.put(evolve(running(moved), cancel_requested="no"))
    assert not two_tasks.lands(leaving)
    assert (states(two_tasks), two_tasks.view().live("inc1")) == (("running", "running"), True)


STALE_FENCES = [{"epoch": 2}, {"run": 2}, {"incarnation": "inc2"}]


@pytest.mark.parametrize("stale", STALE_FENCES, ids=str)
def test_an_ending_of_a_claim_that_is_not_in_force_is_left_out(
    two_tasks: Bench, stale: dict[str, object]
) -> None:
    assert two_tasks.lands(leave(two_tasks, (fence("one", **stale), OK), (fence("two"), OK)))
    assert states(two_tasks) == ("running", "done")


def test_an_ending_of_a_task_that_is_gone_is_left_out(two_tasks: Bench) -> None:
    assert two_tasks.lands(leave(two_tasks, (fence("gone"), OK)))


def test_locks_of_others_stay_held(two_tasks: Bench) -> None:
    two_tasks.put(dataclasses.replace(held_lock(incarnation="inc2"), name="theirs"))
    two_tasks.commit(leave(two_tasks))
    assert two_tasks.view().locks["theirs"].held


def test_the_registration_stays_for_the_next_start(two_tasks: Bench) -> None:
    two_tasks.commit(leave(two_tasks))
    assert set(two_tasks.view().workers) == {"w1"}


def test_the_registration_goes_with_one_that_wants_to_be_forgotten(two_tasks: Bench) -> None:
    assert two_tasks.lands(leave(two_tasks, forget=True))
    assert dict(two_tasks.view().workers) == {}


def test_who_was_failed_over_meanwhile_cannot_leave_with_results(two_tasks: Bench) -> None:
    leaving = leave(two_tasks)
    two_tasks.drop("incarnations/inc1")
    assert not two_tasks.lands(leaving)


def test_who_was_failed_over_before_it_looked_cannot_leave_with_results(two_tasks: Bench) -> None:
    two_tasks.drop("incarnations/inc1")
    assert not two_tasks.lands(leave(two_tasks))
    assert states(two_tasks) == ("running", "running")


# -- removing ----------------------------------------------------------------------------------------


def remove(bench: Bench) -> Transaction:
    return registry.remove(bench.change(), bench.snapshot(), "w1")


def test_a_worker_that_is_not_live_can_be_removed(bench: Bench) -> None:
    bench.put(worker())
    assert bench.lands(remove(bench))
    assert dict(bench.view().workers) == {}


def test_a_live_worker_cannot_be_removed(bench: Bench) -> None:
    bench.join()
    with pytest.raises(Conflict, match=r"w1 is live on host-of-w1 \(incarnation inc1\); stop it first"):
        remove(bench)


def test_a_live_worker_with_an_unreadable_registration_cannot_be_removed(bench: Bench) -> None:
    bench.join()
    bench.tear("workers/w1")
    with pytest.raises(Conflict, match=r"w1 is live \(incarnation inc1\)"):
        remove(bench)


def test_an_unreadable_registration_can_be_removed(bench: Bench) -> None:
    bench.tear("workers/w1")
    assert bench.lands(remove(bench))


def test_a_worker_that_came_back_meanwhile_is_not_removed(bench: Bench) -> None:
    bench.put(worker())
    removal = remove(bench)
    bench.put(incarnation())
    assert not bench.lands(removal)


def test_a_worker_that_does_not_exist_is_not_found(bench: Bench) -> None:
    with pytest.raises(NotFound, match="there is no worker 'w1'"):
        remove(bench)
