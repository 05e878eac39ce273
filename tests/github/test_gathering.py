"""A fleet on ``github://`` that starts all at once, in virtual time: the product's own daemons."""

from __future__ import annotations

import itertools

import pytest

from sentinel.clock import Clock
from sentinel.fleet.pacing import Seen
from sentinel.github.governor import Governor, allowance
from sentinel.model.lease import LeaseTimes
from sentinel.testing.clock import ManualClock
from sentinel.testing.simulation.economy import Economy, Measured, measure

BASE = LeaseTimes(30.0, 120.0)
WORKERS = 10


def pace(clock: Clock) -> Governor:
    """What GitHub publishes, for one daemon."""
    return Governor("github", BASE, allowance({}), clock=clock)


@pytest.fixture(scope="module")
def gathered() -> Measured:
    """Ten workers that start in the same second, and all that they push."""
    return measure(Economy(workers=WORKERS, minutes=18.0, gathering=0.0), pace)


def test_workers_that_start_at_once_join_one_after_another(gathered: Measured) -> None:
    joins = gathered.pushes["state"]
    assert len(joins) == WORKERS
    assert min(after - before for before, after in itertools.pairwise(joins)) >= 59.0


def test_the_first_of_them_joins_at_once(gathered: Measured) -> None:
    assert gathered.pushes["state"][0] < 5.0


def test_they_keep_to_the_pushes_of_a_minute_from_the_first_on(gathered: Measured) -> None:
    assert gathered.worst_minute <= 6


def test_what_they_announce_in_the_end_is_what_a_fleet_of_that_size_does(gathered: Measured) -> None:
    fleet = Seen(workers=WORKERS, place=0)
    told = pace(ManualClock()).rhythm(fleet).times.stale
    assert gathered.ttls == pytest.approx([told] * WORKERS)
