"""Kills committers at random moments, and goes on working beside them; prints what it saw as JSON.

Each round forks two committers that say on a pipe what was acknowledged to them, kills both some milliseconds
after the first word, and then commits itself. Forking keeps a round as short as the kill wants it.
"""

import itertools
import json
import os
import random
import select
import signal
import sys
import time
from pathlib import Path

from sentinel.errors import StoreError
from sentinel.model.layout import STATE_REF
from sentinel.store.base import ABSENT, Committed
from sentinel.store.local import LocalStore
from sentinel.testing.workbench import attempt, transaction

path, kills, seconds, seed = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])


def commit_until_killed(name: str, pipe: int) -> None:
    store = LocalStore(path, fsync=True)
    for number in itertools.count():
        key = f"tasks/{name}-{number}"
        tx = transaction({key: ABSENT}, {key: {}}, note=f"create {key}", identifier=key)
        try:
            if isinstance(attempt(store, tx), Committed):
                os.write(pipe, f"{key}\n".encode())
        except StoreError as error:
            os.write(pipe, f"! {error}\n".encode())


rng = random.Random(seed)
reading, writing = os.pipe()
os.set_blocking(reading, False)
poll = select.poll()
poll.register(reading, select.POLLIN)
killed = locks_left = rounds = 0
acknowledged: list[str] = []
refused: list[str] = []
said = b""
began = time.monotonic()
store = LocalStore(path, fsync=True)
while killed < kills and time.monotonic() - began < seconds:
    children = []
    for mine in range(2):
        child = os.fork()
        if child == 0:
            try:
                commit_until_killed(f"r{rounds}-{mine}", writing)
            finally:
                os._exit(1)
        children.append(child)
    poll.poll(2000)
    time.sleep(rng.uniform(0.0, 0.03))
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        killed += 1
    locks_left += (path / f"{STATE_REF}.lock").exists()
    key = f"tasks/after-{rounds}"
    try:
        outcome = attempt(store, transaction({key: ABSENT}, {key: {}}, identifier=key))
        if isinstance(outcome, Committed):
            acknowledged.append(key)
        else:
            refused.append(repr(outcome))
    except StoreError as error:
        refused.append(str(error))
    rounds += 1
    while True:
        try:
            said += os.read(reading, 65536)
        except BlockingIOError:
            break
lines = said.decode().splitlines()
acknowledged += [line for line in lines if not line.startswith("!")]
refused += [line for line in lines if line.startswith("!")]
present = set(LocalStore(path, fsync=False).read().list("tasks/"))
report = {
    "killed": killed,
    "rounds": rounds,
    "locks_left": locks_left,
    "acknowledged": len(acknowledged),
    "missing": sorted(set(acknowledged) - present),
    "refused": refused,
    "seconds": round(time.monotonic() - began, 2),
}
print(json.dumps(report))
