"""Claims under a fence: nothing of a dead incarnation, an old epoch or an old run ever lands."""

from __future__ import annotations

import dataclasses

import pytest

from sentinel.fleet import tasks
from sentinel.fleet.view import View
from sentinel.model.task import Ending, Fence, Task
from sentinel.store.base import Committed, Transaction
from tests.unit.builders import FAILED, OK, WALL, Bench, evolve, incarnation, running, task

BACK = Ending(cause="drained", message="its worker is leaving")


@pytest.fixture
def fleet(bench: Bench) -> Bench:
    """Two live workers and a task that waits."""
    bench.join("w1", "inc1")
    bench.join("w2", "inc2")
    bench.put(task())
    return bench


def claim(bench: Bench, *, worker: str = "w1", incarnation: str = "inc1") -> Transaction:
    return tasks.claim(
        bench.change(), bench.stored_task(), worker=worker, incarnation=incarnation, wall=WALL
    )[0]


def end(bench: Bench, fence: Fence | None = None, ending: Ending = OK, view: View | None = None) -> bool:
    """Whether the ending is wanted and lands."""
    transaction = ending_of(bench, fence, ending, view)
    return transaction is not None and bench.lands(transaction)


def ending_of(
    bench: Bench, fence: Fence | None = None, ending: Ending = OK, view: View | None = None
) -> Transaction | None:
    view = view if view is not None else bench.view()
    fence = fence if fence is not None else running().fence()
    return tasks.end(bench.change(view.snapshot), view, fence, ending, wall=WALL)


def free(bench: Bench, by: str = "w2") -> Transaction:
    return tasks.free_orphan(bench.change(), bench.stored_task(), wall=WALL, by=by)


def test_a_claim_of_a_live_incarnation_lands(fleet: Bench) -> None:
    assert fleet.lands(claim(fleet))
    taken = fleet.stored_task()
    assert (taken.state, taken.owner, taken.incarnation, taken.epoch) == ("running", "w1", "inc1", 1)


def test_a_claim_is_a_line_that_a_person_can_follow(fleet: Bench) -> None:
    assert claim(fleet).note == "claim build epoch 1 by w1"


def test_of_many_claims_of_one_task_one_lands(fleet: Bench) -> None:
    batch = [claim(fleet, worker=f"w{n}", incarnation=f"inc{n}") for n in (1, 2, 1, 2)]
    outcomes = [isinstance(outcome, Committed) for outcome in fleet.store.commit(batch)]
    assert (outcomes.count(True), fleet.stored_task().epoch) == (1, 1)


def test_a_claim_bounces_when_its_incarnation_died_after_it_was_decided(fleet: Bench) -> None:
    late = claim(fleet)
    fleet.drop("incarnations/inc1")
    assert not fleet.lands(late)


def test_a_claim_bounces_when_its_incarnation_was_dead_before_it_was_decided(fleet: Bench) -> None:
    fleet.drop("incarnations/inc1")
    assert not fleet.lands(claim(fleet))


def test_a_claim_bounces_when_the_task_was_cancelled_meanwhile(fleet: Bench) -> None:
    late = claim(fleet)
    snapshot = fleet.snapshot()
    fleet.lands(tasks.cancel(fleet.change(snapshot), snapshot, "build", wall=WALL, reason="no")[0])
    assert not fleet.lands(late)


def test_a_claim_bounces_when_the_task_went_through_other_hands_and_waits_again(fleet: Bench) -> None:
    late = claim(fleet)
    fleet.lands(claim(fleet, worker="w2", incarnation="inc2"))
    fence = fleet.stored_task().fence()
    assert end(fleet, fence, BACK)
    assert not fleet.lands(late)


def test_a_task_that_runs_cannot_be_claimed(fleet: Bench) -> None:
    fleet.put(running())
    with pytest.raises(ValueError, match="task build is running and cannot be claimed"):
        claim(fleet, worker="w2", incarnation="inc2")


@pytest.fixture
def at_work(fleet: Bench) -> Bench:
    """A fleet in which `w1` runs the task at epoch 1."""
    assert fleet.lands(claim(fleet))
    return fleet


def test_the_owner_finishes_its_task(at_work: Bench) -> None:
    assert end(at_work)
    assert (at_work.stored_task().state, at_work.stored_task().owner) == ("done", "w1")


@pytest.mark.parametrize(
    ("ending", "state", "note"),
    [
        (OK, "done", "finish build epoch 1 by w1"),
        (FAILED, "failed", "fail build epoch 1 by w1"),
        (BACK, "pending", "hand back build epoch 1 by w1"),
        (Ending(cause="cancelled"), "cancelled", "cancel build epoch 1 by w1"),
    ],
)
def test_each_ending_is_a_line_that_a_person_can_follow(
    at_work: Bench, ending: Ending, state: str, note: str
) -> None:
    transaction = ending_of(at_work, ending=ending)
    assert transaction is not None
    assert (transaction.note, at_work.lands(transaction), at_work.stored_task().state) == (note, True, state)


def test_a_retry_is_a_line_of_its_own(fleet: Bench) -> None:
    fleet.put(running(retries=1))
    transaction = ending_of(fleet, ending=FAILED)
    assert transaction is not None
    assert transaction.note == "requeue build epoch 1 by w1"


