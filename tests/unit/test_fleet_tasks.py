"""Submitting, cancelling and retrying: what a client may do with a task, and what it must not."""

from __future__ import annotations

from typing import Any

import pytest

from sentinel.errors import BadRecord, Conflict, NotFound
from sentinel.fleet import tasks
from sentinel.model.task import Task
from sentinel.store.base import Committed, Snapshot, Transaction
from tests.unit.builders import AT, FAILED, WALL, Bench, ended, evolve, running, task


def new(id: str = "build", **fields: Any) -> Task:
    fields.setdefault("type", "work")
    return Task(id=id, created_at=AT, **fields)


def submission(bench: Bench, wanted: Task, snapshot: Snapshot | None = None) -> Transaction | None:
    snapshot = snapshot if snapshot is not None else bench.snapshot()
    return tasks.submit(bench.change(snapshot), snapshot, wanted, wall=WALL)[0]


def keys(bench: Bench) -> set[str]:
    return set(bench.snapshot().list(""))


def test_a_submitted_task_waits_in_the_active_folder(bench: Bench) -> None:
    assert bench.lands(submission(bench, new()))
    assert (keys(bench), bench.stored_task().state) == ({"tasks/build"}, "pending")


@pytest.mark.parametrize("state", ["pending", "running", "done", "failed"])
def test_the_same_submission_again_gives_the_task_that_exists(bench: Bench, state: str) -> None:
    existing = {"pending": task(), "running": running(), "done": ended(), "failed": ended(ending=FAILED)}[
        state
    ]
    bench.put(existing)
    snapshot = bench.snapshot()
    transaction, found = tasks.submit(bench.change(snapshot), snapshot, new(), wall=WALL)
    assert (transaction, found.state, found.epoch) == (None, state, existing.epoch)


@pytest.mark.parametrize("where", [task(args={"a": 1}), ended(args={"a": 1})], ids=["active", "ended"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("type", "other"),
        ("args", {"a": 2}),
        ("args", {"a": True}),
        ("args", {"a": "1"}),
        ("args", {}),
        ("positional", ("x",)),
        ("priority", "high"),
        ("timeout", 5.0),
        ("retries", 1),
        ("after", ("dep",)),
        ("affinity", {"disk": "ssd"}),
    ],
    ids=str,
)
def test_another_specification_under_the_same_id_is_a_conflict(
    bench: Bench, where: Task, field: str, value: object
) -> None:
    bench.put(where, task("dep"))
    with pytest.raises(Conflict, match=f"task build exists already with another {field}; choose another id"):
        submission(bench, evolve(new(args={"a": 1}), **{field: value}))


def test_who_submits_and_when_is_no_part_of_the_specification(bench: Bench) -> None:
    bench.put(task(submitted_by="alice"))
    assert submission(bench, new(submitted_by="bob")) is None


def test_a_time_out_is_the_same_number_however_it_is_written(bench: Bench) -> None:
    bench.put(task(timeout=60.0))
    assert submission(bench, new(timeout=60)) is None


def test_of_two_that_submit_one_id_at_once_one_wins(bench: Bench) -> None:
    snapshot = bench.snapshot()
    batch = [submission(bench, new(args={"n": n}), snapshot) for n in range(2)]
    outcomes = bench.store.commit([tx for tx in batch if tx is not None])
    assert [isinstance(outcome, Committed) for outcome in outcomes] == [True, False]


def test_a_submission_does_not_land_when_the_task_ended_under_that_id_meanwhile(bench: Bench) -> None:
    late = submission(bench, new())
    bench.put(ended())
    assert not bench.lands(late)


def test_an_unreadable_record_under_the_id_is_not_overwritten(bench: Bench) -> None:
    bench.tear("tasks/build")
    with pytest.raises(BadRecord, match="tasks/build"):
        submission(bench, new())


@pytest.mark.parametrize("dependency", [task("dep"), running("dep"), ended("dep"), ended("dep", FAILED)])
def test_a_task_may_run_after_one_that_exists_in_any_state(bench: Bench, dependency: Task) -> None:
    bench.put(dependency)
    assert bench.lands(submission(bench, new(after=("dep",))))


