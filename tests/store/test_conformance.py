"""The one conformance suite, run over every store that ships, and over each behind the faulty one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sentinel.store.base import Store
from sentinel.testing.conformance import StoreConformance
from sentinel.testing.faults import FaultyStore
from sentinel.testing.workbench import StoreBench


class TestMemory(StoreConformance):
    @pytest.fixture
    def bench(self, memory_bench: StoreBench) -> StoreBench:
        return memory_bench


class TestLocal(StoreConformance):
    @pytest.fixture
    def bench(self, make_local_bench: Callable[[], StoreBench]) -> Iterator[StoreBench]:
        bench = make_local_bench()
        yield bench
        bench.close()


class _FaultyBench(StoreBench):
    """Every client is a `FaultyStore` in which nothing goes wrong."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def open(self) -> Store:
        return FaultyStore(self.inner.open())

    def plant(self, key: str, content: bytes) -> None:
        self.inner.plant(key, content)

    def plant_register(self, name: str, content: bytes) -> None:
        self.inner.plant_register(name, content)


class TestFaultyWithoutFaults(StoreConformance):
    @pytest.fixture
    def bench(self, memory_bench: StoreBench) -> StoreBench:
        return _FaultyBench(memory_bench)
