"""What the demo's fleet did, and whether it is as it should be: a pure judgement over task records.

The fleet is not asked to vouch for itself: what its tasks returned is compared with what one process on
this machine returns for the same packages, and the records' own histories are counted.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sentinel.demo.analysis import TOP
from sentinel.model import codec
from sentinel.model.task import Task

Summary = Mapping[str, Any]

#: How many names a sentence lists before it says how many more there are.
_NAMED = 5
_TOTALS = ("modules", "lines", "functions", "classes", "complexity", "bytecode", "failed")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """The one ``kill -9``, and what was seen of its consequences."""

    #: Worker id of the peer whose daemon was killed.
    killed: str
    #: Tasks that it owned at that moment.
    tasks: tuple[str, ...]
    #: Seconds from the kill until one of them was seen claimed by another peer; None if that was never seen.
    seconds: float | None = None
    #: That task, and the peer that claimed it.
    task: str | None = None
    by: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that the judgement rests on."""

    #: Version of the interpreter whose library it is.
    python: str
    #: Package name → id of its task.
    tasks: Mapping[str, str]
    #: Every task record of the fleet.
    records: Sequence[Task]
    #: Package name → what the fleet returned for it, for those that are done.
    fleet: Mapping[str, Summary]
    #: Package name → what one process returned for it.
    single: Mapping[str, Summary]
    #: None when nobody was killed.
    takeover: Takeover | None
    #: Ids of the peers.
    peers: Sequence[str]
    #: Top-level packages that were not asked for → how many modules they have.
    left_out: Mapping[str, int]
    #: Wall time in seconds from the first task handed in to the last that ended.
    fleet_seconds: float
    single_seconds: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The judgement. `problems` is empty exactly when everything is as it should be."""

    python: str
    tasks: int
    done: int
    takeover: Takeover | None
    #: Peer → tasks that it finished.
    finished_by: Mapping[str, int]
    #: Executions begun, over all tasks; more than `tasks` when some had to begin again.
    attempts: int
    #: Attempts that ended with the loss of their worker.
    losses: int
    #: Tasks that were finished under a second or later claim.
    reclaimed: int
    totals: Mapping[str, int]
    #: The most complex modules, the first being the most complex.
    top: Sequence[Mapping[str, Any]]
    #: Files that could not be measured, by stage and error.
    failures: Mapping[str, int]
    left_out: Mapping[str, int]
    #: SHA-256 over all results of the fleet, and over those of the single process.
    fleet_digest: str
    single_digest: str
    fleet_seconds: float
    single_seconds: float
    problems: Sequence[str]

    @property
    def ok(self) -> bool:
        """Whether the demo showed what it promises."""
        return not self.problems

    @property
    def identical(self) -> bool:
        """Whether the fleet returned exactly what one process returned."""
        return self.fleet_digest == self.single_digest

    def document(self) -> dict[str, Any]:
        """The report as JSON."""
        return {"ok": self.ok, "identical": self.identical, **dataclasses.asdict(self)}


def judge(evidence: Evidence) -> Report:
    """The report on a fleet that came to rest, or was given up."""
    expected = set(evidence.tasks.values())
    records = [task for task in evidence.records if task.id in expected]
    modules = [entry for summary in evidence.fleet.values() for entry in summary["top"]]
    failures: Counter[str] = Counter()
    for summary in evidence.fleet.values():
        failures.update(summary["failed_by"])
    finished_by = Counter(task.owner for task in records if task.state == "done" and task.owner)
    return Report(
        python=evidence.python,
        tasks=len(evidence.tasks),
        done=sum(task.state == "done" for task in records),
        takeover=evidence.takeover,
        finished_by={peer: finished_by[peer] for peer in evidence.peers},
        attempts=sum(task.attempt for task in records),
        losses=sum(task.losses for task in records),
        reclaimed=len(_reclaimed(records)),
        totals={name: sum(summary[name] for summary in evidence.fleet.values()) for name in _TOTALS},
        top=sorted(modules, key=lambda entry: (-entry["complexity"], entry["module"]))[:TOP],
        failures=dict(sorted(failures.items())),
        left_out=dict(evidence.left_out),
        fleet_digest=_digest(evidence.fleet),
        single_digest=_digest(evidence.single),
        fleet_seconds=evidence.fleet_seconds,
        single_seconds=evidence.single_seconds,
        problems=tuple(_problems(evidence, records)),
    )


def _problems(evidence: Evidence, records: Sequence[Task]) -> Iterator[str]:
    missing = set(evidence.tasks.values()) - {task.id for task in records}
    if missing:
        yield f"{_tasks(missing)} cannot be found any more"
    for task in (task for task in records if task.state != "done"):
        yield f"task {task.id} is {task.state}" + (f" ({task.reason})" if task.reason else "")
    for task in records:
        finished = sum(event.event == "finished" for event in task.history)
        if finished != 1 and (finished or task.state == "done"):
            yield f"task {task.id} has {finished} finished events instead of one"
    differing = {name for name in evidence.tasks if evidence.fleet.get(name) != evidence.single.get(name)}
    if differing:
        yield f"the fleet's result differs from a single process's for {_tasks(differing)}"
    if evidence.takeover is None:
        yield "no peer was killed, as none was seen running two tasks at once"
    elif evidence.takeover.seconds is None:
        yield f"nobody was seen taking over the tasks of {evidence.takeover.killed}, which was killed"
    if not _reclaimed(records):
        yield "no task was finished at epoch 2 or later, so no takeover is proven"


def _reclaimed(records: Sequence[Task]) -> list[Task]:
    return [
        task
        for task in records
        if any(event.event == "finished" and event.epoch >= 2 for event in task.history)
    ]


def _tasks(names: set[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - _NAMED} more" if len(ordered) > _NAMED else ""
    return ", ".join(ordered[:_NAMED]) + more


def _digest(results: Mapping[str, Summary]) -> str:
    return hashlib.sha256(codec.encode({name: dict(value) for name, value in results.items()})).hexdigest()


def report_lines(report: Report) -> Iterator[str]:
    """The report for people, in plain text of at most 100 columns."""
    totals = report.totals
    yield f"Standard library of Python {report.python}"
    yield (
        f"  {report.tasks:,} packages, {totals['modules']:,} modules, {totals['lines']:,} lines, "
        f"{totals['functions']:,} functions, {totals['classes']:,} classes"
    )
    yield f"  cyclomatic complexity {totals['complexity']:,}, {totals['bytecode']:,} bytes of bytecode"
    if totals["failed"]:
        kinds = ", ".join(f"{kind} {count}" for kind, count in report.failures.items())
        yield f"  files that could not be measured to the end: {totals['failed']:,} ({kinds})"
    for name, count in report.left_out.items():
        yield f"  left out: {name}, CPython's regression tests, {count:,} modules (--with-tests adds them)"
    yield ""
    yield "Ten most complex modules"
    width = max((len(entry["module"]) for entry in report.top), default=0)
    for entry in report.top:
        hardest = entry["hardest"]
        worst = f", most of all {hardest['name']} ({hardest['complexity']})" if hardest else ""
        functions = f"{entry['functions']:,} functions"
        yield f"  {entry['complexity']:6,}  {entry['module']:{width}}  {functions}{worst}"
    yield ""
    yield "Fleet"
    shares = ", ".join(f"{peer} {count}" for peer, count in report.finished_by.items())
    yield f"  tasks done     {report.done} of {report.tasks} ({shares})"
    yield f"  attempts       {report.attempts}, of which {report.losses} were lost with their worker"
    yield from _takeover_lines(report)
    rate = report.done / report.fleet_seconds if report.fleet_seconds else 0.0
    yield f"  time           {report.fleet_seconds:.1f} s, {rate:.1f} tasks/s, a process for each"
    verdict = "identical to" if report.identical else "NOT the same as"
    alone = f"those of a single process, which took {report.single_seconds:.1f} s"
    yield f"  results        {verdict} {alone}"
    yield f"                 sha256 {report.fleet_digest[:32]}…"
    yield ""
    if report.ok:
        yield "Every task has exactly one result, and the work of the killed peer was done by the others."
    else:
        yield "This is not as it should be:"
        for problem in report.problems:
            yield f"  - {problem}"


def _takeover_lines(report: Report) -> Iterator[str]:
    takeover = report.takeover
    if takeover is None:
        yield "  takeover       none: nobody was killed"
        return
    yield f"  killed         {takeover.killed} with kill -9, while it ran {' and '.join(takeover.tasks)}"
    if takeover.seconds is None:
        yield "  takeover       none was seen"
    else:
        again = f"{report.reclaimed} task{'s' if report.reclaimed != 1 else ''} finished at epoch 2 or later"
        yield f"  takeover       {takeover.seconds:.2f} s later, {takeover.task} by {takeover.by}; {again}"
