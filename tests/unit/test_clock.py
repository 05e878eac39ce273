"""Clocks: the real ones, the one that tests move by hand, and times as text."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.clock import Clock, SystemClock, from_rfc3339, rfc3339
from sentinel.testing.clock import ManualClock

CLOCKS: list[Clock] = [SystemClock(), ManualClock()]


@pytest.mark.parametrize("clock", CLOCKS, ids=["system", "manual"])
def test_sleeping_lets_at_least_that_time_pass(clock: Clock) -> None:
    before = clock.now()
    clock.sleep(0.002)
    assert clock.now() - before >= 0.002 * (1 - 1e-6)


@pytest.mark.parametrize("clock", CLOCKS, ids=["system", "manual"])
def test_sleeping_for_less_than_nothing_is_no_error(clock: Clock) -> None:
    before = clock.now()
    clock.sleep(-5)
    assert clock.now() >= before


@pytest.mark.parametrize("clock", CLOCKS, ids=["system", "manual"])
def test_an_event_that_nobody_sets_is_waited_for_in_vain(clock: Clock) -> None:
    before = clock.now()
    assert not clock.event().wait(0.002)
    assert clock.now() - before >= 0.002 * (1 - 1e-6)


@pytest.mark.parametrize("clock", CLOCKS, ids=["system", "manual"])
def test_an_event_that_was_set_is_seen_at_once_and_once(clock: Clock) -> None:
    event = clock.event()
    event.set()
    event.set()
    assert [event.wait(60.0), event.wait(0.0)] == [True, False]


def test_an_event_set_by_another_thread_ends_the_wait() -> None:
    event = SystemClock().event()
    setter = threading.Thread(target=event.set)
    setter.start()
    assert event.wait(60.0)
    setter.join()


def test_an_event_may_be_waited_for_without_limit() -> None:
    event = SystemClock().event()
    event.set()
    assert event.wait(float("inf"))


class Pipe:
    """A pipe that an event listens to; each byte is news if it is an exclamation mark."""

    def __init__(self) -> None:
        self.reading, self._writing = os.pipe()
        self.event = SystemClock().event()
        self.event.listen(self.reading, lambda: os.read(self.reading, 1) == b"!")

    def say(self, what: bytes) -> None:
        os.write(self._writing, what)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.event.ignore(pipe.reading)
    os.close(pipe.reading)
    os.close(pipe._writing)


def test_news_on_a_descriptor_ends_the_wait(pipe: Pipe) -> None:
    pipe.say(b"!")
    assert pipe.event.wait(60.0)


def test_what_is_no_news_is_read_and_waited_past(pipe: Pipe) -> None:
    pipe.say(b"...")
    assert not pipe.event.wait(0.01)


def test_an_event_that_is_set_ends_the_wait_beside_a_descriptor(pipe: Pipe) -> None:
    pipe.event.set()
    assert pipe.event.wait(60.0)


def test_a_descriptor_that_is_ignored_wakes_nobody(pipe: Pipe) -> None:
    pipe.event.ignore(pipe.reading)
    pipe.say(b"!")
    assert not pipe.event.wait(0.0)


def test_a_manual_clock_stands_still() -> None:
    clock = ManualClock(now=5.0, wall=100.0)
    assert [clock.now(), clock.wall(), clock.now(), clock.wall()] == [5.0, 100.0, 5.0, 100.0]


def test_advancing_moves_both_hands() -> None:
    clock = ManualClock(now=5.0, wall=100.0)
    clock.advance(2.5)
    assert (clock.now(), clock.wall()) == (7.5, 102.5)


def test_setting_the_wall_clock_back_leaves_the_other_alone() -> None:
    clock = ManualClock(now=5.0, wall=10_000.0)
    clock.wall_offset -= 7_200
    assert (clock.now(), clock.wall()) == (5.0, 2_800.0)


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_a_manual_clock_does_not_go_back(seconds: float) -> None:
    with pytest.raises(ValueError, match="time does not go by"):
        ManualClock().advance(seconds)


def test_an_event_of_a_manual_clock_that_was_set_takes_no_time() -> None:
    clock = ManualClock(now=5.0)
    event = clock.event()
    event.set()
    event.wait(60.0)
    assert clock.now() == 5.0


@given(st.floats(0, 4e9))
def test_a_time_is_read_back_to_the_microsecond(wall: float) -> None:
    assert from_rfc3339(rfc3339(wall)) == pytest.approx(wall, abs=2e-6)


@given(st.floats(0, 4e9), st.floats(0, 4e9))
def test_times_sort_as_text_as_they_do_as_numbers(one: float, two: float) -> None:
    first, second = sorted([one, two])
    assert rfc3339(first) <= rfc3339(second)


@pytest.mark.parametrize("text", ["2026-11-22T08:15:00Z", "2026-11-22T09:15:00+01:00"])
def test_times_of_other_writers_are_read(text: str) -> None:
    assert rfc3339(from_rfc3339(text)) == "2026-11-22T08:15:00.000000Z"


@pytest.mark.parametrize("text", ["", "soon", "2026-11-22", "2026-11-22T08:15:00", "2026-13-01T00:00:00Z"])
def test_what_is_no_time_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_rfc3339(text)
