"""Lanes: which run goes where, how many tasks are taken ahead, and when a lane is relieved."""

from __future__ import annotations

from sentinel.peer.lanes import HORIZON, MOST, PATIENCE, Lanes


def lanes_of(*, slots: int = 1, seconds: float = 0.001, tick: float = 0.05) -> Lanes:
    """Lanes in which tasks of the type ``short`` were seen to take ``seconds``."""
    lanes = Lanes()
    for number in range(5):
        lanes.ticked(number * tick)
        lanes.took("short", seconds)
    return lanes


def test_runs_spread_over_free_lanes_first() -> None:
    lanes = Lanes()
    assert [lanes.place(name, slots=2, now=0.0) for name in ("a", "b", "c")] == ["0", "1", "0"]


def test_a_lane_is_free_again_when_its_run_is_over() -> None:
    lanes = Lanes()
    lanes.place("a", slots=1, now=0.0)
    lanes.over("a", 1.0)
    assert (lanes.busy, lanes.waiting) == (0, 0)


def test_nothing_is_taken_ahead_of_what_was_never_seen_to_end() -> None:
    assert Lanes().ahead(["new"] * 10, slots=1) == 0


def test_about_a_ticks_worth_is_taken_ahead() -> None:
    assert lanes_of(seconds=1 / 64, tick=5 / 64).ahead(["short"] * 100, slots=1) == 5


def test_each_lane_gets_its_ticks_worth() -> None:
    assert lanes_of(seconds=1 / 64, tick=5 / 64).ahead(["short"] * 100, slots=3) == 15


def test_however_long_ticks_take_no_more_than_the_horizon_is_looked_ahead() -> None:
    assert lanes_of(seconds=HORIZON / 4, tick=60.0).ahead(["short"] * 100, slots=1) == 4


def test_tasks_longer_than_a_tick_are_not_taken_ahead() -> None:
    assert lanes_of(seconds=1.0, tick=0.05).ahead(["short"], slots=1) == 0


def test_one_long_start_does_not_make_a_type_long() -> None:
    lanes = lanes_of(seconds=1 / 64, tick=5 / 64)
    lanes.took("short", 3.0)
    assert lanes.ahead(["short"] * 100, slots=1) == 5


def test_what_stands_behind_an_unknown_type_is_not_taken_ahead() -> None:
    assert lanes_of().ahead(["short", "new", "short"], slots=1) == 1


def test_what_waits_already_leaves_less_room() -> None:
    lanes = lanes_of(seconds=0.00001)
    for number in range(MOST):
        lanes.place(str(number), slots=1, now=0.0)
    assert lanes.ahead(["short"] * 100, slots=1) == 1


def test_where_each_claim_costs_much_fewer_are_taken_so_that_ticks_stay_short() -> None:
    lanes = lanes_of(seconds=0.00001)
    for number in range(50):
        lanes.place(str(number), slots=1, now=1.0)
        lanes.over(str(number), 1.0)
    lanes.ticked(2.0)
    lanes.ticked(2.25)
    assert lanes.ahead(["short"] * 500, slots=1) < 50


def test_a_lane_with_a_long_run_is_relieved_once() -> None:
    lanes = Lanes()
    for name in ("long", "a"):
        lanes.place(name, slots=1, now=0.0)
    assert lanes.held_up(PATIENCE / 2) == []
    assert lanes.held_up(PATIENCE) == ["0"]
    assert lanes.held_up(2 * PATIENCE) == []


def test_a_lane_in_which_runs_come_and_go_is_not_relieved() -> None:
    lanes = Lanes()
    for name in ("a", "b", "c"):
        lanes.place(name, slots=1, now=0.0)
    lanes.over("a", PATIENCE)
    assert lanes.held_up(PATIENCE) == []


def test_a_long_run_that_nothing_waits_for_is_left_alone() -> None:
    lanes = Lanes()
    lanes.place("long", slots=1, now=0.0)
    assert lanes.held_up(100.0) == []
    assert lanes.next_due(100.0) == float("inf")


def test_the_next_look_is_due_when_a_lane_may_have_to_be_relieved() -> None:
    lanes = Lanes()
    for name in ("long", "a"):
        lanes.place(name, slots=1, now=1.0)
    assert lanes.next_due(1.0) == PATIENCE


def test_nothing_is_taken_ahead_into_a_lane_that_was_relieved() -> None:
    lanes = lanes_of()
    for name in ("long", "a"):
        lanes.place(name, slots=1, now=0.0)
    lanes.held_up(PATIENCE)
    assert lanes.ahead(["short"], slots=1) == 0
    assert lanes.room(1) == 0
