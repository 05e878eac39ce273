"""The order of the queue: urgent first, and nobody waits for ever."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.clock import rfc3339
from sentinel.fleet.queue import PATIENCE, in_order
from sentinel.model.task import PRIORITIES, Priority, Task
from tests.unit.builders import WALL, task

#: Slots for which an overdue task may be passed over by later and more urgent ones, as documented.
BOUND = 100


def made(id: str, priority: Priority, at: float) -> Task:
    return task(id, priority=priority, created_at=rfc3339(WALL + at))


def names(*tasks: Task) -> list[str]:
    return [found.id for found in in_order(tasks)]


def test_the_most_urgent_comes_first_however_late() -> None:
    waiting = [made(priority, priority, -place) for place, priority in enumerate(PRIORITIES)]
    assert names(*reversed(waiting)) == list(PRIORITIES)


def test_among_equally_urgent_tasks_the_first_in_is_the_first_out() -> None:
    assert names(made("b", "low", 2.0), made("a", "low", 3.0), made("c", "low", 1.0)) == ["c", "b", "a"]


def test_within_its_patience_no_task_comes_before_a_more_urgent_one() -> None:
    urgent = [made(f"u{number}", "high", PATIENCE) for number in range(50)]
    assert names(made("old", "low", 0.0), *urgent)[-1] == "old"


@settings(max_examples=25)
@given(st.integers(0, 10**9), st.sampled_from(PRIORITIES[1:]), st.integers(1, 4))
def test_an_overdue_task_gets_a_slot_before_a_hundred_later_and_more_urgent_ones(
    seed: int, priority: Priority, slots: int
) -> None:
    waiting = [made("old", priority, 0.0)]
    handed_out = 0
    while any(each.id == "old" for each in waiting):
        urgent = [made(f"u{seed}-{handed_out + n}", "critical", PATIENCE + 1.0) for n in range(slots)]
        waiting += urgent
        chosen = [found.id for _, found in zip(range(slots), in_order(waiting), strict=False)]
        waiting = [each for each in waiting if each.id not in chosen]
        handed_out += slots
        assert handed_out <= BOUND + slots


@settings(max_examples=25)
@given(st.integers(0, 10**9))
def test_nothing_urgent_waits_for_more_than_a_few_overdue_tasks(seed: int) -> None:
    overdue = [made(f"o{seed}-{number}", "low", 0.0) for number in range(500)]
    assert names(*overdue, made("urgent", "critical", 2 * PATIENCE)).index("urgent") <= BOUND


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from(PRIORITIES), st.floats(0.0, 2_000.0)), max_size=30))
def test_every_task_stands_in_the_queue_once(tasks: list[tuple[Priority, float]]) -> None:
    waiting = [made(f"t{number}", *given_) for number, given_ in enumerate(tasks)]
    assert sorted(names(*waiting)) == sorted(each.id for each in waiting)


def test_a_time_that_cannot_be_read_does_no_harm() -> None:
    assert set(names(task("a", created_at="soon"), made("b", "low", 0.0))) == {"a", "b"}
