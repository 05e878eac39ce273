"""The pytest plugin: the fixture ``sentinel_fleet``, a fleet in virtual time for tests of your own tasks.

Installed with the package; nothing is imported before a test asks for the fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sentinel.testing.simulated_fleet import SimulatedFleet


@pytest.fixture
def sentinel_fleet(tmp_path: Path) -> Iterator[SimulatedFleet]:
    """Three workers on a memory store and a virtual clock, which run what is registered in this process."""
    from sentinel.testing.simulated_fleet import SimulatedFleet

    fleet = SimulatedFleet(tmp_path / "sentinel-fleet")
    try:
        yield fleet
    finally:
        fleet.close()
