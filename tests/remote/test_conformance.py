"""The one conformance suite over every kind of Git server, with and without a proxy between."""

from __future__ import annotations

import pytest

from sentinel.testing.conformance import StoreConformance
from sentinel.testing.workbench import StoreBench


class TestFile(StoreConformance):
    @pytest.fixture
    def bench(self, file_bench: StoreBench) -> StoreBench:
        return file_bench
