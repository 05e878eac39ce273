"""The checker finds what must not become of values of shared memory."""

from __future__ import annotations

import pytest

from sentinel.model import layout
from sentinel.store.base import DELETE
from sentinel.testing.checker import Violation
from tests.simulation.test_checker import History

KEY = layout.memory_key("ns", "k")


@pytest.fixture
def history() -> History:
    history = History()
    history.commit({KEY: {"rev": 1, "ttl": 60.0}})
    return history


def test_a_value_that_is_freed_after_its_ttl_is_right(history: History) -> None:
    history.now = 60.0
    history.commit({KEY: DELETE}, note="expire memory ns/k")


def test_a_value_that_is_freed_before_its_ttl_is_found(history: History) -> None:
    history.now = 59.0
    with pytest.raises(Violation, match="I5"):
        history.commit({KEY: DELETE}, note="expire memory ns/k")


def test_a_value_that_was_written_anew_has_its_whole_ttl_again(history: History) -> None:
    history.now = 59.0
    history.commit({KEY: {"rev": 2, "ttl": 60.0}})
    history.now = 118.0
    with pytest.raises(Violation, match="I5"):
        history.commit({KEY: DELETE}, note="expire memory ns/k")


def test_a_value_without_a_ttl_that_expires_is_found() -> None:
    history = History()
    history.commit({KEY: {"rev": 1, "ttl": 0.0}})
    history.now = 1e6
    with pytest.raises(Violation, match="I5"):
        history.commit({KEY: DELETE}, note="expire memory ns/k")


def test_a_value_may_be_deleted_at_any_time(history: History) -> None:
    history.commit({KEY: DELETE}, note="delete memory ns/k")


def test_a_write_over_what_was_not_read_is_found(history: History) -> None:
    with pytest.raises(Violation, match="I3"):
        history.commit({KEY: {"rev": 1, "ttl": 0.0}})
