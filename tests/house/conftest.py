"""Notices: things worth a look that fail nothing. They are printed before pytest's last line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Notice = Callable[[str], None]

_NOTICES = pytest.StashKey[list[str]]()


@pytest.fixture
def notice(request: pytest.FixtureRequest) -> Notice:
    """``notice("file is long")`` shows the text in pytest's summary and fails nothing."""
    return request.config.stash.setdefault(_NOTICES, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what `notice` collected."""
    notices = config.stash.get(_NOTICES, [])
    if notices:
        terminalreporter.section("notices of the house")
        for text in notices:
            terminalreporter.line(text)
