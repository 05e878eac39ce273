"""What a commit and a tick of a peer cost as tasks and history grow, side by side in one run.

Stores of each size are made with `git fast-import`, as one pack each, then all are measured in turn, again
and again; a row is medians of processor time, and their ratio. Exit status: 0 when every limit was kept.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.arguments import count, existing_folder, new_file
from sentinel.fleet import tasks
from sentinel.fleet.balancers import find
from sentinel.fleet.observer import Observer
from sentinel.fleet.proof import NoProof
from sentinel.model import layout
from sentinel.model import task as model
from sentinel.model.codec import encode_document
from sentinel.model.ids import IdSource
from sentinel.model.lease import LeaseTimes
from sentinel.model.task import Task
from sentinel.model.worker import Incarnation, Worker
from sentinel.peer.admission import Admission
from sentinel.peer.beat import Beat
from sentinel.peer.lease import Lease
from sentinel.peer.options import PeerOptions
from sentinel.peer.peer import Peer
from sentinel.peer.run.spec import RunSpec
from sentinel.peer.work import Counters, Work
from sentinel.store.local import LocalStore, create_local
from sentinel.store.opener import StoreOptions
from sentinel.store.transact import Transactor
from sentinel.store.tree import path_of
from sentinel.testing.clock import ManualClock
from sentinel.testing.overseer import ScriptedOverseer

SIZES = (1_000, 10_000, 100_000)
#: Active tasks where the history is what grows, and commits of history where the tasks are.
BASE = 1_000
#: What the largest may cost of what the smallest does.
LIMITS = {"commit by active tasks": 3.0, "commit by history": 1.5, "tick": 2.0}
_DAY = "2026-11-22T00:00:00.000000Z"


def record(number: int, kind: str, *, epoch: int = 0) -> bytes:
    """The stored bytes of a waiting task."""
    at = f"{number // 60_000:02d}:{number // 1_000 % 60:02d}.{number % 1_000:03d}000"
    task = Task(
        id=f"task-{number:06d}",
        type=kind,
        args={"seconds": 1.5, "path": f"input/{number}.json"},
        created_at=f"2026-11-22T00:{at}Z",
        submitted_by="measure",
        epoch=epoch,
    )
    return encode_document(model.submit(task, wall=1_795_000_000.0).stamped(1, f"tx-{number}").document())


def fill(path: Path, *, active: int, history: int, kind: str) -> None:
    """Put ``active`` tasks and ``history`` commits into a new fleet at ``path``."""
    create_local(str(path), StoreOptions(actor="measure", fsync=False))
    stream = subprocess.Popen(
        ["git", "-C", str(path), "fast-import", "--quiet", "--force"], stdin=subprocess.PIPE
    )
    assert stream.stdin is not None
    write = stream.stdin.write

    def commit(text: str, files: Iterator[tuple[int, bytes]], *, first: bool) -> None:
        line = f"commit {layout.STATE_REF}\ncommitter measure <m@sentinel.invalid> 1795000000 +0000\n"
        write(f"{line}data {len(text)}\n{text}\n".encode())
        if first:
            write(f"from {layout.STATE_REF}^0\n".encode())
        for number, data in files:
            name = "/".join(path_of(layout.task_key(f"task-{number:06d}")))
            write(f"M 100644 inline {name}\ndata {len(data)}\n".encode() + data + b"\n")

    commit("submit them all", ((number, record(number, kind)) for number in range(active)), first=True)
    for number in range(history):
        task = number % active
        again = iter([(task, record(task, kind, epoch=1 + number // active))])
        commit(
            f"touch task-{task:06d}\n\nSentinel-Nonce: {number}\nSentinel-Tx: {number}\n", again, first=False
        )
    stream.stdin.close()
    if stream.wait():
        raise SystemExit("git fast-import failed")


class Bench:
    """One store, a client that commits and a peer that looks."""

    def __init__(self, path: Path, *, kind: str, fsync: bool) -> None:
        self.clock = ManualClock()
        self._rng = random.Random(7)
        self._ids = IdSource(self._rng, self.clock.wall)
        self._store = LocalStore(path, actor="measure", fsync=fsync)
        self._client = Transactor(self._store, self.clock, self._rng, self._ids)
        self._number = 0
        self._path = path
        self._kind = kind
        self._peer: Peer | None = None
        self._beat: Beat | None = None

    def commit(self) -> None:
        """Hand in one task, and in the next call cancel it: two of the usual kinds of commit."""
        task_id = f"extra-{self._number // 2}"
        task = Task(id=task_id, type=self._kind, created_at=_DAY)
        if self._number % 2:
            self._client.transact(
                lambda snapshot: tasks.cancel(
                    self._client.change(snapshot), snapshot, task_id, wall=0.0, reason="measured"
                )
            )
        else:
            self._client.transact(
                lambda snapshot: tasks.submit(self._client.change(snapshot), snapshot, task, wall=0.0)
            )
        self._number += 1

    def join(self) -> None:
        """Let a peer join that runs tasks of type ``mine``."""
        times = LeaseTimes(2.0, 10.0)
        worker = Worker(id="looker", incarnation="", hostname="here", max_tasks=4, types=("mine",))
        incarnation = Incarnation(
            id=self._ids.ulid(), worker="looker", hostname="here", ttl=times.stale, interval=times.interval
        )
        store = LocalStore(self._path, actor="looker", fsync=False)
        transactor = Transactor(store, self.clock, self._rng, self._ids)
        overseer, observer, counters = ScriptedOverseer(self.clock), Observer(), Counters()
        lease = Lease(self.clock, overseer.extend)
        options = PeerOptions(
            worker="looker",
            times=times,
            max_tasks=4,
            types=frozenset({"mine"}),
            balancer=find("least_loaded"),
        )
        work = Work(
            options=options,
            transactor=transactor,
            overseer=overseer,
            lease=lease,
            plan=self._plan,
            ended=lambda _: None,
            counters=counters,
        )
        self._peer = peer = Peer(
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
        joined = Admission(
            transactor=transactor,
            worker=worker,
            incarnation=incarnation,
            observer=observer,
            proof=NoProof(),
        ).attempt()
        self._beat = Beat(
            store=LocalStore(self._path, actor="looker", fsync=False),
            clock=self.clock,
            incarnation=incarnation.id,
            worker="looker",
            lease=lease,
            load=lambda: peer.load,
            changed=lambda: None,
        )
        if not joined or not self._beat.beat():
            raise SystemExit("the peer could not join")
        self.settle()

    def _plan(self, task: Task) -> RunSpec:
        folder = self._path.parent
        return RunSpec(run=task.id, argv=("mine",), env={}, cwd="/", log_path=str(folder / "log"))

    def settle(self) -> None:
        """Let the peer do what there is to do, and live on."""
        assert self._beat is not None
        self.clock.advance(0.5)
        self._beat.beat()
        for _ in range(4):
            self.tick()

    def tick(self) -> None:
        """One tick of the peer."""
        assert self._peer is not None
        self._peer.tick()


def processor(act: Callable[[], None]) -> float:
    """The seconds of processor time that ``act`` takes: other work on the machine does not count."""
    began = time.thread_time()
    act()
    return time.thread_time() - began


def elapsed(act: Callable[[], None]) -> float:
    """The seconds that ``act`` takes, waiting for the disk included."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


