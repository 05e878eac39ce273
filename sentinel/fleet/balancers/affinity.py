"""``affinity``: tasks of one kind go to one worker, for as long as it lives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sentinel.fleet.balancers.port import Balancer, Candidate
from sentinel.fleet.balancers.rendezvous import lot
from sentinel.fleet.eligibility import DEMANDS
from sentinel.model.task import Task


class Affinity:
    """Gives tasks with an affinity label a home, and leaves the choice for all others to ``fallback``.

    The home of a label's value is found by rendezvous hashing: values spread evenly, and when a worker joins
    or leaves only its own move. A home that is full is not waited for, since the work is worth more than the
    cache: the fallback chooses then.
    """

    def __init__(self, fallback: Balancer) -> None:
        self._fallback = fallback

    def __call__(self, task: Task, workers: Sequence[Candidate], options: Mapping[str, Any]) -> Candidate:
        """See `Balancer`."""
        return self._fallback(task, workers, options)

    def home(self, task: Task, workers: Sequence[Candidate], options: Mapping[str, Any]) -> str | None:
        """See `Homing`."""
        key = affinity_of(task, options)
        if key is None:
            return None
        return max(workers, key=lambda worker: lot(key, worker.id)).id


def affinity_of(task: Task, options: Mapping[str, Any]) -> str | None:
    """What the task has in common with others: the label ``affinityKey``, or all its labels without that."""
    name = options.get("affinityKey")
    if name is not None:
        value = task.affinity.get(name)
        return None if value is None else f"{name}={value}"
    labels = [f"{label}={value}" for label, value in sorted(task.affinity.items()) if label not in DEMANDS]
    return "\0".join(labels) or None
