"""The one conformance suite over every kind of Git server, with and without a proxy between."""

from __future__ import annotations

import pytest

from sentinel.testing.conformance import StoreConformance
from sentinel.testing.workbench import StoreBench
from tests.remote.conftest import MakeBench
from tests.remote.proxy import Proxy


class TestFile(StoreConformance):
    @pytest.fixture
    def bench(self, file_bench: StoreBench) -> StoreBench:
        return file_bench


class TestHttp(StoreConformance):
    @pytest.fixture
    def bench(self, make_http_bench: MakeBench) -> StoreBench:
        return make_http_bench()


class TestHttpThroughProxy(StoreConformance):
    @pytest.fixture
    def bench(self, make_http_bench: MakeBench, http_proxy: Proxy) -> StoreBench:
        return make_http_bench(http_proxy.port)


class TestDaemon(StoreConformance):
    @pytest.fixture
    def bench(self, make_daemon_bench: MakeBench) -> StoreBench:
        return make_daemon_bench()


class TestDaemonThroughProxy(StoreConformance):
    @pytest.fixture
    def bench(self, make_daemon_bench: MakeBench, daemon_proxy: Proxy) -> StoreBench:
        return make_daemon_bench(daemon_proxy.port)


class TestSsh(StoreConformance):
    @pytest.fixture
    def bench(self, make_ssh_bench: MakeBench) -> StoreBench:
        return make_ssh_bench(multiplexed=True)


class TestSshThroughProxy(StoreConformance):
    @pytest.fixture
    def bench(self, make_ssh_bench: MakeBench, ssh_proxy: Proxy) -> StoreBench:
        return make_ssh_bench(ssh_proxy.port, multiplexed=True)
