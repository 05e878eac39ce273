"""The one conformance suite over every kind of Git server, with and without a proxy between."""

from __future__ import annotations

import os

import pytest

from sentinel.testing.conformance import StoreConformance
from sentinel.testing.workbench import StoreBench
from tests.remote.conftest import MakeBench
from tests.remote.proxy import Proxy


class TestFile(StoreConformance):
    @pytest.fixture
    def bench(self, file_bench: StoreBench) -> StoreBench:
        return file_bench


#: One server of each kind of access is tried by default; every server both ways where this is asked for.
both_ways = pytest.mark.skipif(
    os.environ.get("SENTINEL_CONFORMANCE") != "all",
    reason="takes minutes; SENTINEL_CONFORMANCE=all runs every server with and without the proxy",
)


@both_ways
class TestHttp(StoreConformance):
    @pytest.fixture
    def bench(self, make_http_bench: MakeBench) -> StoreBench:
        return make_http_bench()


class TestHttpThroughProxy(StoreConformance):
    @pytest.fixture
    def bench(self, make_http_bench: MakeBench, http_proxy: Proxy) -> StoreBench:
        return make_http_bench(http_proxy.port)


@both_ways
class TestDaemon(StoreConformance):
    @pytest.fixture
    def bench(self, make_daemon_bench: MakeBench) -> StoreBench:
        return make_daemon_bench()


@both_ways
class TestDaemonThroughProxy(StoreConformance):
    @pytest.fixture
    def bench(self, make_daemon_bench: MakeBench, daemon_proxy: Proxy) -> StoreBench:
        return make_daemon_bench(daemon_proxy.port)


@both_ways
class TestSsh(StoreConformance):
    @pytest.fixture
    def bench(self, make_ssh_bench: MakeBench) -> StoreBench:
        return make_ssh_bench(multiplexed=True)


@both_ways
class TestSshThroughProxy(StoreConformance):
    @pytest.fixture
    def bench(self, make_ssh_bench: MakeBench, ssh_proxy: Proxy) -> StoreBench:
        return make_ssh_bench(ssh_proxy.port, multiplexed=True)