Samples = dict[str, dict[int, list[float]]]


def measure(folder: Path, sizes: tuple[int, ...], rounds: int, *, fsync: bool) -> Samples:
    """All samples in seconds: figure → size → one for each round."""
    benches: dict[tuple[str, int], Bench] = {}
    for size in sizes:
        for kind in ("other", "mine"):
            path = folder / f"active-{kind}-{size}.git"
            say(f"making {size:,} active tasks of type {kind}")
            fill(path, active=size, history=BASE, kind=kind)
            benches[kind, size] = Bench(path, kind=kind, fsync=fsync)
            benches[kind, size].join()
        say(f"making {size:,} commits of history")
        path = folder / f"history-{size}.git"
        fill(path, active=BASE, history=size, kind="other")
        benches["history", size] = Bench(path, kind="other", fsync=fsync)
    samples: Samples = {}
    seconds = elapsed if fsync else processor

    def note(figure: str, size: int, took: float) -> None:
        samples.setdefault(figure, {}).setdefault(size, []).append(took)

    for number in range(rounds):
        for size in sizes if number % 2 else sizes[::-1]:
            other, mine, history = (benches[name, size] for name in ("other", "mine", "history"))
            note("commit by active tasks", size, seconds(other.commit))
            note("commit by history", size, seconds(history.commit))
            note("tick, a task changed, none for it", size, seconds(other.tick))
            note("tick, nothing changed, none for it", size, seconds(other.tick))
            mine.commit()
            note("tick, a task changed, all slots full", size, seconds(mine.tick))
            note("tick, nothing changed, all slots full", size, seconds(mine.tick))
            other.settle()
            mine.settle()
    return samples


def limit_of(figure: str) -> float:
    """The largest ratio that ``figure`` may show."""
    return next(limit for name, limit in LIMITS.items() if figure.startswith(name))


def say(text: str) -> None:
    """Tell whoever waits."""
    print(text, file=sys.stderr, flush=True)


def table(samples: Samples, sizes: tuple[int, ...]) -> tuple[list[str], bool]:
    """The lines of the table, and whether every limit was kept."""
    lines = ["| median in ms | " + " | ".join(f"{size:,}" for size in sizes) + " | ratio | limit |"]
    lines.append("| --- |" + " ---: |" * (len(sizes) + 2))
    kept = True
    for figure, by_size in samples.items():
        medians = [statistics.median(by_size[size]) for size in sizes]
        ratio, limit = medians[-1] / medians[0], limit_of(figure)
        kept = kept and ratio <= limit
        cells = " | ".join(f"{median * 1_000:.2f}" for median in medians)
        lines.append(f"| {figure} | {cells} | {ratio:.2f} | {limit:g} |")
    return lines, kept


def document(samples: Samples) -> Mapping[str, object]:
    """Everything that was measured, as JSON."""
    return {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "seconds": {
            figure: {str(size): values for size, values in by.items()} for figure, by in samples.items()
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/measure-scale", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="sizes of a tenth, for a minute's look")
    parser.add_argument("--rounds", type=count, default=60, metavar="N", help="samples of each figure")
    parser.add_argument("--fsync", action="store_true", help="wait for the disk, and count the waiting")
    parser.add_argument("--folder", type=existing_folder, metavar="PATH", help="where to make the stores")
    parser.add_argument("--json", type=new_file, metavar="FILE", help="write all samples there, too")
    given = parser.parse_args()
    sizes = tuple(size // 10 for size in SIZES) if given.quick else SIZES
    folder = Path(tempfile.mkdtemp(prefix="sentinel-scale-", dir=given.folder))
    try:
        samples = measure(folder, sizes, given.rounds, fsync=given.fsync)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    lines, kept = table(samples, sizes)
    print("\n".join(lines))
    if given.json is not None:
        given.json.write_text(json.dumps(document(samples), indent=1) + "\n")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
