"""Simulate fleets in virtual time, one seed after another, and stop at nothing but the invariants.

Exit status: 0 when all of them held in every seed, 1 when not.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections import Counter
from pathlib import Path
from typing import get_args

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.arguments import amount, count, some_of, whole
from sentinel.fleet.patterns import Pattern
from sentinel.testing.simulation.campaign import Verdict, campaign
from sentinel.testing.simulation.faults import FAULTS
from sentinel.testing.simulator import SimulationOptions

#: Seconds between two lines of progress.
_SPEAK_EVERY = 10.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/simulate", description=__doc__)
    parser.add_argument("--seeds", type=count, default=1, metavar="N", help="how many seeds (default: 1)")
    parser.add_argument("--seed", type=whole, default=0, metavar="S", help="the first seed (default: 0)")
    parser.add_argument(
        "--minutes", type=amount, default=30.0, help="virtual minutes with faults (default: 30)"
    )
    parser.add_argument("--peers", type=count, default=5, help="workers (default: 5)")
    parser.add_argument("--tasks", type=whole, default=120, help="tasks handed in (default: 120)")
    parser.add_argument(
        "--pattern",
        default="peer_to_peer",
        choices=get_args(Pattern),
        help="who assigns tasks (default: peer_to_peer)",
    )
    parser.add_argument("--slots", type=count, default=3, help="tasks at a time on one worker (default: 3)")
    parser.add_argument(
        "--faults",
        type=_faults,
        default="all",
        metavar="A,B",
        help=f"which faults: all, none, or some of {', '.join(FAULTS)} (default: all)",
    )
    parser.add_argument(
        "--fault-every",
        type=amount,
        default=20.0,
        metavar="S",
        help="mean virtual seconds between (default: 20)",
    )
    parser.add_argument(
        "--jobs",
        type=count,
        default=len(os.sched_getaffinity(0)),
        help="processes (default: one a processor)",
    )
    given = parser.parse_args()
    options = SimulationOptions(
        minutes=given.minutes,
        peers=given.peers,
        tasks=given.tasks,
        slots=given.slots,
        pattern=given.pattern,
        faults=given.faults,
        fault_every=given.fault_every,
    )
    seeds = range(given.seed, given.seed + given.seeds)
    started = spoken = time.monotonic()
    failed: list[int] = []
    counts: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    virtual = 0.0
    for done, verdict in enumerate(campaign(seeds, options, jobs=min(given.jobs, given.seeds)), 1):
        if verdict.report is not None:
            counts.update(verdict.report.counts)
            faults.update(verdict.report.faults)
            virtual += verdict.report.seconds
        if verdict.problem:
            failed.append(verdict.seed)
            _tell(verdict, given)
        elif given.seeds == 1:
            assert verdict.report is not None
            print(f"seed {verdict.seed}: trace {verdict.report.digest}")
        now = time.monotonic()
        if now - spoken >= _SPEAK_EVERY:
            spoken = now
            print(f"{done} of {len(seeds)} seeds, {len(failed)} failed, {now - started:.0f} s", flush=True)
    print("faults: " + (", ".join(f"{name} {number}" for name, number in sorted(faults.items())) or "none"))
    print("judged: " + ", ".join(f"{number} {name}" for name, number in counts.items()))
    hours, took = virtual / 3600, time.monotonic() - started
    print(
        f"{len(seeds)} seeds, {hours:.1f} virtual hours in {took:.0f} s: "
        + (f"{len(failed)} FAILED: {' '.join(map(str, sorted(failed)))}" if failed else "all invariants held")
    )
    return 1 if failed else 0


def _faults(text: str) -> dict[str, float]:
    """All faults, none or some of them, with their weights."""
    if text == "all":
        return dict(FAULTS)
    names = [] if text == "none" else some_of(FAULTS, noun="fault")(text)
    return {name: FAULTS[name] for name in names}


def _tell(verdict: Verdict, given: argparse.Namespace) -> None:
    again = ["scripts/simulate", "--seed", str(verdict.seed)]
    for name, usual in (("minutes", 30.0), ("peers", 5), ("tasks", 120), ("slots", 3), ("fault_every", 20.0)):
        value = getattr(given, name)
        if value != usual:
            again += [f"--{name.replace('_', '-')}", f"{value:g}"]
    if given.pattern != "peer_to_peer":
        again += ["--pattern", given.pattern]
    if given.faults != FAULTS:
        again += ["--faults", ",".join(given.faults) or "none"]
    print(verdict.story)
    print(f"\nseed {verdict.seed}: {verdict.problem}")
    print(f"replay: {shlex.join(again)}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
