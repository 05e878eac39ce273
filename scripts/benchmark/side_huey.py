"""Huey's driver and tasks, over SQLite or Redis by ``BENCH_STORE``."""

from __future__ import annotations

import os
import time

from driver import note_start
from huey import RedisHuey, SqliteHuey

if os.environ["BENCH_STORE"] == "redis":
    huey = RedisHuey("bench", url=os.environ["BENCH_REDIS"])
else:
    huey = SqliteHuey(
        "bench", filename=os.environ["BENCH_FOLDER"] + "/huey.db", fsync=os.environ["BENCH_FSYNC"] == "1"
    )


@huey.task()
def noop() -> int:
    return 1


@huey.task()
def slow(path: str, seconds: float) -> int:
    note_start(path)
    time.sleep(seconds)
    return 1


class Side:
    def fill(self, count: int) -> None:
        for _ in range(count):
            noop()

    def done(self) -> int:
        return int(huey.storage.result_store_size())

    def once(self) -> None:
        noop().get(blocking=True, timeout=30)

    def slow(self, path: str, seconds: float) -> None:
        slow(path, seconds)
