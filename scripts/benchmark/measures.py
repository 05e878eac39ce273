"""What is measured of one contestant on its stage."""

from __future__ import annotations

import os
import random
import signal
import statistics
import time
from pathlib import Path

import psutil
from contestants import Contestant, Stage

#: Longest time in seconds that one drain is waited for.
_PATIENCE = 300.0


def drain(stage: Stage, tasks: int, workers: int) -> dict[str, float]:
    """Tasks a second that are handed in, and that so many workers drain.

    Drained means that the result is recorded. The clock runs from the first look that shows a tenth of all
    done to the last one, so that nobody's start-up counts.
    """
    filled = stage.ask("fill", tasks)["seconds"]
    for _ in range(workers):
        stage.start_worker()
    limit = time.monotonic() + _PATIENCE
    first: tuple[float, int] | None = None
    while True:
        done = stage.ask("done")["answer"]
        now = time.monotonic()
        if first is None and done >= tasks / 10:
            first = (now, done)
        if done >= tasks:
            break
        if now > limit:
            raise TimeoutError(f"{done} of {tasks} tasks were done after {_PATIENCE:g} s")
        time.sleep(0.02)
    assert first is not None
    rate = (done - first[1]) / (now - first[0]) if done > first[1] else float("nan")
    return {"submitted_per_second": tasks / filled, "drained_per_second": rate}


def latency(stage: Stage, samples: int) -> dict[str, float]:
    """Milliseconds from handing in to having the result, one task at a time on an idle worker."""
    stage.start_worker()
    stage.ask("once")
    stage.ask("once")
    rng = random.Random(1)
    found = []
    for _ in range(samples):
        time.sleep(rng.uniform(0.1, 0.4))
        found.append(stage.ask("once")["seconds"] * 1000)
    found.sort()
    return {"p50_ms": statistics.median(found), "p99_ms": found[min(len(found) - 1, int(len(found) * 0.99))]}


def recovery(stage: Stage, cap: float) -> dict[str, float | None]:
    """Seconds from ``kill -9`` of a worker to its task's start on another one; None: not in time."""
    mark = stage.folder / "starts"
    first = stage.start_worker()
    stage.ask("slow", mark, 300)
    _starts(mark, 1, 60.0)
    stage.start_worker()
    # Another task would tell when it is up, but the first worker may have fetched that ahead.
    time.sleep(10)
    killed = time.time()
    os.kill(first.pid, signal.SIGKILL)
    starts = _starts(mark, 2, cap)
    return {"recovery_seconds": starts[1] - killed if len(starts) > 1 else None, "cap_seconds": cap}


def _starts(mark: Path, wanted: int, patience: float) -> list[float]:
    limit = time.monotonic() + patience
    found: list[float] = []
    while time.monotonic() < limit:
        if mark.exists():
            found = [float(line) for line in mark.read_text().split()]
        if len(found) >= wanted:
            break
        time.sleep(0.02)
    return found


def rest(stage: Stage, seconds: float) -> dict[str, float]:
    """Start-up to the first result, and what an idle worker costs."""
    began = time.monotonic()
    worker = psutil.Process(stage.start_worker().pid)
    stage.ask("once")
    ready = time.monotonic() - began
    time.sleep(3)
    tree = [worker, *worker.children(recursive=True)]
    before = _busy(tree)
    time.sleep(seconds)
    used = _busy(tree) - before
    return {
        "startup_seconds": ready,
        "idle_cpu_percent": used / seconds * 100,
        "resident_mb": sum(process.memory_info().rss for process in tree) / 1e6,
    }


def _busy(tree: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in tree]
    return float(sum(each.user + each.system for each in times))


def share_of(contestant: Contestant, tasks: int) -> int:
    """How many tasks it is given to drain."""
    return max(20, int(tasks * contestant.share))
