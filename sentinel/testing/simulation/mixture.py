"""A mixed fleet with mixed work, and how soon one scheduler that knows everything would be done with it.

The tasks differ in type, region, priority and, by a heavy-tailed distribution, in length.
"""

from __future__ import annotations

import dataclasses
import heapq
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sentinel.model.task import PRIORITIES
from sentinel.model.worker import Worker

TYPES = ("build", "test", "deploy")
REGIONS = ("us-east-1", "eu-west-1", "ap-south-1")
#: Shortest task in seconds, and the exponent of the Pareto distribution from there on.
SHORTEST, TAIL = 2.0, 1.2
_PROJECTS = 40


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One task that is handed in."""

    id: str
    at: float
    seconds: float
    type: str
    priority: str
    affinity: Mapping[str, str]

    def fits(self, worker: Worker) -> bool:
        """Whether the worker may run it."""
        return self.type in worker.types and self.affinity.get("region", worker.region) == worker.region


def draw_workers(rng: random.Random, count: int) -> list[Worker]:
    """A mixed fleet: three regions, machines of three sizes, most of which run two of the three types."""
    workers = []
    for number in range(count):
        size = rng.choice((1, 2, 4))
        left_out = TYPES[number % 4] if number % 4 < len(TYPES) else None
        workers.append(
            Worker(
                id=f"w{number + 1:02}",
                incarnation="",
                hostname=f"host-{number + 1}",
                region=REGIONS[number % len(REGIONS)],
                max_tasks=size + 1,
                types=tuple(name for name in TYPES if name != left_out),
                cpu_cores=2 * size,
                memory_mb=4096 * size,
            )
        )
    return workers


def draw_orders(
    rng: random.Random,
    workers: Sequence[Worker],
    count: int,
    *,
    within: float,
    longest: float,
    stretch: float,
) -> list[Order]:
    """Mixed tasks, half of them at once and half ``within`` so many seconds; each fits one of ``workers``.

    They take from `SHORTEST` to ``longest`` seconds, times ``stretch``.
    """
    orders = []
    for number in range(count):
        affinity = {"project": f"p{rng.randrange(_PROJECTS)}"} if rng.random() < 0.5 else {}
        if rng.random() < 0.3:
            affinity["region"] = rng.choice(REGIONS)
        order = Order(
            id=f"t{number:05}",
            at=0.0 if number < count // 2 else rng.uniform(0.0, within),
            seconds=stretch * _bounded_pareto(rng, longest),
            type=rng.choice(TYPES),
            priority=rng.choices(PRIORITIES, (1, 3, 10, 6))[0],
            affinity=affinity,
        )
        if not any(order.fits(worker) for worker in workers):
            order = dataclasses.replace(order, affinity={})
        orders.append(order)
    return sorted(orders, key=lambda order: (order.at, order.id))


def _bounded_pareto(rng: random.Random, longest: float) -> float:
    low, high = SHORTEST**TAIL, longest**TAIL
    u = rng.random()
    return float((-(u * high - u * low - high) / (high * low)) ** (-1.0 / TAIL))


def list_schedule(orders: Sequence[Order], workers: Sequence[Worker]) -> float:
    """Seconds until all has ended when one scheduler knows all: the better of longest and oldest first."""
    rank: Sequence[Callable[[Order], Any]] = (
        lambda order: (-order.seconds, order.id),
        lambda order: (order.at, order.id),
    )
    return min(_list_schedule(orders, workers, key) for key in rank)


def _list_schedule(orders: Sequence[Order], workers: Sequence[Worker], rank: Callable[[Order], Any]) -> float:
    # Workers that fit fewer tasks are filled first.
    by_choice = sorted(workers, key=lambda worker: (len(worker.types), worker.id))
    free = {worker.id: worker.max_tasks for worker in workers}
    ends: list[tuple[float, str]] = []
    coming = sorted(orders, key=lambda order: order.at, reverse=True)
    waiting: list[Order] = []
    now = last = 0.0
    while coming or waiting or ends:
        while coming and coming[-1].at <= now:
            waiting.append(coming.pop())
        while ends and ends[0][0] <= now:
            free[heapq.heappop(ends)[1]] += 1
        waiting.sort(key=rank)
        left = []
        for place, order in enumerate(waiting):
            if not any(free.values()):
                left += waiting[place:]
                break
            worker = next((worker for worker in by_choice if free[worker.id] and order.fits(worker)), None)
            if worker is None:
                left.append(order)
                continue
            free[worker.id] -= 1
            heapq.heappush(ends, (now + order.seconds, worker.id))
            last = max(last, now + order.seconds)
        waiting = left
        moments = [ends[0][0]] if ends else []
        moments += [coming[-1].at] if coming else []
        if not moments:
            break
        now = min(moments)
    assert not waiting, "some task fits no worker"
    return last
