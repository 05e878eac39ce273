"""Fixtures of the unit tests."""

from __future__ import annotations

import pytest

from sentinel.testing.clock import ManualClock
from tests.unit.builders import Bench


@pytest.fixture
def bench() -> Bench:
    """A fleet in memory with nothing in it."""
    return Bench()


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still."""
    return ManualClock()
