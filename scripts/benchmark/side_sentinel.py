"""Task Sentinel's driver, and the tasks that its worker runs."""

from __future__ import annotations

import os
import time

from driver import note_start

import sentinel
from sentinel.client import ClientOptions
from sentinel.fleet.submission import Submission


@sentinel.task("noop")
def noop() -> int:
    return 1


@sentinel.task("slow")
def slow(path: str, seconds: float) -> int:
    note_start(path)
    time.sleep(seconds)
    return 1


class Side:
    def __init__(self) -> None:
        options = ClientOptions(fsync=os.environ["SENTINEL_LOCAL_FSYNC"] == "true")
        self._client = sentinel.Client(os.environ["SENTINEL_STORE"], options=options)
        self._seen: str | None = None
        self._done = 0

    def fill(self, count: int) -> None:
        wanted = Submission(type="noop", args={}, allow_unknown_type=True)
        self._client.submit_many([wanted] * count)

    def done(self) -> int:
        news = self._client.store.audit(100_000, self._seen)
        if news:
            self._seen = news[0].revision
            self._done += sum(note.startswith("finish ") for entry in news for note in entry.notes)
        return self._done

    def once(self) -> None:
        task = self._client.submit("noop", {}, allow_unknown_type=True)
        self._client.result(task.id, timeout=30)

    def slow(self, path: str, seconds: float) -> None:
        self._client.submit("slow", {"path": path, "seconds": seconds}, allow_unknown_type=True)
