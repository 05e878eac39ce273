"""Whose turn it was: others wait for a while before they take what was somebody's."""

from __future__ import annotations

from sentinel.model.task import Task
from sentinel.peer.patience import Patience
from tests.unit.builders import evolve, task

GRACE = 1.5


def looked(*looks: tuple[float, dict[str, str]], waiting: list[Task] | None = None) -> Patience:
    """A peer's patience after looks at these times, which showed whose each task was."""
    found = Patience()
    for at, whose in looks:
        found.passed(waiting or [task("t")], at, grace=GRACE)
        found.meant(whose, waiting or [task("t")], at)
    return found


def test_a_task_stays_whose_it_was_at_the_last_look() -> None:
    assert looked((0.0, {"t": "w1"})).still({"t": "w2"}, {"w1", "w2"}) == {"t": "w1"}


def test_a_task_does_not_stay_with_somebody_who_has_no_slot_for_it_any_more() -> None:
    assert looked((0.0, {"t": "w1"})).still({"t": "w2"}, {"w2"}) == {}


def test_a_task_that_was_nobodys_stays_with_nobody() -> None:
    assert looked((0.0, {})).still({"t": "w2"}, {"w1", "w2"}) == {}


def test_a_task_does_not_stay_with_somebody_who_let_it_lie() -> None:
    patience = looked((0.0, {"t": "w1"}))
    assert patience.passed([task("t")], GRACE, grace=GRACE) == {"t": {"w1"}}
    assert patience.still({"t": "w2"}, {"w1", "w2"}) == {}


def test_a_task_that_has_changed_since_is_nobodys() -> None:
    patience = looked((0.0, {"t": "w1"}))
    patience.passed([evolve(task("t"), rev=5)], 0.5, grace=GRACE)
    assert patience.still({"t": "w2"}, {"w1", "w2"}) == {}
