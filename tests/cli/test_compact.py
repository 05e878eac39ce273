"""``sentinel compact``: a local store gets small, unless somebody works on it."""

from __future__ import annotations

import pytest

from sentinel.store.upkeep import alone, size
from tests.cli.conftest import Place, Worked


@pytest.fixture
def used(place: Place) -> Place:
    """A store with a few commits."""
    for number in range(6):
        place.submit(f"t-{number}")
    return place


def test_a_store_is_packed_and_its_history_begins_later(used: Place) -> None:
    ran = used.run("compact", "--keep", "3")
    found = size(used.store)
    assert (ran.status, found.commits, found.packs <= 2) == (0, 3, True)
    assert ran.stdout.startswith("Let go 4 of 7 commits")


def test_everything_that_is_stored_stays(used: Place) -> None:
    used.run("compact", "--keep", "1")
    assert sorted(task["id"] for task in used.run("tasks", "list", "-o", "json").json) == [
        f"t-{number}" for number in range(6)
    ]


def test_a_dry_run_changes_nothing(used: Place) -> None:
    before = size(used.store)
    ran = used.run("compact", "--keep", "3", "--dry-run")
    assert (ran.status, size(used.store)) == (0, before)
    assert ran.stdout.startswith("Would let go 4 of 7 commits")


def test_a_history_that_is_short_stays_whole(used: Place) -> None:
    used.run("compact")
    assert size(used.store).commits == 7


def test_it_is_refused_while_a_worker_is_live(used: Place) -> None:
    Worked(used)
    ran = used.run("compact")
    assert (ran.status, "w1" in ran.said, "stop every worker" in ran.said) == (4, True, True)


def test_it_is_refused_while_somebody_else_tidies_up(used: Place) -> None:
    with alone(used.store):
        ran = used.run("compact")
    assert (ran.status, "by somebody else" in ran.said) == (4, True)


def test_it_is_refused_for_a_store_that_a_server_has(used: Place) -> None:
    ran = used.run("compact", "--store", f"git+file://{used.store}")
    assert (ran.status, "its server" in ran.said) == (2, True)
