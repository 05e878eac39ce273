"""A task whose workers are lost: freed, then kept apart, then buried with the evidence."""

from __future__ import annotations

import pytest

from sentinel.model import task as transitions
from sentinel.model.task import ALONE_AFTER, DEAD_AFTER_ALONE, Ending, Task
from tests.unit.builders import FAILED, WALL, claimed, evolve, running, task

DEADLY = ALONE_AFTER + DEAD_AFTER_ALONE


def lose(now: Task, evidence: str = "silent") -> Task:
    return transitions.lose(now, wall=WALL, evidence=evidence)


def after_losses(count: int) -> Task:
    now = task()
    for number in range(1, count + 1):
        now = lose(claimed(now, worker=f"w{number}"))
    return now


@pytest.mark.parametrize(
    ("losses", "state", "alone"),
    [
        (0, "pending", False),
        (1, "pending", False),
        (2, "pending", False),
        (3, "pending", True),
        (4, "pending", True),
        (5, "dead", True),
    ],
)
def test_a_task_runs_alone_after_three_losses_and_is_dead_after_two_more(
    losses: int, state: str, alone: bool
) -> None:
    now = after_losses(losses)
    assert (now.losses, now.state, now.alone) == (losses, state, alone)


def test_the_loss_of_a_worker_frees_the_task_at_its_epoch() -> None:
    free = lose(running(retries=2))
    assert (free.state, free.owner, free.incarnation, free.started_at, free.epoch) == (
        "pending",
        None,
        None,
        None,
        1,
    )


def test_the_loss_of_a_worker_uses_up_no_retry() -> None:
    assert lose(running(retries=2)).retries_left == 2


def test_the_loss_of_a_worker_is_told_with_its_evidence() -> None:
    line = lose(running(worker="w1"), "silent for 10.2 s").history[-1]
    assert (line.event, line.worker, line.epoch, line.note) == ("lost", "w1", 1, "silent for 10.2 s")


def test_a_loss_before_the_start_is_not_the_fault_of_the_task() -> None:
    free = lose(evolve(running(), started_at=None))
    assert (free.losses, dict(free.causes), free.state) == (0, {}, "pending")


def test_a_task_that_never_starts_is_never_dead() -> None:
    now = task()
    for _ in range(3 * DEADLY):
        now = lose(evolve(claimed(now), started_at=None))
    assert (now.state, now.alone) == ("pending", False)


@pytest.mark.parametrize("ending", [FAILED, Ending(cause="drained"), Ending(cause="timeout")])
def test_no_other_cause_counts_as_a_loss(ending: Ending) -> None:
    now = task(retries=100)
    for _ in range(2 * DEADLY):
        now = transitions.end_attempt(claimed(now), ending, wall=WALL)
    assert (now.losses, now.alone) == (0, False)


def test_losses_add_up_across_other_ends() -> None:
    now = lose(claimed(task(retries=1)))
    now = transitions.end_attempt(claimed(now), FAILED, wall=WALL)
    assert lose(claimed(now)).losses == 2


def test_a_dead_task_names_every_worker_that_was_lost_and_its_epoch() -> None:
    dead = after_losses(DEADLY)
    assert dead.error == {
        "kind": "lost",
        "message": "5 workers were lost while running it: "
        "w1 at epoch 1, w2 at epoch 2, w3 at epoch 3, w4 at epoch 4, w5 at epoch 5",
    }


def test_a_dead_task_names_the_losses_of_this_run_alone() -> None:
    now = transitions.retry(after_losses(DEADLY), wall=WALL)
    for number in range(6, 11):
        now = lose(claimed(now, worker=f"w{number}"))
    assert now.reason is not None
    assert now.reason.startswith("5 workers were lost while running it: w6 at epoch 6, ")


def test_a_dead_task_tells_first_of_the_loss_and_then_of_the_end() -> None:
    assert [line.event for line in after_losses(DEADLY).history[-2:]] == ["lost", "dead"]


def test_a_persons_retry_of_a_dead_task_starts_beside_others_again() -> None:
    again = transitions.retry(after_losses(DEADLY), wall=WALL)
    assert (again.losses, again.alone, again.causes["lost"]) == (0, False, 5)
