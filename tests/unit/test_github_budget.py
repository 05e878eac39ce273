"""The arithmetic of GitHub's limits: what a fleet is given is within them, whatever its size."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sentinel.fleet.pacing import Rhythm, Seen
from sentinel.github import budget
from sentinel.github.budget import Allowance, Credit, Kind
from sentinel.model.lease import LeaseTimes
from sentinel.testing.clock import ManualClock

BASE = LeaseTimes(30.0, 120.0)
GITHUB = Allowance()
FLEETS = st.integers(1, 800)
KINDS = st.sampled_from(["github", "github+api"])


def alike(
    workers: int, place: int = 0, kind: Kind = "github", *, gathering: bool = False, **more: float
) -> Rhythm:
    """One worker's rhythm under the published limits."""
    fleet = Seen(workers=workers, place=place, gathering=gathering, **more)
    return budget.rhythm(kind, BASE, fleet, GITHUB)


def test_while_a_fleet_gathers_its_turns_make_room_for_a_join_a_minute() -> None:
    before, now = alike(10), alike(10, gathering=True)
    assert now.times.interval == pytest.approx(2 * before.times.interval)
    assert now.times.stale == pytest.approx(2 * before.times.stale)
    assert now.joins == pytest.approx(60.0)
    joins, turns, intake = 2 * 60 / now.joins, 10 * 60 / now.times.interval, 1.0
    assert joins + turns + intake <= GITHUB.pushes_a_minute


def test_a_worker_alone_makes_room_for_nobody() -> None:
    assert alike(1).times == BASE


def test_what_joins_cost_by_the_api_alone_is_within_the_minute() -> None:
    # Forty points a join, by all workers with one token.
    assert 40 * 60 / alike(30, kind="github+api").joins <= 900 / 2


@pytest.mark.parametrize("workers", [1, 3, 10])
def test_shared_memory_takes_a_part_of_the_hour_by_the_api_alone(workers: int) -> None:
    pause = alike(workers, kind="github+api").errands
    assert workers * 3600 / pause * (3.0 + 2.8 * workers) <= 0.2 * 4000 + 1


def test_shared_memory_has_the_turns_of_its_worker_by_git() -> None:
    assert alike(5).errands == 0.0


@pytest.mark.parametrize(
    ("workers", "interval", "ttl", "poll"),
    [
        (1, 30.0, 120.0, 5.0),
        (2, 30.0, 120.0, 5.0),
        (3, 300 / 7, 1200 / 7, 5.0),
        (5, 500 / 7, 2000 / 7, 5.0),
        (10, 1000 / 7, 4000 / 7, 5.0),
        (30, 3000 / 7, 12000 / 7, 6.0),
        (100, 10000 / 7, 40000 / 7, 20.0),
    ],
)
def test_beats_and_looks_by_git_are_as_in_the_documented_table(
    workers: int, interval: float, ttl: float, poll: float
) -> None:
    found = alike(workers)
    assert (found.times.interval, found.times.stale, found.poll) == pytest.approx((interval, ttl, poll))


@given(workers=st.integers(3, 800), other=st.floats(0.0, 10.0))
def test_all_peers_together_push_what_is_planned_at_most(workers: int, other: float) -> None:
    found = alike(workers, other_beats=other)
    assert found.push is not None
    # A push of a change takes the beat along, so a worker has one push in a round.
    assert found.times.interval == pytest.approx(max(30.0, found.push.every))
    a_minute = workers * 60 / found.push.every
    planned = budget.PLANNED_PUSHES * GITHUB.pushes_a_minute
    assert a_minute + min(other, planned / 2) <= planned + 1e-6


@given(workers=st.integers(3, 60), wall=st.floats(0, 4e9))
def test_no_minute_has_more_than_five_turns(workers: int, wall: float) -> None:
    for kind in ("push", "beat"):
        moments = []
        for place in range(workers):
            turn = getattr(alike(workers, place), kind)
            first = wall + turn.until(wall)
            moments += [first + turn.every * number for number in range(3)]
        moments.sort()
        assert all(later - earlier >= 60.0 for earlier, later in zip(moments, moments[5:], strict=False))


