"""The simulator finds every safeguard that is missing, and nothing where none is."""

from __future__ import annotations

import pytest

from sentinel.testing.simulator import simulate
from tests.simulation.mutants import MUTANTS, Mutant

#: Within so many seeds each mutant must be caught.
SEEDS = 100


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_a_missing_safeguard_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.patch(monkeypatch)
    for seed in range(SEEDS):
        violation = simulate(seed, mutant.options).violation
        if violation is not None:
            assert violation.invariant in mutant.caught_as, violation
            return
    pytest.fail(f"{mutant.name} was not caught within {SEEDS} seeds")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_the_product_itself_passes_where_a_mutant_is_caught(mutant: Mutant) -> None:
    for seed in range(2):
        report = simulate(seed, mutant.options)
        assert report.violation is None, f"seed {seed}\n{report.timeline}"