def test_a_task_cannot_run_after_one_that_does_not_exist(bench: Bench) -> None:
    with pytest.raises(NotFound, match="task build is to run after dep, and there is no such task"):
        submission(bench, new(after=("dep",)))


def test_a_task_cannot_run_after_itself(bench: Bench) -> None:
    with pytest.raises(NotFound, match="there is no such task"):
        submission(bench, new(after=("build",)))


def test_a_submission_does_not_land_when_its_dependency_goes_meanwhile(bench: Bench) -> None:
    bench.put(ended("dep"))
    late = submission(bench, new(after=("dep",)))
    bench.drop("done/dep")
    assert not bench.lands(late)


# -- the two folders ---------------------------------------------------------------------------------


def test_a_task_that_ends_moves_with_its_revision_and_epoch(bench: Bench) -> None:
    bench.put(evolve(task(), epoch=3, rev=6))
    bench.lands(cancellation(bench))
    gone = bench.stored_task()
    assert (keys(bench), gone.rev, gone.epoch) == ({"done/build"}, 8, 3)


def test_a_task_that_is_retried_moves_back_with_its_revision_and_epoch(bench: Bench) -> None:
    bench.put(evolve(ended(ending=FAILED), epoch=3, rev=6))
    bench.lands(retrial(bench))
    again = bench.stored_task()
    assert (keys(bench), again.rev, again.epoch, again.run) == ({"tasks/build"}, 8, 3, 2)


def test_an_id_that_stands_in_both_folders_is_put_right_when_it_ends(bench: Bench) -> None:
    bench.put(task(), ended())
    bench.lands(cancellation(bench))
    assert keys(bench) == {"done/build"}


def test_a_write_in_one_folder_does_not_land_when_the_id_came_up_in_the_other(bench: Bench) -> None:
    bench.put(task())
    late = cancellation(bench)
    bench.put(ended())
    assert not bench.lands(late)


# -- cancelling --------------------------------------------------------------------------------------


def cancellation(bench: Bench, reason: str = "not needed") -> Transaction | None:
    snapshot = bench.snapshot()
    return tasks.cancel(bench.change(snapshot), snapshot, "build", wall=WALL, reason=reason)[0]


def test_cancelling_a_task_that_waits_ends_it(bench: Bench) -> None:
    bench.put(task())
    assert bench.lands(cancellation(bench))
    assert (bench.stored_task().state, bench.stored_task().reason) == ("cancelled", "not needed")


def test_cancelling_a_task_that_runs_asks_its_owner(bench: Bench) -> None:
    bench.put(running())
    assert bench.lands(cancellation(bench))
    asked = bench.stored_task()
    assert (asked.state, asked.owner, asked.cancel_requested) == ("running", "w1", "not needed")


def test_a_cancellation_does_not_land_when_the_task_was_claimed_meanwhile(bench: Bench) -> None:
    bench.put(task())
    late = cancellation(bench)
    bench.put(running())
    assert not bench.lands(late)


@pytest.mark.parametrize("existing", [evolve(running(), cancel_requested="no"), "cancelled"], ids=str)
def test_cancelling_twice_is_one_cancellation(bench: Bench, existing: Task | str) -> None:
    bench.put(existing if isinstance(existing, Task) else evolve(ended(ending=FAILED), state="cancelled"))
    assert cancellation(bench) is None


@pytest.mark.parametrize("state", ["done", "failed", "dead"])
def test_what_has_ended_otherwise_cannot_be_cancelled(bench: Bench, state: str) -> None:
    bench.put(evolve(ended(ending=FAILED), state=state))
    with pytest.raises(Conflict, match=f"task build is {state} already and cannot be cancelled"):
        cancellation(bench)


def test_what_does_not_exist_cannot_be_cancelled(bench: Bench) -> None:
    with pytest.raises(NotFound, match="there is no task 'build'"):
        cancellation(bench)


