"""Measure an idle worker (daemon and supervisor together) and the start-up of ``sentinel --help``."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.arguments import amount, count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=amount, default=60.0, help="how long to watch (default: 60)")
    parser.add_argument("--peers", type=count, default=1, help="workers in the fleet (default: 1)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure_worker(Path(folder), options.seconds, options.peers)
    measure_help()


def measure_worker(folder: Path, seconds: float, peers: int) -> None:
    store = folder / "fleet.git"
    environ = {**os.environ, "SENTINEL_STORE": str(store), "SENTINEL_STATE_FOLDER": str(folder / "state")}
    sentinel = [sys.executable, "-m", "sentinel"]
    subprocess.run([*sentinel, "init"], env=environ, check=True, stdout=subprocess.DEVNULL)
    workers = [
        subprocess.Popen(
            [*sentinel, "worker", "start", "--id", f"idle-{number}"], env=environ, stderr=subprocess.DEVNULL
        )
        for number in range(peers)
    ]
    try:
        time.sleep(8)
        daemon = psutil.Process(workers[0].pid)
        tree = [daemon, *daemon.children(recursive=True)]
        before = sum(busy(process) for process in tree)
        started = time.monotonic()
        time.sleep(seconds)
        share = (sum(busy(process) for process in tree) - before) / (time.monotonic() - started)
        resident = sum(process.memory_info().rss for process in tree)
        print(f"idle worker in a fleet of {peers}: {len(tree)} processes")
        print(f"  processor  {share * 100:.2f} % of a core over {seconds:.0f} s (goal: under 0.5 %)")
        print(f"  memory     {resident / 1e6:.1f} MB resident (goal: under 90 MB)")
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()


def busy(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def measure_help() -> None:
    took = []
    for _ in range(11):
        started = time.monotonic()
        subprocess.run(
            [Path(sys.executable).parent / "sentinel", "--help"], check=True, stdout=subprocess.DEVNULL
        )
        took.append((time.monotonic() - started) * 1000)
    print(
        f"sentinel --help: median {statistics.median(took):.0f} ms, "
        f"min {min(took):.0f} ms, max {max(took):.0f} ms (goal: under 200 ms)"
    )


if __name__ == "__main__":
    main()
