"""Claims waiting tasks, a few at a time as workers do, against others; prints those that it won.

It begins when it is told to go, at once with the others, and comes again after a pause of its own. It has no
limit of requests: this is about who wins, not about how often one may ask.
"""

import os
import random
import sys

from sentinel.clock import SystemClock
from sentinel.errors import Unavailable
from sentinel.fleet import tasks
from sentinel.fleet.view import Reader
from sentinel.github.api import Limits, Options, connect
from sentinel.github.place import locate
from sentinel.github.store import ApiStore
from sentinel.model.ids import IdSource
from sentinel.store.base import Committed
from sentinel.store.opener import StoreOptions
from sentinel.store.transact import Transactor

#: Claims in one commit.
AT_ONCE = 4

url, name, seed, pause = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
rng, clock = random.Random(seed), SystemClock()
limits = Limits(points_a_minute=10**9, between_writes=0.0, at_once=10**6)
api = connect(locate(url, os.environ), Options(timeout=60.0, limits=limits))
store = ApiStore(api, StoreOptions(actor=name), rng=rng)
transactor = Transactor(store, clock, rng, IdSource(rng, clock.wall))
reader = Reader()
print("ready", flush=True)
sys.stdin.readline()
lost = 0
while True:
    view = reader.view(store.read())
    waiting = sorted(task.id for task in view.tasks.values() if task.state == "pending")
    if not waiting:
        break
    # All want the same ones.
    wanted = rng.sample(waiting[: 2 * AT_ONCE], min(AT_ONCE, len(waiting)))
    claims = [
        tasks.claim(
            transactor.change(view.snapshot),
            view.tasks[task],
            worker=name,
            incarnation=f"inc-{name}",
            wall=clock.wall(),
        )
        for task in wanted
    ]
    try:
        outcomes = store.commit([claim for claim, _ in claims])
    except Unavailable:
        lost += len(claims)
        outcomes = []
    for (_, claimed), outcome in zip(claims, outcomes, strict=bool(outcomes)):
        if isinstance(outcome, Committed):
            print(f"won {claimed.id} {claimed.epoch}", flush=True)
        else:
            lost += 1
    clock.sleep(rng.uniform(0.0, pause))
usage = api.meter.usage
print(f"end {lost} {usage.requests} {usage.charged}")
