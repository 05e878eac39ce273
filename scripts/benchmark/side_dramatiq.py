"""Dramatiq's driver and tasks, with Redis as broker and for results."""

from __future__ import annotations

import os
import time

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends.redis import RedisBackend
from driver import note_start

URL = os.environ["BENCH_REDIS"]
broker = RedisBroker(url=URL)
broker.add_middleware(Results(backend=RedisBackend(url=URL)))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def noop() -> int:
    return 1


@dramatiq.actor(store_results=True)
def slow(path: str, seconds: float) -> int:
    note_start(path)
    time.sleep(seconds)
    return 1


class Side:
    def __init__(self) -> None:
        self._redis = redis.Redis.from_url(URL)
        self._sent = 0

    def fill(self, count: int) -> None:
        for _ in range(count):
            noop.send()
        self._sent += count

    def done(self) -> int:
        # What was sent stays in here until its result is stored; counting results is a look at all keys.
        return self._sent - int(self._redis.hlen("dramatiq:default.msgs"))

    def once(self) -> None:
        noop.send().get_result(block=True, timeout=30_000)

    def slow(self, path: str, seconds: float) -> None:
        slow.send(path, seconds)
