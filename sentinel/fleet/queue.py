"""The order in which waiting tasks get free slots.

The most urgent first, and among equally urgent ones first in, first out. That alone would let a steady stream
of urgent tasks keep others waiting for ever. So a task that was handed in more than `PATIENCE` before the one
that stands at the head gets the slot in its place with a chance of one in `ODDS`, by a lot that every peer
draws alike. Nobody waits for ever: of the slots for which it is passed over by later and more urgent tasks,
an overdue task gets one in eight, so that it is still there after a hundred of them in two cases of a
million; and nothing urgent waits behind what is overdue for more than one slot in eight.
"""

from __future__ import annotations

import collections
import functools
from collections.abc import Iterable, Iterator

from sentinel.clock import from_rfc3339
from sentinel.fleet.balancers.rendezvous import lot
from sentinel.model.task import PRIORITIES, Task

#: Seconds by which a task must have been handed in earlier than a more urgent one to be overdue.
PATIENCE = 300.0
#: One in so many slots goes to the longest overdue task instead of the most urgent one.
ODDS = 8


def in_order(tasks: Iterable[Task]) -> Iterator[Task]:
    """``tasks`` in the order in which they get slots."""
    tasks = sorted(tasks, key=lambda task: task.rank)
    times = [task.created_at for task in tasks]
    if not times or _time(max(times)) - _time(min(times)) <= PATIENCE:
        yield from tasks
        return
    waiting = {priority: collections.deque[Task]() for priority in PRIORITIES}
    for task in tasks:
        waiting[task.priority].append(task)
    for number, priority in enumerate(PRIORITIES):
        queue = waiting[priority]
        others = [waiting[lower] for lower in PRIORITIES[number + 1 :] if waiting[lower]]
        while queue:
            yield (_overdue(queue[0], others) or queue).popleft()


def _overdue(head: Task, others: list[collections.deque[Task]]) -> collections.deque[Task] | None:
    """The queue whose first task comes before ``head``, which is more urgent."""
    firsts = [queue for queue in others if queue]
    if not firsts:
        return None
    oldest = min(firsts, key=lambda queue: (queue[0].created_at, queue[0].id))
    if _time(head.created_at) - _time(oldest[0].created_at) <= PATIENCE:
        return None
    return oldest if lot(head.id, oldest[0].id) < 1 / ODDS else None


@functools.lru_cache(maxsize=16_384)
def _time(text: str) -> float:
    # For order alone; whoever owns what never depends on it.
    try:
        return from_rfc3339(text)
    except (ValueError, OverflowError):
        return 0.0
