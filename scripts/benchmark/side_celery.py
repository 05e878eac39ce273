"""Celery's driver and tasks, with Redis as broker and for results."""

from __future__ import annotations

import os
import time

import redis
from celery import Celery
from driver import note_start

URL = os.environ["BENCH_REDIS"]
app = Celery("side_celery", broker=URL, backend=URL)


@app.task(name="noop")
def noop() -> int:
    return 1


@app.task(name="slow")
def slow(path: str, seconds: float) -> int:
    note_start(path)
    time.sleep(seconds)
    return 1


class Side:
    def __init__(self) -> None:
        self._redis = redis.Redis.from_url(URL)

    def fill(self, count: int) -> None:
        for _ in range(count):
            noop.delay()

    def done(self) -> int:
        # What else is there (queue, bindings) is a handful of keys.
        return max(0, int(self._redis.dbsize()) - 4)

    def once(self) -> None:
        noop.delay().get(timeout=30)

    def slow(self, path: str, seconds: float) -> None:
        slow.delay(path, seconds)
