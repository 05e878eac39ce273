"""The arithmetic of leases: intervals that cannot be safe are refused, and the owner is always done first."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sentinel.model.lease import GRACE, POLL, RATE_ERROR, LeaseTimes, work_limit

RATES = st.floats(1 - RATE_ERROR, 1 + RATE_ERROR)


@pytest.mark.parametrize(
    ("interval", "stale"), [(1, 5), (2, 10), (30, 120), (100, 300), (0.5, 3), (86_400, 345_600)]
)
def test_intervals_that_leave_time_for_two_beats_and_a_time_out_are_taken(
    interval: float, stale: float
) -> None:
    times = LeaseTimes(interval, stale)
    assert times.work_limit >= 2 * times.interval + times.write_timeout


@pytest.mark.parametrize(
    ("interval", "stale", "sentence"),
    [
        (0, 10, "the heartbeat interval of 0 s is not positive"),
        (-1, 10, "the heartbeat interval of -1 s is not positive"),
        (
            5,
            14.9,
            "a stale threshold of 14.9 s is less than three heartbeat intervals of 5 s; use at least 15 s",
        ),
        (
            1,
            4,
            "a stale threshold of 4 s leaves a peer only 2.3 s to stop by itself, less than two heartbeat "
            "intervals and a write time-out (2.8 s); raise the threshold or lower the interval",
        ),
        (math.nan, 10, "must be finite numbers"),
        (2, math.nan, "must be finite numbers"),
        (2, math.inf, "must be finite numbers"),
        (math.inf, math.inf, "must be finite numbers"),
    ],
)
def test_intervals_that_cannot_be_safe_are_refused_with_the_reason(
    interval: float, stale: float, sentence: str
) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        LeaseTimes(interval, stale)
    assert sentence in str(refused.value)


@given(st.floats(0.01, 1e5), st.floats(0.01, 1e6))
def test_two_intervals_are_taken_exactly_when_both_rules_hold(interval: float, stale: float) -> None:
    write_timeout = min(0.8 * interval, 15.0)
    safe = stale >= 3 * interval and work_limit(stale) >= 2 * interval + write_timeout
    try:
        LeaseTimes(interval, stale)
    except ValueError:
        assert not safe
    else:
        assert safe


def test_the_work_limit_is_what_the_design_says() -> None:
    assert work_limit(10.0) == pytest.approx(10.0 * 0.9 / 1.1 - 1.0)


@pytest.mark.parametrize("interval", [1, 2, 30, 1000])
def test_a_beat_waits_for_its_reply_less_than_an_interval(interval: float) -> None:
    assert LeaseTimes(interval, 4 * interval + 2).write_timeout < interval


@given(
    ttl=st.floats(2.8, 1e5),
    owner_rate=RATES,
    observer_rate=RATES,
    extra=st.floats(0, 1e4),
    on_the_way=st.floats(0, 100),
    until_seen=st.floats(0, 100),
)
def test_the_owner_is_done_before_any_observer_may_take_over(
    ttl: float, owner_rate: float, observer_rate: float, extra: float, on_the_way: float, until_seen: float
) -> None:
    # True time. The owner sends its last beat at 0; it lands and is first seen by the observer later.
    seen = on_the_way + until_seen
    silence = max(ttl, ttl + extra)  # the observer's own threshold may be larger
    assume(silence > 0)
    owner_done = (work_limit(ttl) + GRACE) / owner_rate
    taken_over = seen + silence / observer_rate
    assert owner_done <= taken_over * (1 + 1e-12)


@given(ttl=st.floats(2.8, 1e5))
def test_the_margin_is_used_up_exactly_by_the_worst_clocks(ttl: float) -> None:
    owner_done = (work_limit(ttl) + GRACE) / (1 - RATE_ERROR)
    assert owner_done == pytest.approx(ttl / (1 + RATE_ERROR))


def test_the_bound_adds_up_what_stands_between_a_crash_and_the_next_claim() -> None:
    bound = LeaseTimes(2, 10).takeover_bound(poll=1.0, jitter=0.1, round_trip=0.05)
    assert bound == pytest.approx(10 / 0.9 + 2 * 1.0 * 1.1 + 1.6 + 8 * 0.05)


@pytest.mark.parametrize(("announced", "counts"), [(0.0, 10.0), (5.0, 10.0), (60.0, 60.0)])
def test_the_bound_counts_the_longer_of_my_threshold_and_what_was_announced(
    announced: float, counts: float
) -> None:
    times = LeaseTimes(2, 10)
    bound = times.takeover_bound(poll=0, jitter=0, round_trip=0, announced=announced)
    assert bound == pytest.approx(counts / 0.9 + times.write_timeout)


@pytest.mark.parametrize(("interval", "poll"), [(1, 1.0), (6, 2.0), (30, 10.0), (3600, 10.0)])
def test_a_store_on_another_host_is_looked_at_less_often_but_thrice_an_interval(
    interval: float, poll: float
) -> None:
    times = LeaseTimes(interval, 4 * interval + 2)
    assert times.poll(remote=True) == poll
    assert times.poll(remote=False) == POLL
