"""Real Git servers on loopback, each with a fresh repository for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite(
    "sentinel.testing.conformance",
    "sentinel.testing.conformance_documents",
    "sentinel.testing.conformance_registers",
    "sentinel.testing.workbench",
)

from tests.remote.bench import RemoteBench  # noqa: E402 - assertions are rewritten before the import


@pytest.fixture
def file_bench(tmp_path: Path) -> Iterator[RemoteBench]:
    """A repository on this machine, reached through git's own protocol."""
    path = tmp_path / "fleet.git"
    bench = RemoteBench(path, f"git+file://{path}", tmp_path / "clients")
    bench.create()
    yield bench
    bench.close()
