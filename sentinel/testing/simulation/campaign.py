"""Many seeds, in several processes, with a line for each that failed and what replays it."""

from __future__ import annotations

import dataclasses
import multiprocessing
import traceback
from collections.abc import Iterator, Sequence

from sentinel.testing.simulator import Report, SimulationOptions, simulate


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of one seed."""

    seed: int
    #: None when product or simulator raised something that is no violation.
    report: Report | None
    #: Empty when all invariants held; else what did not, in one line.
    problem: str
    #: What led to it.
    story: str


def judge(seed: int, options: SimulationOptions) -> Verdict:
    """Simulate one seed; whatever goes wrong becomes part of the verdict."""
    try:
        report = simulate(seed, options)
    except Exception as error:  # noqa: BLE001 - an exception of the product is a finding like any other
        return Verdict(
            seed=seed,
            report=None,
            problem=f"{type(error).__name__}: {error}",
            story="".join(traceback.format_exception(error)),
        )
    problem = "" if report.violation is None else str(report.violation)
    return Verdict(seed=seed, report=report, problem=problem, story=report.timeline)


def campaign(seeds: Sequence[int], options: SimulationOptions, *, jobs: int) -> Iterator[Verdict]:
    """Judge all seeds with so many processes at a time, in whatever order they are done."""
    if jobs <= 1:
        for seed in seeds:
            yield judge(seed, options)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(jobs, maxtasksperchild=50) as pool:
        yield from pool.imap_unordered(_judge, [(seed, options) for seed in seeds])


def _judge(job: tuple[int, SimulationOptions]) -> Verdict:
    return judge(*job)
