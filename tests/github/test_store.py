"""The one conformance suite over GitHub's API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sentinel.testing.conformance import StoreConformance
from sentinel.testing.workbench import StoreBench
from tests.github.bench import ApiBench
from tests.github.conftest import MakeApi
from tests.github.proxy import Proxy


class TestApi(StoreConformance):
    @pytest.fixture
    def bench(self, make_api: MakeApi, proxy: Proxy, tmp_path: Path) -> Iterator[StoreBench]:
        proxy.strict = False
        bench = ApiBench(make_api, tmp_path)
        yield bench
        bench.close()
