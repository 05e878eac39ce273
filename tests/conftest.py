"""What every test may use: requirements that a machine may lack, and reproducible property tests."""

from __future__ import annotations

import os
from collections.abc import Callable

import hypothesis
import pytest

#: ``require(name, found, reason)``: skips the test, with the reason, where ``found`` is false.
Require = Callable[[str, bool, str], None]

# Examples that follow from the test's own text: the same commit gives the same verdict, on a busy
# machine too. `HYPOTHESIS_PROFILE=explore` looks for new ones.
_QUIET = [hypothesis.HealthCheck.too_slow]
hypothesis.settings.register_profile(
    "ci", derandomize=True, deadline=None, database=None, suppress_health_check=_QUIET
)
hypothesis.settings.register_profile(
    "explore", deadline=None, max_examples=1000, suppress_health_check=_QUIET
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def required_names(environ: str) -> frozenset[str]:
    """The names in a ``SENTINEL_REQUIRE`` list: what this machine promises to have."""
    return frozenset(name.strip() for name in environ.split(",") if name.strip())


def check_requirement(name: str, found: bool, reason: str, *, required: frozenset[str]) -> None:
    """Go on where ``name`` was found; otherwise fail where it is ``required``, and skip where it is not."""
    if found:
        return
    if name in required:
        pytest.fail(f"{name}: {reason} (SENTINEL_REQUIRE names it, so this is no skip)", pytrace=False)
    pytest.skip(f"{name}: {reason}")


@pytest.fixture(scope="session")
def require() -> Require:
    """``require("sshd", which("sshd") is not None, "no sshd on PATH")``, in a test or a fixture.

    On a person's machine a test that needs what is not there is skipped with the reason; where the
    comma-separated ``SENTINEL_REQUIRE`` names it, as `.ci/run` does, the test fails instead.
    """
    required = required_names(os.environ.get("SENTINEL_REQUIRE", ""))

    def check(name: str, found: bool, reason: str) -> None:
        check_requirement(name, found, reason, required=required)

    return check


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say before pytest's last line that the lint which ran before it failed."""
    if os.environ.get("SENTINEL_TEST_LINT") == "failed":
        terminalreporter.section("lint")
        terminalreporter.line("scripts/lint FAILED before the tests; its output is at the top", red=True)
