"""How well each strategy and pattern shares the work, for the table in docs/balancing.md.

Everything is simulated: 20 workers, 2,000 tasks of mixed type, region, priority and length, in virtual time.
Exit status: 0 when every limit that docs/balancing.md states was kept, 1 when not.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.arguments import count, whole
from sentinel.fleet.patterns import Pattern
from sentinel.testing.simulation.balance import BalanceOptions, Figures, measure

STRATEGIES: Mapping[str, Mapping[str, Any]] = {
    "round_robin": {"startIndex": 0},
    "least_loaded": {"considerCapacity": True},
    "capacity_based": {"weightByCpu": True, "weightByMemory": True},
    "affinity": {"affinityKey": "project", "fallbackStrategy": "least_loaded"},
}
PATTERNS: tuple[Pattern, ...] = ("peer_to_peer", "master_worker", "hierarchical")
#: The strategy of the rows that are about something else.
USUAL = "least_loaded"
#: A store 25 ms away each way, on the average; a look is one exchange there, as with git.
FAR: Mapping[str, Any] = {"latency": (0.005, 0.02), "joined": True}
#: The limits of docs/balancing.md.
MOST_CONFLICTS, LONGEST_RATIO, MOST_OVERTAKEN = 0.05, 1.25, 100

Case = tuple[str, int, BalanceOptions]


def cases(given: argparse.Namespace) -> list[Case]:
    """The rows of the table."""
    size = {"peers": given.peers, "tasks": given.tasks}

    def row(name: str, strategy: str, pattern: Pattern, **options: Any) -> Case:
        chosen = BalanceOptions(
            strategy=strategy, options=STRATEGIES[strategy], pattern=pattern, **size, **options
        )
        return f"`{strategy}`{name} | `{pattern}`", given.seed, chosen

    found = [row("", strategy, pattern) for pattern in PATTERNS for strategy in STRATEGIES]
    if given.more:
        found += [row(", a far store", strategy, PATTERNS[0], **FAR) for strategy in STRATEGIES]
        found += [row(", a far store", USUAL, pattern, **FAR) for pattern in PATTERNS[1:]]
        found += [row(", overload", USUAL, pattern, stretch=5.0, within=900.0) for pattern in PATTERNS]
        found.append(row(", told of changes", USUAL, PATTERNS[0], watched=True))
        found += [row(", killed at 30 s", USUAL, pattern, kill_after=30.0) for pattern in PATTERNS[1:]]
    return [case for case in found if given.only in case[0]]


def run(case: Case) -> tuple[Case, Figures]:
    """One row, in a process of its own."""
    logging.disable(logging.ERROR)  # a worker that is killed on purpose is failed over, loudly
    return case, measure(case[1], case[2])


def line(case: Case, figures: Figures) -> str:
    """One line of the table."""
    waits = " / ".join(f"{figures.waits[name]:.0f}" for name in ("critical", "high", "normal", "low"))
    idle = "" if figures.idle_after_kill is None else f"{figures.idle_after_kill:.1f}"
    freed = "" if figures.freed_after_kill is None else f"{figures.freed_after_kill:.1f}"
    return (
        f"| {case[0]} | {figures.ratio:.3f} | {figures.conflict_rate:.4f} | {waits} | "
        f"{figures.overtaken} | {figures.at_home:.2f} | {idle} | {freed} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/measure-balance", description=__doc__)
    parser.add_argument("--seed", type=whole, default=1, metavar="S")
    parser.add_argument("--peers", type=count, default=20, metavar="N")
    parser.add_argument("--tasks", type=count, default=2_000, metavar="N")
    parser.add_argument("--more", action="store_true", help="the rows about other circumstances, too")
    parser.add_argument("--only", default="", metavar="TEXT", help="only rows whose name holds this")
    parser.add_argument("--jobs", type=count, default=1, metavar="N", help="processes at a time")
    given = parser.parse_args()
    chosen = cases(given)
    if not chosen:
        parser.error(f"no row has {given.only!r} in its name; rows are {', '.join((*STRATEGIES, *PATTERNS))}")
    print("| strategy | pattern | makespan | conflicts | mean wait | overtaken | at home | idle | freed |")
    print("| --- | --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |", flush=True)
    kept = True
    with multiprocessing.get_context("spawn").Pool(given.jobs) as pool:
        for case, figures in pool.imap(run, chosen):
            print(line(case, figures), flush=True)
            kept = kept and (
                figures.conflict_rate <= MOST_CONFLICTS
                and figures.ratio <= LONGEST_RATIO
                and figures.overtaken <= MOST_OVERTAKEN
            )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