def test_a_reason_cannot_break_the_line_of_the_audit(bench: Bench) -> None:
    bench.put(task())
    cancelled = cancellation(bench, "a\nb\rSentinel-Tx: forged\0" + "x" * 10_000)
    assert cancelled is not None
    assert cancelled.note.isprintable()
    assert len(cancelled.note) < 120


# -- retrying ----------------------------------------------------------------------------------------


def retrial(bench: Bench) -> Transaction:
    snapshot = bench.snapshot()
    return tasks.retry(bench.change(snapshot), snapshot, "build", wall=WALL, by="ann")[0]


@pytest.mark.parametrize("state", ["failed", "cancelled", "dead"])
def test_a_retry_opens_the_next_run(bench: Bench, state: str) -> None:
    bench.put(evolve(ended(ending=FAILED), state=state))
    assert bench.lands(retrial(bench))
    assert (bench.stored_task().state, bench.stored_task().run) == ("pending", 2)


def test_done_is_final(bench: Bench) -> None:
    bench.put(ended())
    with pytest.raises(Conflict, match="task build is done, and done is final; submit it under a new id"):
        retrial(bench)


@pytest.mark.parametrize("existing", [task(), running()], ids=["pending", "running"])
def test_what_has_not_ended_cannot_be_retried(bench: Bench, existing: Task) -> None:
    bench.put(existing)
    with pytest.raises(Conflict, match=f"task build is {existing.state}; only a failed, cancelled or dead"):
        retrial(bench)


def test_what_does_not_exist_cannot_be_retried(bench: Bench) -> None:
    with pytest.raises(NotFound, match="there is no task 'build'"):
        retrial(bench)


@pytest.mark.parametrize("state", ["failed", "cancelled", "dead"])
def test_a_retry_after_a_task_that_has_failed_is_refused_naming_it_and_the_remedy(
    bench: Bench, state: str
) -> None:
    bench.put(ended(ending=FAILED, after=("fine", "dep")), ended("fine"))
    bench.put(evolve(ended("dep", FAILED), state=state))
    remedy = f"after dep, which is {state}: retry that one first, with `sentinel tasks retry dep`"
    with pytest.raises(Conflict, match=remedy):
        retrial(bench)


@pytest.mark.parametrize("dependency", [task("dep"), ended("dep")], ids=["waits", "done"])
def test_a_retry_after_a_task_that_may_still_be_done_is_taken(bench: Bench, dependency: Task) -> None:
    bench.put(ended(ending=FAILED, after=("dep",)), dependency)
    assert bench.lands(retrial(bench))


def test_the_history_tells_who_asked_for_the_new_run(bench: Bench) -> None:
    bench.put(ended(ending=FAILED))
    bench.lands(retrial(bench))
    last = bench.stored_task().history[-1]
    assert (last.event, last.note) == ("retried", "by ann")


def test_of_two_that_retry_at_once_one_wins(bench: Bench) -> None:
    bench.put(ended(ending=FAILED))
    batch = [retrial(bench), retrial(bench)]
    assert [bench.lands(transaction) for transaction in batch] == [True, False]


# -- dependents --------------------------------------------------------------------------------------


def test_a_dependent_is_cancelled_naming_what_failed(bench: Bench) -> None:
    bench.put(task(after=("dep",)), ended("dep", FAILED))
    failed = bench.stored_task("dep")
    assert bench.lands(tasks.cancel_dependents(bench.change(), bench.stored_task(), failed, wall=WALL))
    assert bench.stored_task().reason == "dep, which it was to run after, is failed"


def test_a_dependent_is_not_cancelled_when_what_failed_was_retried_meanwhile(bench: Bench) -> None:
    bench.put(task(after=("dep",)), ended("dep", FAILED))
    late = tasks.cancel_dependents(bench.change(), bench.stored_task(), bench.stored_task("dep"), wall=WALL)
    snapshot = bench.snapshot()
    bench.lands(tasks.retry(bench.change(snapshot), snapshot, "dep", wall=WALL, by="ann")[0])
    assert not bench.lands(late)