@given(workers=st.integers(3, 60), part=st.floats(0.0, 1.0))
def test_a_beat_that_was_taken_along_is_not_sent_again_in_the_same_turn(workers: int, part: float) -> None:
    found = alike(workers, workers // 2)
    assert found.push is not None
    pushed = found.push.offset + part * found.push.lasts
    assert found.next_beat(found.times.interval, pushed) > found.push.every / 2


@given(workers=FLEETS)
def test_all_peers_together_look_five_times_a_second_at_most(workers: int) -> None:
    assert workers / alike(workers).poll <= 5.0 + 1e-9


@given(workers=FLEETS, remaining=st.floats(0.0, 5000.0), reset_in=st.floats(1.0, 3600.0))
def test_beats_and_looks_by_the_api_leave_half_of_the_hour_until_it_begins_anew(
    workers: int, remaining: float, reset_in: float
) -> None:
    credit = Credit(remaining=remaining, reset_in=reset_in)
    found = budget.rhythm("github+api", BASE, Seen(workers=workers, place=0), GITHUB, credit)
    costs = budget.API
    each = costs.beat + costs.look + costs.moved + workers * costs.session
    sent = workers * each * reset_in / min(found.times.interval, found.poll)
    capped = found.times.interval >= budget.LONGEST_INTERVAL
    assert sent <= 0.5 * remaining * budget.PLANNED + 1e-6 or capped


@given(kind=KINDS, workers=FLEETS, place=st.floats(0.0, 0.999), remaining=st.floats(0.0, 5000.0))
def test_what_is_stretched_is_never_shorter_than_configured_and_as_safe(
    kind: Kind, workers: int, place: float, remaining: float
) -> None:
    seen = Seen(workers=workers, place=int(place * workers))
    found = budget.rhythm(kind, BASE, seen, GITHUB, Credit(remaining=remaining, reset_in=1800.0))
    assert found.times.interval >= BASE.interval
    assert found.times.stale / found.times.interval == pytest.approx(BASE.stale / BASE.interval)


@example(interval=101.0, ratio=3.0, factor=3.0)
@given(interval=st.floats(0.5, 600.0), ratio=st.floats(3.0, 20.0), factor=st.floats(1.0, 5000.0))
def test_every_safe_pair_of_times_can_be_stretched(interval: float, ratio: float, factor: float) -> None:
    try:
        base = LeaseTimes(interval, interval * ratio)
    except ValueError:
        return
    assert budget.stretched(base, interval * factor).interval == pytest.approx(interval * factor)


@given(kind=KINDS, workers=st.integers(1, 200))
def test_a_larger_fleet_beats_no_more_often(kind: Kind, workers: int) -> None:
    assert alike(workers + 1, kind=kind).times.interval >= alike(workers, kind=kind).times.interval


@given(less=st.floats(0.0, 5000.0), more=st.floats(0.0, 5000.0))
def test_the_less_is_left_of_the_hour_the_longer_the_interval(less: float, more: float) -> None:
    less, more = sorted((less, more))
    found = [
        budget.rhythm(
            "github+api", BASE, Seen(workers=10, place=0), GITHUB, Credit(remaining=left, reset_in=900)
        )
        for left in (less, more)
    ]
    assert found[0].times.interval >= found[1].times.interval
    assert found[0].times.stale >= found[1].times.stale


def test_without_limits_everything_is_as_configured() -> None:
    free = Allowance(pushes_a_minute=math.inf, reads_a_second=math.inf, requests_an_hour=math.inf)
    for kind in ("github", "github+api"):
        found = budget.rhythm(kind, BASE, Seen(workers=100, place=3), free)
        assert (found.times, found.beat, found.push) == (BASE, None, None)


@pytest.mark.parametrize(
    ("limit", "pause"), [(5000.0, 60.0), (1000.0, 60.0), (100.0, 450.0), (0.0, 3600.0), (math.inf, 60.0)]
)
def test_intake_slows_down_with_the_hour_and_pushes_once_a_minute(limit: float, pause: float) -> None:
    allowed = Allowance(requests_an_hour=limit)
    an_hour = budget.requests_an_hour(allowed, None)
    assert budget.intake_pause(allowed, an_hour) == pytest.approx(pause)


def test_intake_without_limits_goes_by_what_is_configured() -> None:
    assert budget.intake_pause(Allowance(pushes_a_minute=math.inf), math.inf) == 0.0


def test_content_is_created_within_the_hour_and_the_minute() -> None:
    def contents(allowed: Allowance) -> float:
        return budget.mirror_share("github", allowed, 4000.0).contents

    assert contents(GITHUB) == pytest.approx(400)
    assert contents(Allowance(contents_an_hour=math.inf)) / 60 == pytest.approx(64)
    assert math.isinf(contents(Allowance(contents_an_hour=math.inf, contents_a_minute=math.inf)))


def test_an_idle_fleet_sends_beats_and_nothing_else() -> None:
    found = budget.forecast("github", BASE, workers=10, allowed=GITHUB)
    assert found.pushes_a_minute == pytest.approx(4.2)
    assert (found.requests_an_hour, found.contents_an_hour) == (0.0, 0.0)


@given(workers=st.integers(1, 300), tasks=st.floats(0.0, 5000.0))
def test_a_forecast_stays_within_the_limits_of_pushes_and_content(workers: int, tasks: float) -> None:
    found = budget.forecast("github", BASE, workers=workers, tasks_an_hour=tasks, allowed=GITHUB)
    # In turns, and intake once a round.
    assert found.pushes_a_minute < GITHUB.pushes_a_minute
    assert found.contents_an_hour <= 400.0 + 1e-6


def test_a_fleet_without_tasks_makes_no_marks() -> None:
    assert budget.retention_commits(0.0) == 0.0


def test_one_task_a_day_keeps_the_marks_going_and_seldom_prunes() -> None:
    assert budget.retention_commits(1 / 24) == pytest.approx(2.0, abs=0.1)


def test_each_mark_condemns_in_one_commit_and_removes_in_the_next() -> None:
    # Two marks an hour, and under each what ended in half an hour goes.
    assert budget.retention_commits(40.0) == pytest.approx(2 * (1 + 2))


def test_more_than_one_step_takes_go_in_more_commits() -> None:
    assert budget.retention_commits(2_000.0) == pytest.approx(2 * (1 + 10 + 1))


def test_pruning_is_requests_where_everything_is_a_request() -> None:
    def sent(**more: float) -> float:
        return budget.forecast("github+api", BASE, workers=3, allowed=GITHUB, **more).requests_an_hour

    few = 1 / 24
    a_commit = budget.API.commit
    assert sent(tasks_an_hour=few) - sent() >= a_commit * budget.retention_commits(few)


def test_what_github_says_of_the_hour_counts() -> None:
    from sentinel.github.governor import Governor
    from sentinel.github.meter import Usage

    clock = ManualClock()
    usage = Usage(limit=1000, remaining=200, reset_in=600.0, seen_at=clock.now())
    governor = Governor("github+api", BASE, GITHUB, usage=lambda: usage, clock=clock)
    clock.advance(100.0)
    assert governor.allowed.requests_an_hour == 1000
    assert governor.credit == Credit(remaining=200, reset_in=500.0)
    clock.advance(600.0)
    assert governor.credit is None
