"""Turns come round, rhythms keep what was announced, and a peer knows its place in the fleet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.fleet.pacing import Rhythm, Seen, Turn, seen
from sentinel.model.lease import LeaseTimes
from tests.unit.builders import Bench, incarnation

BASE = LeaseTimes(30.0, 120.0)
WALL = st.floats(0.0, 4e9)


def paced(every: float, offset: float = 0.0, lasts: float = 5.0) -> Rhythm:
    """A worker whose beats have turns."""
    turn = Turn(every=every, offset=offset, lasts=lasts)
    return Rhythm(times=LeaseTimes(every, 4 * every), poll=5.0, beat=turn, push=turn)


@pytest.mark.parametrize(
    ("wall", "number"), [(7.0, 0), (11.9, 0), (12.0, None), (106.9, None), (107.0, 1), (6.9, None)]
)
def test_a_turn_lasts_from_its_offset_on_in_each_round(wall: float, number: int | None) -> None:
    assert Turn(every=100.0, offset=7.0, lasts=5.0).number(wall) == number


@given(
    wall=WALL,
    every=st.floats(1.0, 1e4),
    part=st.floats(0.0, 1.0),
    lasts=st.floats(0.01, 0.5),
    least=st.floats(0, 1e4),
)
def test_whoever_waits_for_a_turn_wakes_while_it_lasts(
    wall: float, every: float, part: float, lasts: float, least: float
) -> None:
    turn = Turn(every=every, offset=part * every, lasts=lasts * every)
    pause = turn.until(wall, least)
    assert least < pause <= least + every + 1e-6
    assert turn.number(wall + pause) is not None


def test_without_turns_a_beat_follows_after_one_interval() -> None:
    assert Rhythm(times=BASE, poll=5.0).next_beat(30.0, wall=12.3) == 30.0


@given(wall=WALL, announced=st.floats(5.0, 1e4), every=st.floats(5.0, 1e4), part=st.floats(0.0, 1.0))
def test_a_beat_comes_in_the_time_that_the_last_one_promised(
    wall: float, announced: float, every: float, part: float
) -> None:
    pause = paced(every, part * every).next_beat(announced, wall)
    assert 0.5 * min(announced, every) <= pause <= 1.5 * announced + 1e-6


@given(wall=WALL, part=st.floats(0.0, 1.0))
def test_after_its_first_turn_a_beat_keeps_to_its_turns(wall: float, part: float) -> None:
    rhythm = paced(250.0, part * 250.0)
    now = wall
    for _ in range(2):
        now += rhythm.next_beat(250.0, now)
    assert rhythm.next_beat(250.0, now) == pytest.approx(250.0, abs=1e-3)


def test_a_fleet_that_grows_at_once_keeps_nobody_waiting_longer_than_announced() -> None:
    assert paced(2500.0, 2000.0).next_beat(30.0, wall=0.0) <= 1.5 * 30.0


def test_who_may_push_only_in_turns_may_take_one_round_longer() -> None:
    free, turns = (
        Rhythm(times=BASE, poll=5.0),
        Rhythm(times=BASE, poll=5.0, push=Turn(every=50, offset=0, lasts=5)),
    )
    assert turns.takeover_bound(0.1) == pytest.approx(free.takeover_bound(0.1) + 50)


def test_workers_are_placed_in_the_order_in_which_they_joined(bench: Bench) -> None:
    for name in ("c", "a", "b"):
        bench.put(incarnation(name))
    assert [seen(bench.view(), name) for name in ("a", "c")] == [
        Seen(workers=3, place=0),
        Seen(workers=3, place=2),
    ]


def test_the_beats_of_locks_are_seen_and_take_no_place(bench: Bench) -> None:
    bench.put(incarnation("a"))
    bench.put(incarnation("b", kind="lock", interval=20.0))
    assert seen(bench.view(), "a") == Seen(workers=1, place=0, other_beats=3.0)
