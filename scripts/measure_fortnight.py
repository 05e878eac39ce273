"""Fourteen days of a fleet in virtual time on a real local store: what it takes does not grow for ever.

Ten peers run the product's own control loops on one repository; time, processes and threads are simulated.
Each task prints a log. Exit status: 0 when everything has levelled off, 1 when something still grows.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.arguments import amount, count, existing_folder, new_file, whole
from sentinel.client import Client, ClientOptions
from sentinel.fleet.balancers import find
from sentinel.fleet.observer import Observer
from sentinel.fleet.proof import NoProof
from sentinel.fleet.submission import Declared, Submission
from sentinel.model.ids import IdSource
from sentinel.model.lease import LeaseTimes
from sentinel.model.retention import Terms
from sentinel.model.task import Task
from sentinel.model.worker import Incarnation, Worker
from sentinel.peer.admission import Admission
from sentinel.peer.beat import Beat
from sentinel.peer.lease import Lease
from sentinel.peer.options import PeerOptions
from sentinel.peer.peer import Peer
from sentinel.peer.run.spec import RunSpec
from sentinel.peer.work import Counters, Work
from sentinel.store import upkeep
from sentinel.store.base import Outcome, Transaction
from sentinel.store.local import LocalStore, create_local
from sentinel.store.opener import StoreOptions
from sentinel.store.transact import Transactor
from sentinel.testing.clock import ManualClock
from sentinel.testing.overseer import ScriptedOverseer

DAY = 86_400.0
#: Virtual seconds between two looks of each peer, and what fits to that.
STEP = 300.0
TIMES = LeaseTimes(600.0, 3_600.0)
#: What each figure may be in the last part, of what it was in the part before.
LIMITS = {
    "kilobytes": 1.3,
    "objects": 1.3,
    "commits": 1.3,
    "ended": 1.3,
    "milliseconds": 1.5,
    "megabytes": 1.15,
}
TITLES = {
    "kilobytes": "repository, KB of objects",
    "objects": "objects, loose and packed",
    "commits": "commits of history",
    "ended": "ended tasks kept",
    "milliseconds": "a commit, ms of processor time",
    "megabytes": "memory of ten peers in one process, MB",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """What the fleet took at one moment."""

    day: float
    kilobytes: float
    objects: float
    commits: float
    ended: float
    milliseconds: float
    megabytes: float


class AtOnce(upkeep.Helper):
    """Tidies up at once instead of in a process of its own, whose real time would be ages here."""

    def start(self, path: Path, mark: int) -> None:
        """See `upkeep.Helper`."""
        upkeep.keep_small(path, mark)


class Timed(LocalStore):
    """A store that notes what its commits take."""

    took: list[float]

    def commit(self, transactions: Sequence[Transaction]) -> list[Outcome]:
        """See `Store`."""
        began = time.thread_time()
        outcomes = super().commit(transactions)
        if transactions:
            self.took.append(time.thread_time() - began)
        return outcomes


class Member:
    """One peer, its beat and its processes."""

    def __init__(self, fortnight: Fortnight, number: int) -> None:
        clock, rng, ids = fortnight.clock, fortnight.rng, fortnight.ids
        name = f"worker-{number:02}"
        self._folder = fortnight.folder
        self._rng = rng
        incarnation = Incarnation(
            id=ids.ulid(), worker=name, hostname="here", ttl=TIMES.stale, interval=TIMES.interval
        )
        store = fortnight.open(name)
        transactor = Transactor(store, clock, rng, ids)
        self.overseer = ScriptedOverseer(clock)
        observer, counters = Observer(), Counters()
        lease = Lease(clock, self.overseer.extend)
        options = PeerOptions(
            worker=name,
            times=TIMES,
            max_tasks=4,
            types=frozenset({"work"}),
            balancer=find("least_loaded"),
            retention=fortnight.terms,
        )
        work = Work(
            options=options,
            transactor=transactor,
            overseer=self.overseer,
            lease=lease,
            plan=self._plan,
            ended=self._clear,
            counters=counters,
        )
        self.peer = Peer(
            options=options,
            incarnation=incarnation,
            transactor=transactor,
            work=work,
            lease=lease,
            observer=observer,
            proof=NoProof(),
            counters=counters,
            housekeeping=lambda _: None,
        )
        worker = Worker(id=name, incarnation="", hostname="here", max_tasks=4, types=("work",))
        admission = Admission(
            transactor=transactor, worker=worker, incarnation=incarnation, observer=observer, proof=NoProof()
        )
        self.beat = Beat(
            store=fortnight.open(name),
            clock=clock,
            incarnation=incarnation.id,
            worker=name,
            lease=lease,
            load=lambda: self.peer.load,
            changed=lambda: None,
        )
        if not admission.attempt() or not self.beat.beat():
            raise SystemExit(f"{name} could not join")

    def _plan(self, task: Task) -> RunSpec:
        place = self._folder / f"{task.id}-{task.epoch}"
        Path(f"{place}.log").write_bytes(self._rng.randbytes(400).hex().encode())
        return RunSpec(
            run=f"{task.id}@{task.epoch}",
            argv=("work",),
            env={},
            cwd="/",
            log_path=f"{place}.log",
            result_path=f"{place}.json",
        )

    def _clear(self, spec: RunSpec) -> None:
        for name in (spec.log_path, spec.result_path):
            Path(str(name)).unlink(missing_ok=True)

    def step(self) -> None:
        """What ran has ended; then a few looks."""
        for run in list(self.overseer.runs):
            self.overseer.finish(run, result={"value": self._rng.random()})
        for _ in range(3):
            if self.peer.tick() > 0:
                break


class Fortnight:
    """The fleet and what was seen of it."""

    def __init__(self, folder: Path, *, terms: Terms, a_day: float, peers: int, seed: int) -> None:
        self.folder = folder
        self.terms = terms
        self.clock = ManualClock()
        self.rng = random.Random(seed)
        self.ids = IdSource(self.rng, self.clock.wall)
        self._path = folder / "fleet.git"
        self._a_day = a_day
        self.took: list[float] = []
        create_local(str(self._path), StoreOptions(actor="measure", fsync=False))
        self._client = Client(
            self.open("people"),
            clock=self.clock,
            rng=self.rng,
            actor="people",
            options=ClientOptions(types={"work": Declared(origin="the fortnight")}),
        )
        self._members = [Member(self, number) for number in range(1, peers + 1)]
        self._number = 0

    def open(self, actor: str) -> Timed:
        """A connection that tells what it takes."""
        store = Timed(self._path, actor=actor, fsync=False, clock=self.clock, rng=self.rng, helper=AtOnce())
        store.took = self.took
        return store

    def live(self, days: float, every: float, seen: Callable[[Sample], None]) -> None:
        """Let so many days pass, and tell after every so many."""
        steps = round(days * DAY / STEP)
        a_sample = max(1, round(every * DAY / STEP))
        for number in range(1, steps + 1):
            self.clock.advance(STEP)
            if number % 2 == 0:
                for member in self._members:
                    member.beat.beat()
            self._hand_in(self._a_day * STEP / DAY)
            for member in self._members:
                member.step()
            if number % a_sample == 0:
                seen(self._sample(number * STEP / DAY))

    def _hand_in(self, mean: float) -> None:
        count = int(mean) + (self.rng.random() < mean % 1)
        wanted = []
        for _ in range(count):
            self._number += 1
            wanted.append(Submission(type="work", id=f"task-{self._number}", args={"number": self._number}))
        for one in wanted:
            self._client.submit_many([one])

    def _sample(self, day: float) -> Sample:
        size = upkeep.size(self._path)
        took, self.took[:] = statistics.median(self.took or [0.0]), []
        snapshot = self._client.store.read()
        return Sample(
            day=day,
            kilobytes=size.kilobytes,
            objects=size.loose + size.packed,
            commits=size.commits,
            ended=sum(1 for _ in snapshot.list("done/")),
            milliseconds=took * 1_000,
            megabytes=int(Path("/proc/self/statm").read_text().split()[1]) * 4_096 / 1e6,
        )


def levelled(samples: Sequence[Sample], *, noisy: bool) -> dict[str, float]:
    """Figure → the largest value in the last quarter, of that in the quarter before."""
    quarter = len(samples) // 4
    before, last = samples[-2 * quarter : -quarter], samples[-quarter:]
    figures = [name for name in LIMITS if noisy or name not in ("milliseconds", "megabytes")]
    return {
        name: max(getattr(one, name) for one in last) / max(getattr(one, name) for one in before)
        for name in figures
    }


def plot(samples: Sequence[Sample], title: str) -> str:
    """The figures as an SVG, one above the other."""
    width, height, left, gap = 620, 74, 10, 34
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width + 2 * left}" '
        f'height="{(height + gap) * len(TITLES) + 40}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{left}" y="18" font-size="14">{title}</text>',
    ]
    last = samples[-1].day
    for number, (name, label) in enumerate(TITLES.items()):
        top = 40 + number * (height + gap)
        values = [getattr(one, name) for one in samples]
        highest = max(values) or 1.0
        points = " ".join(
            f"{left + one.day / last * width:.1f},{top + height - value / highest * height:.1f}"
            for one, value in zip(samples, values, strict=True)
        )
        lines += [
            f'<text x="{left}" y="{top - 6}">{label}: at most {highest:,.4g}</text>',
            f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="#ccc"/>',
            f'<polyline points="{points}" fill="none" stroke="#06c" stroke-width="1.5"/>',
        ]
    lines.append(f'<text x="{left}" y="{40 + len(TITLES) * (height + gap) - 14}">0 to {last:g} days</text>')
    return "\n".join([*lines, "</svg>", ""])


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/measure-fortnight", description=__doc__)
    parser.add_argument("--days", type=amount, default=14.0, metavar="N")
    parser.add_argument(
        "--retention", type=amount, default=7.0, metavar="DAYS", help="days that tasks are kept"
    )
    parser.add_argument(
        "--a-day", type=amount, default=2_000.0, metavar="N", help="tasks a day (default: 2,000)"
    )
    parser.add_argument(
        "--factor", type=amount, default=1.0, metavar="F", help="divide the tasks a day by this"
    )
    parser.add_argument("--peers", type=count, default=10, metavar="N")
    parser.add_argument("--every", type=amount, default=0.5, metavar="DAYS", help="between two samples")
    parser.add_argument("--seed", type=whole, default=1, metavar="S")
    parser.add_argument("--exact", action="store_true", help="do not judge processor time and memory")
    parser.add_argument("--worth", type=count, metavar="N", help="let history go from so many commits on")
    parser.add_argument("--svg", type=new_file, metavar="FILE", help="plot it there")
    parser.add_argument("--json", type=new_file, metavar="FILE", help="write all samples there")
    parser.add_argument("--folder", type=existing_folder, metavar="PATH", help="where to make the store")
    given = parser.parse_args()
    # Between two turns of the upkeep there are days, though Git's clock does not show them.
    upkeep.UNREACHABLE = "now"
    # What triggers the upkeep is scaled down with the work.
    upkeep.WORTH_IT = given.worth or int(upkeep.WORTH_IT / given.factor)
    upkeep.GROWTH = int(upkeep.GROWTH / given.factor)
    folder = Path(tempfile.mkdtemp(prefix="sentinel-fortnight-", dir=given.folder))
    samples: list[Sample] = []
    print("| day | " + " | ".join(TITLES.values()) + " |")
    print("| ---: |" + " ---: |" * len(TITLES))

    def seen(sample: Sample) -> None:
        samples.append(sample)
        cells = (f"{getattr(sample, name):,.4g}" for name in TITLES)
        print(f"| {sample.day:g} | " + " | ".join(cells) + " |", flush=True)

    try:
        Fortnight(
            folder,
            terms=Terms(seconds=given.retention * DAY, count=100_000),
            a_day=given.a_day / given.factor,
            peers=given.peers,
            seed=given.seed,
        ).live(given.days, given.every, seen)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    ratios = levelled(samples, noisy=not given.exact)
    kept = True
    for name, ratio in ratios.items():
        kept = kept and ratio <= LIMITS[name]
        print(f"{TITLES[name]}: the last quarter is {ratio:.2f} of the one before (limit {LIMITS[name]:g})")
    load = f"{given.a_day / given.factor:,.0f} tasks a day"
    title = f"{given.peers} peers, {load}, kept for {given.retention:g} days"
    if given.svg is not None:
        given.svg.write_text(plot(samples, title))
    if given.json is not None:
        found: list[Mapping[str, Any]] = [dataclasses.asdict(sample) for sample in samples]
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
