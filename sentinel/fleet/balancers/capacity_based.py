"""``capacity_based``: larger machines get more, in proportion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sentinel.fleet.balancers.port import Candidate
from sentinel.fleet.balancers.rendezvous import weighted_lot
from sentinel.model.task import Task

#: What counts for a worker that did not say how large its machine is.
_UNKNOWN_CORES = 1
_UNKNOWN_MB = 1024


def weight(worker: Candidate, options: Mapping[str, Any]) -> float:
    """How much of the work is for this worker, compared with others.

    Its cores (``weightByCpu``), its memory (``weightByMemory``), or the geometric mean of both: a machine
    with twice of both counts twice, whatever the units. Its slots when neither counts.
    """
    measures = []
    if options.get("weightByCpu", True):
        measures.append(worker.cpu_cores or _UNKNOWN_CORES)
    if options.get("weightByMemory", True):
        measures.append(worker.memory_mb or _UNKNOWN_MB)
    measures = measures or [max(1, worker.max_tasks)]
    return math.exp(sum(map(math.log, measures)) / len(measures))


def capacity_based(task: Task, workers: Sequence[Candidate], options: Mapping[str, Any]) -> Candidate:
    """The winner of a lot that each worker draws for the task, weighted by its size.

    Not at random: every peer draws the same lots.
    """
    return max(workers, key=lambda worker: weighted_lot(task.id, worker.id, weight(worker, options)))