@pytest.mark.parametrize(
    "other", [{"epoch": 0}, {"epoch": 2}, {"run": 2}, {"incarnation": "inc2"}, {"task": "gone"}], ids=str
)
def test_an_ending_under_another_fence_is_refused(at_work: Bench, other: dict[str, object]) -> None:
    stale = dataclasses.replace(running().fence(), **other)  # type: ignore[arg-type]  # any field
    assert ending_of(at_work, stale) is None


def test_a_finish_with_an_old_epoch_is_refused_though_the_owner_is_the_same(at_work: Bench) -> None:
    assert end(at_work, ending=BACK)
    at_work.lands(claim(at_work))
    assert (at_work.stored_task().epoch, ending_of(at_work)) == (2, None)


def test_a_finish_of_an_earlier_run_is_refused(at_work: Bench) -> None:
    assert end(at_work, ending=FAILED)
    snapshot = at_work.snapshot()
    at_work.lands(tasks.retry(at_work.change(snapshot), snapshot, "build", wall=WALL, by="ann")[0])
    at_work.lands(claim(at_work))
    assert ending_of(at_work) is None


def test_a_second_finish_is_refused(at_work: Bench) -> None:
    assert [end(at_work), end(at_work)] == [True, False]


def test_of_two_finishes_decided_at_once_one_lands(at_work: Bench) -> None:
    both = [ending_of(at_work, ending=ending) for ending in (OK, FAILED)]
    assert [at_work.lands(transaction) for transaction in both] == [True, False]
    assert [line.event for line in at_work.stored_task().history].count("finished") == 1


def test_a_finish_bounces_when_its_incarnation_died_after_it_was_decided(at_work: Bench) -> None:
    late = ending_of(at_work)
    at_work.drop("incarnations/inc1")
    assert not at_work.lands(late)


def test_a_finish_bounces_when_its_incarnation_was_dead_before_it_was_decided(at_work: Bench) -> None:
    at_work.drop("incarnations/inc1")
    assert not end(at_work)
    assert at_work.stored_task().state == "running"


def test_a_finish_bounces_when_the_task_was_freed_meanwhile(at_work: Bench) -> None:
    late = ending_of(at_work)
    at_work.drop("incarnations/inc1")
    at_work.lands(free(at_work))
    at_work.put(incarnation("inc1"))
    assert not at_work.lands(late)


def test_a_request_to_cancel_that_comes_before_the_finish_makes_it_decide_anew(at_work: Bench) -> None:
    late = ending_of(at_work, ending=FAILED)
    snapshot = at_work.snapshot()
    at_work.lands(tasks.cancel(at_work.change(snapshot), snapshot, "build", wall=WALL, reason="no")[0])
    assert not at_work.lands(late)
    assert end(at_work, ending=FAILED)
    assert at_work.stored_task().state == "cancelled"


# -- orphans -----------------------------------------------------------------------------------------


@pytest.fixture
def orphaned(at_work: Bench) -> Bench:
    """A fleet whose task names an incarnation that is gone."""
    at_work.drop("incarnations/inc1")
    return at_work


def test_an_orphan_is_freed_and_counted_as_lost(orphaned: Bench) -> None:
    assert orphaned.lands(free(orphaned))
    freed = orphaned.stored_task()
    assert (freed.state, freed.epoch, freed.losses, freed.causes) == ("pending", 1, 1, {"lost": 1})


def test_of_many_that_free_an_orphan_one_does(orphaned: Bench) -> None:
    batch = [free(orphaned, by=f"w{n}") for n in range(5)]
    assert [orphaned.lands(transaction) for transaction in batch].count(True) == 1
    assert orphaned.stored_task().losses == 1


def test_a_task_of_a_live_incarnation_cannot_be_freed(at_work: Bench) -> None:
    assert not at_work.lands(free(at_work))


@pytest.mark.parametrize(
    ("orphan", "state", "verb"),
    [
        (running(), "pending", "free"),
        (evolve(running(), cancel_requested="no"), "cancelled", "cancel"),
        (evolve(running(), losses=4), "dead", "bury"),
    ],
    ids=["freed", "cancelled", "dead"],
)
def test_what_becomes_of_an_orphan_shows_in_the_audit(
    orphaned: Bench, orphan: Task, state: str, verb: str
) -> None:
    orphaned.put(orphan)
    transaction = free(orphaned)
    assert (transaction.note, orphaned.lands(transaction), orphaned.stored_task().state) == (
        f"{verb} build epoch 1, lost by w1, by w2",
        True,
        state,
    )


def test_the_history_of_an_orphan_names_the_incarnation_that_is_gone(orphaned: Bench) -> None:
    orphaned.lands(free(orphaned))
    assert orphaned.stored_task().history[-1].note == "incarnation inc1 is gone; freed by w2"


def test_each_epoch_of_a_task_has_one_claim_in_the_true_history(orphaned: Bench) -> None:
    for worker, name in (("w2", "inc2"), ("w2", "inc2")):
        if orphaned.stored_task().state == "running":
            orphaned.drop(f"incarnations/{orphaned.stored_task().incarnation}")
            orphaned.lands(free(orphaned))
            orphaned.put(incarnation(name, worker))
        orphaned.lands(claim(orphaned, worker=worker, incarnation=name))
    notes = [tx.note for commit in orphaned.fleet.history for tx in commit.transactions]
    assert [note for note in notes if note.startswith("claim")] == [
        "claim build epoch 1 by w1",
        "claim build epoch 2 by w2",
        "claim build epoch 3 by w2",
    ]
