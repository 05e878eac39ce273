"""Measure Task Sentinel beside other task queues, and print the ratios.

The machine's mood changes from minute to minute, so no number stands alone: the contestants take turns, each
in an empty place of its own, and what is told are medians over the rounds and ratios within this run.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent / "benchmark"))

import measures
from arguments import count, existing_folder, new_file, some_of
from contestants import ALL, Contestant, Stage, install_peers, on_stage
from ground import redis_version

PARTS = ("drain", "latency", "recovery", "rest", "cost")
NAMES = tuple(contestant.name for contestant in ALL)
#: So many workers of each contestant drain together.
WORKERS = (1, 3)
#: Measures what a commit costs in a large store and after a long history, and leaves it as JSON.
COST = Path(__file__).resolve().parent / "measure-scale"

Found = dict[str, dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="some minutes: one round of everything, with fewer tasks"
    )
    parser.add_argument("--json", type=new_file, metavar="FILE", help="write all that was found there, too")
    parser.add_argument(
        "--parts",
        type=some_of(PARTS, noun="part"),
        default=list(PARTS),
        metavar="A,B",
        help=f"some of {','.join(PARTS)} (default: all)",
    )
    parser.add_argument(
        "--only",
        type=some_of(NAMES, noun="contestant"),
        default=list(NAMES),
        metavar="A,B",
        help=f"some of {','.join(NAMES)} (default: all)",
    )
    parser.add_argument("--rounds", type=count, metavar="N", help="rounds (default: 5, quick 1)")
    parser.add_argument("--tasks", type=count, metavar="N", help="tasks to drain (default: 5000, quick 1000)")
    parser.add_argument(
        "--folder",
        type=existing_folder,
        metavar="PATH",
        help="where to set up (default: where temporary files are)",
    )
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.tasks = options.tasks or (1000 if options.quick else 5000)
    parts = options.parts
    contestants, found = present(options.only)
    if "drain" in parts:
        for workers in WORKERS:
            for fsync in (False, True):
                title = f"drain by {workers}, {_fsync(fsync)}"
                found[title] = alternate(
                    title, options, contestants, _drain(options.tasks, workers), fsync=fsync
                )
    if "latency" in parts:
        samples = 10 if options.quick else 50
        for fsync in (False, True):
            title = f"latency, {_fsync(fsync)}"
            found[title] = alternate(
                title, options, contestants, lambda stage, _: measures.latency(stage, samples), fsync=fsync
            )
    if "recovery" in parts:
        cap = 10.0 if options.quick else 120.0
        found["recovery"] = alternate(
            "recovery", options, contestants, lambda stage, _: measures.recovery(stage, cap), rounds=1
        )
    if "rest" in parts:
        seconds = 5.0 if options.quick else 60.0
        found["rest"] = alternate(
            "rest", options, contestants, lambda stage, _: measures.rest(stage, seconds), rounds=1
        )
    if "cost" in parts:
        found["cost"] = cost(quick=options.quick)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


def _fsync(fsync: bool) -> str:
    return f"{'with' if fsync else 'without'} fsync"


def _drain(tasks: int, workers: int) -> Callable[[Stage, Contestant], dict[str, Any]]:
    return lambda stage, who: measures.drain(stage, measures.share_of(who, tasks), workers)


def present(only: Sequence[str]) -> tuple[list[Contestant], dict[str, Any]]:
    """Those of these contestants that can run here; those that cannot are named."""
    redis = redis_version()
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release().split('-')[0]}"
    print(f"machine: {machine}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}")
    print(f"redis-server {redis or 'is not installed'}")
    wanted = [contestant for contestant in ALL if contestant.name in only]
    install_peers(wanted)
    able, versions = [], {}
    for contestant in wanted:
        versions[contestant.name] = version = contestant.version()
        if version is None:
            print(f"{contestant.name}: NOT MEASURED, {contestant.package} could not be installed")
        elif contestant.needs_redis and redis is None:
            print(f"{contestant.name}: NOT MEASURED, there is no redis-server")
        else:
            print(f"{contestant.name} {version}")
            able.append(contestant)
    return able, {"machine": machine, "redis": redis, "versions": versions}


def alternate(
    title: str,
    options: argparse.Namespace,
    contestants: Iterable[Contestant],
    measure: Callable[[Stage, Contestant], dict[str, Any]],
    *,
    fsync: bool = False,
    rounds: int | None = None,
) -> Found:
    """Each contestant in turn, round after round; medians, and each number's ratio to ours."""
    runs: dict[str, list[dict[str, Any]]] = {contestant.name: [] for contestant in contestants}
    for _ in range(rounds or options.rounds):
        for contestant in contestants:
            try:
                with on_stage(contestant, fsync=fsync, base=options.folder) as stage:
                    runs[contestant.name].append(measure(stage, contestant))
            except (RuntimeError, TimeoutError, OSError, subprocess.SubprocessError) as error:
                print(f"{contestant.name}: FAILED: {error}", file=sys.stderr)
    found = {name: {**middle(each), "runs": each} for name, each in runs.items() if each}
    show(title, found)
    return found


def middle(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The median of each number."""
    medians = {}
    for name in runs[0]:
        values = [run[name] for run in runs if run[name] is not None and not math.isnan(run[name])]
        medians[name] = statistics.median(values) if values else None
    return medians


def show(title: str, found: Found) -> None:
    """A table for people."""
    if not found:
        return
    names = [name for name in next(iter(found.values())) if name != "runs"]
    ours = found.get("sentinel", {})
    print(f"\n{title}")
    print("".ljust(18) + "".join(name.rjust(26) for name in names))
    for contestant, numbers in found.items():
        cells = ""
        for name in names:
            value, mine = numbers[name], ours.get(name)
            ratio = f" ({mine / value:5.2f} x)" if value and mine else ""
            cells += (("-" if value is None else f"{value:.2f}") + ratio).rjust(26)
        print(contestant.ljust(18) + cells)
    print("(in brackets: what Task Sentinel's number is of theirs)", flush=True)


def cost(*, quick: bool) -> Any:
    """What the script for it found, within its limits or not: its status says which, and so do its lines."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "cost.json"
        subprocess.run([str(COST), "--json", str(result), *(["--quick"] if quick else [])], check=False)
        return json.loads(result.read_text())


if __name__ == "__main__":
    began = time.monotonic()
    main()
    print(f"\ntook {time.monotonic() - began:.0f} s")
