"""RQ's driver and tasks."""

from __future__ import annotations

import os
import time

import redis
from driver import note_start
from rq import Queue

URL = os.environ["BENCH_REDIS"]


def noop() -> int:
    return 1


def slow(path: str, seconds: float) -> int:
    note_start(path)
    time.sleep(seconds)
    return 1


class Side:
    def __init__(self) -> None:
        self._queue = Queue(connection=redis.Redis.from_url(URL))

    def fill(self, count: int) -> None:
        for _ in range(count):
            self._queue.enqueue(noop)

    def done(self) -> int:
        return int(self._queue.finished_job_registry.get_job_count(cleanup=False))

    def once(self) -> None:
        job = self._queue.enqueue(noop)
        # RQ has no call that waits for a job's end.
        while job.get_status(refresh=True) != "finished":
            time.sleep(0.001)

    def slow(self, path: str, seconds: float) -> None:
        self._queue.enqueue(slow, path, seconds)
