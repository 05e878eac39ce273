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


def test_the_commit_is_known_that_holds_what_was_stored(make_api: MakeApi, tmp_path: Path) -> None:
    bench = ApiBench(make_api, tmp_path)
    store = bench.open()
    assert store.kept_in is None
    (name,) = store.keep([b"a log\n"])
    git = f"{bench.api.place.path}/git"
    tree = bench.api.get(f"{git}/commits/{store.kept_in}").body["tree"]["sha"]
    assert [entry["path"] for entry in bench.api.get(f"{git}/trees/{tree}").body["tree"]] == [name]
    store.close()
    bench.close()
