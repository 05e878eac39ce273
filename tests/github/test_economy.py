"""What fleets cost on ``github://``, metered at the proxy in virtual time, under GitHub's published limits.

The daemons, their duties and the API's client are the product's own, limits included.
`scripts/measure-github` measures whole hours and larger fleets; its table is in `docs/github-limits.md`.
"""

from __future__ import annotations

import pytest

from sentinel.fleet.pacing import Forecast
from sentinel.github.budget import Allowance, forecast
from sentinel.github.place import Place
from sentinel.testing.simulation.economy import Economy
from tests.github.economy import BASE, Bill, GitHub, bill
from tests.github.emulator import Emulator
from tests.github.proxy import Proxy


@pytest.fixture
def hub(emulator: Emulator, proxy: Proxy, place: Place, github_environ: dict[str, str]) -> GitHub:
    """GitHub in virtual time."""
    # Thousands of requests like those that other tests send and have judged.
    proxy.watchers.clear()
    return GitHub(emulator, proxy, place, github_environ)


def predicted(workers: int, tasks_an_hour: float) -> Forecast:
    """What `sentinel budget` says."""
    return forecast("github", BASE, workers=workers, tasks_an_hour=tasks_an_hour, allowed=Allowance())


def within_all_limits(found: Bill) -> None:
    assert found.refused == 0
    assert found.git.worst_minute <= 6
    assert found.git.reads_a_second <= 15.0
    assert found.charged_an_hour <= 5000
    assert found.contents_an_hour <= 500
    assert found.worst_minute(contents=True) <= 80
    assert found.worst_minute(contents=False) <= 900


def test_ten_idle_peers_for_an_hour_cost_next_to_nothing(hub: GitHub) -> None:
    found = bill(hub, Economy(workers=10))
    within_all_limits(found)
    told = predicted(10, 0.0)
    print(f"ten idle peers announce a TTL of {found.git.ttls[-1]:.0f} s")
    assert found.git.ttls == pytest.approx([told.rhythm.times.stale] * 10)
    assert found.charged_an_hour < 1000
    assert found.contents_an_hour == 0
    assert found.git.pushes_a_minute == pytest.approx(told.pushes_a_minute, rel=0.15)
    assert found.git.reads_a_second == pytest.approx(told.reads_a_second, rel=0.15)
    assert found.charged_an_hour == pytest.approx(told.requests_an_hour, rel=0.15)


def test_five_peers_with_two_hundred_tasks_an_hour_stay_within_all_limits(hub: GitHub) -> None:
    found = bill(hub, Economy(workers=5, tasks_an_hour=200.0, gathering=10.0, minutes=12.0))
    within_all_limits(found)
    told = predicted(5, 200.0)
    assert found.git.pushes_a_minute == pytest.approx(told.pushes_a_minute, rel=0.15)
    assert found.charged_an_hour == pytest.approx(told.requests_an_hour, rel=0.15)
    assert found.contents_an_hour == pytest.approx(told.contents_an_hour, rel=0.15)
    assert found.points_a_minute == pytest.approx(told.points_a_minute, rel=0.15)
