"""Many processes with one token race for the same tasks, through GitHub's API alone.

    python -m tests.github.race --processes 50 --tasks 200

runs the whole of it, and prints what came of it; `test_race.py` runs a short one.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from sentinel.clock import SystemClock
from sentinel.entropy import system_random
from sentinel.fleet.view import Reader
from sentinel.github.api import Options, connect
from sentinel.github.git import GitData
from sentinel.github.opening import make_branch
from sentinel.github.place import locate
from sentinel.github.store import ApiStore
from sentinel.model.layout import incarnation_key, task_key, worker_key
from sentinel.store.base import ABSENT, Transaction
from sentinel.store.opener import StoreOptions
from tests.github.emulator import OWNER, REPO, USERS, Emulator, aliases, token
from tests.github.proxy import Proxy, proxy
from tests.unit import builders

ROOT = Path(__file__).parents[2]
URL = f"github+api://{OWNER}/{REPO}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a race."""

    #: Task → the epochs at which it was won, as the winners say.
    won: Mapping[str, list[int]]
    #: Task → how often the audit says that it was claimed.
    claimed: Mapping[str, int]
    #: Task → epoch in its record.
    epochs: Mapping[str, int]
    #: Process → how many it won.
    winners: Mapping[str, int]
    lost: int
    requests: int
    charged: int
    seconds: float


def race(through: Proxy, *, processes: int, tasks: int, pause: float) -> Result:
    """Let ``processes`` race for ``tasks``; each pauses up to ``pause`` seconds between two claims."""
    environ = {**os.environ, "GITHUB_API_URL": through.url, "GITHUB_TOKEN": token("robot")}
    # How often one may ask is not what this is about.
    through.strict = False
    through.allowed.an_hour = 10**9
    names = [f"w{number}" for number in range(processes)]
    api = connect(locate(URL, environ), Options(environ=environ, timeout=60.0))
    make_branch(GitData(api), api.place, "race", clock=SystemClock(), rng=system_random())
    store = ApiStore(api, StoreOptions(actor="race"))
    _fill(store, names, tasks)
    began = time.monotonic()
    told = _run(environ, names, pause)
    seconds = time.monotonic() - began
    won: dict[str, list[int]] = collections.defaultdict(list)
    winners: collections.Counter[str] = collections.Counter()
    ends = [0, 0, 0]
    for name, text in told.items():
        for line in text.splitlines():
            kind, *rest = line.split()
            if kind == "won":
                won[rest[0]].append(int(rest[1]))
                winners[name] += 1
            elif kind == "end":
                ends = [before + int(more) for before, more in zip(ends, rest, strict=True)]
    view = Reader().view(store.read())
    notes = [note for entry in store.audit(10_000) for note in entry.notes]
    claimed = collections.Counter(note.split()[1] for note in notes if note.startswith("claim "))
    epochs = {task.id: task.epoch for task in view.tasks.values()}
    store.close()
    return Result(
        won=won,
        claimed=claimed,
        epochs=epochs,
        winners=winners,
        lost=ends[0],
        requests=ends[1],
        charged=ends[2],
        seconds=seconds,
    )


def _fill(store: ApiStore, names: list[str], tasks: int) -> None:
    documents = {
        task_key(f"t{number:03}"): builders.as_stored(builders.task(f"t{number:03}"))
        for number in range(tasks)
    }
    for name in names:
        incarnation = builders.incarnation(f"inc-{name}", name)
        documents[incarnation_key(f"inc-{name}")] = builders.as_stored(incarnation)
        documents[worker_key(name)] = builders.as_stored(builders.worker(name, f"inc-{name}"))
    store.commit([Transaction("fill", dict.fromkeys(documents, ABSENT), documents, "fill the store")])


def _run(environ: Mapping[str, str], names: list[str], pause: float) -> dict[str, str]:
    """Start all, let them go at once, and wait for all; what each printed."""
    program = ROOT / "tests" / "github" / "programs" / "claim.py"
    running = {
        name: subprocess.Popen(
            [sys.executable, str(program), URL, name, str(number), str(pause)],
            env={**environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number, name in enumerate(names)
    }
    for process in running.values():
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running.values():
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    told = {name: process.communicate()[0] for name, process in running.items()}
    assert [process.returncode for process in running.values()] == [0] * len(running)
    return told


def _main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--processes", type=int, default=50)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--pause", type=float, default=120.0, help="seconds; the emulator is slow")
    given = parser.parse_args()
    tools = subprocess.run(
        [str(ROOT / "scripts" / "github-tools")], capture_output=True, text=True, check=True
    )
    emulator = Emulator(Path(tools.stdout.strip()))
    try:
        with proxy(emulator.port, {token(login): login for login in USERS}, aliases) as through:
            result = race(through, processes=given.processes, tasks=given.tasks, pause=given.pause)
            calls = len(through.ledger.calls)
    finally:
        emulator.close()
    once = sum(epochs == [1] for epochs in result.won.values())
    in_audit = sum(count == 1 for count in result.claimed.values())
    print(f"{given.processes} processes, one token, {given.tasks} tasks: {result.seconds:.0f} s")
    print(f"won exactly once, by the winners' own account: {once}")
    print(f"claimed exactly once, by the audit: {in_audit}")
    print(f"at epoch 1 in the record: {sum(epoch == 1 for epoch in result.epochs.values())}")
    print(
        f"processes that won at least one: {len(result.winners)}; most by one: {max(result.winners.values())}"
    )
    print(f"claims that bounced or gave up: {result.lost}")
    print(f"requests: {calls}, of them {result.requests} by the racers, {result.charged} charged")
    return 0 if once == in_audit == given.tasks == len(result.won) else 1


if __name__ == "__main__":
    sys.exit(_main())
