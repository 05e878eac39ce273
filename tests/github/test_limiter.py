"""The limits that we keep to ourselves, and those that GitHub tells."""

from __future__ import annotations

import threading

import pytest

from sentinel.github.errors import Limited
from sentinel.github.limiter import FIRST_PAUSE, LONGEST_PAUSE, Limiter, Limits
from sentinel.testing.clock import ManualClock


def times(
    limiter: Limiter, clock: ManualClock, number: int, *, write: bool = False, content: bool = False
) -> list[float]:
    """When so many requests could go, in seconds from the first."""
    began, found = clock.now(), []
    for _ in range(number):
        with limiter.request(write=write, content=content, patience=10_000):
            found.append(clock.now() - began)
    return found


def test_mutations_keep_a_second_between_them() -> None:
    clock = ManualClock()
    assert times(Limiter(clock, Limits()), clock, 4, write=True) == [0, 1, 2, 3]


def test_reads_wait_for_nobody_within_the_points_of_a_minute() -> None:
    clock = ManualClock()
    found = times(Limiter(clock, Limits(points_a_minute=3)), clock, 7)
    assert found == [0, 0, 0, 60, 60, 60, 120]


def test_a_mutation_counts_as_five_reads() -> None:
    clock = ManualClock()
    limiter = Limiter(clock, Limits(points_a_minute=11, between_writes=0))
    assert times(limiter, clock, 3, write=True) == [0, 0, 60]


def test_content_is_made_at_most_so_often_in_a_minute_and_an_hour() -> None:
    clock = ManualClock()
    limiter = Limiter(clock, Limits(contents_a_minute=2, contents_an_hour=5, between_writes=0))
    assert times(limiter, clock, 6, write=True, content=True) == [0, 0, 60, 60, 120, 3600]


def test_nothing_exceeds_a_limit_in_any_minute_however_requests_come() -> None:
    clock = ManualClock()
    limiter = Limiter(clock, Limits(points_a_minute=20, between_writes=1.0))
    sent: list[tuple[float, int]] = []
    for number in range(300):
        clock.advance((number * 7 % 11) / 4)
        write = number % 3 == 0
        with limiter.request(write=write, content=False, patience=10_000):
            sent.append((clock.now(), 5 if write else 1))
    for at, _ in sent:
        assert sum(points for when, points in sent if at - 60 < when <= at) <= 20


def test_who_cannot_wait_so_long_is_refused_and_books_nothing() -> None:
    clock = ManualClock()
    limiter = Limiter(clock, Limits(points_a_minute=1))
    times(limiter, clock, 1)
    for _ in range(3):
        with pytest.raises(Limited) as refused, limiter.request(write=False, content=False, patience=5):
            pass
        assert refused.value.retry_after == 60
    assert times(limiter, clock, 1) == [60]


def test_a_refusal_closes_the_gate_for_the_time_that_it_names() -> None:
    clock = ManualClock()
    limiter = Limiter(clock, Limits())
    assert limiter.refused("GitHub said so", 30.0) == 30.0
    with pytest.raises(Limited, match="GitHub said so") as refused:
        times_within(limiter, 10)
    assert refused.value.retry_after == 30
    assert times(limiter, clock, 1) == [30]


def times_within(limiter: Limiter, patience: float) -> None:
    with limiter.request(write=False, content=False, patience=patience):
        pass


def test_refusals_that_name_no_time_close_it_for_twice_as_long_each_time() -> None:
    clock = ManualClock()
    limiter = Limiter(clock, Limits())
    pauses = []
    for _ in range(8):
        pauses.append(limiter.refused("slow down", None))
        clock.advance(pauses[-1])
    assert pauses[:4] == [FIRST_PAUSE, 120, 240, 480]
    assert max(pauses) == LONGEST_PAUSE


def test_an_answer_makes_the_next_pause_the_shortest_again() -> None:
    limiter = Limiter(ManualClock(), Limits())
    limiter.refused("slow down", None)
    limiter.accepted()
    assert limiter.refused("slow down", None) == FIRST_PAUSE


def test_a_gate_that_closes_while_one_waits_holds_that_one_too() -> None:
    clock = ManualClock()
    limiter = Limiter(clock, Limits())
    times(limiter, clock, 1, write=True)

    class Closing(ManualClock):
        def sleep(self, seconds: float) -> None:
            if seconds == 1:
                limiter.refused("slow down", 30.0)
            clock.sleep(seconds)

        now = clock.now

    limiter._clock = Closing()
    assert times(limiter, clock, 1, write=True) == [30]


def test_all_threads_of_a_process_keep_to_one_limit() -> None:
    clock = ManualClock()
    limiter = Limiter(clock, Limits(points_a_minute=10))
    refused: list[Limited] = []

    def ask() -> None:
        for _ in range(5):
            try:
                times_within(limiter, 1)
            except Limited as error:
                refused.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 10
