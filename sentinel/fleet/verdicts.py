"""Why each worker does not take a task: its ground for refusal, for people."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from sentinel.fleet.balancers import Candidate
from sentinel.fleet.board import WorkerRow
from sentinel.fleet.eligibility import Demand, Ground, refusals
from sentinel.model.codec import Document


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What one worker says to one task."""

    worker: str
    #: ``type``, ``region``, ``capability``, ``failed_here``, ``cordon``, ``slots``, ``draining``, ``silent``,
    #: ``offline``, ``error``; or what keeps the task from every worker: ``approval``,
    #: ``dependency``, ``backoff``, ``alone``, ``queue``, ``turn``; None for the one whose turn it is.
    ground: str | None
    text: str

    def document(self) -> Document:
        """The verdict as JSON."""
        return {"id": self.worker, "ground": self.ground, "text": self.text}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """The workers as one task meets them."""

    demand: Demand
    rows: Sequence[WorkerRow]
    #: Those that take tasks, and those that would but for a cordon.
    able: Sequence[Candidate]
    cordoned: Sequence[Candidate]

    @property
    def refused(self) -> dict[str, Ground]:
        """The ground of each able worker that is not what the task demands."""
        return refusals(self.demand, self.able)

    @property
    def capable(self) -> list[Candidate]:
        """Those that take tasks and may take this one, now or later."""
        refused = self.refused
        return [worker for worker in self.able if worker.id not in refused]

    @property
    def waiting_for_a_person(self) -> list[Candidate]:
        """Those that are cordoned and otherwise what the task demands."""
        return [worker for worker in self.cordoned if not refusals(self.demand, [worker])]

    def verdicts(self, ground: str, text: str, turns: Mapping[str, str] | None = None) -> list[Verdict]:
        """One for each registered worker.

        ``ground`` and ``text`` are for those that could take the task but for that; ``turns`` names the one
        whose turn it is, with what to say of it.
        """
        return list(self._verdicts(ground, text, turns or {}))

    def _verdicts(self, ground: str, text: str, turns: Mapping[str, str]) -> Iterator[Verdict]:
        refused = self.refused
        able = {worker.id: worker for worker in self.able}
        cordoned = {worker.id: worker for worker in self.cordoned}
        for row in self.rows:
            worker = able.get(row.id) or cordoned.get(row.id)
            if worker is None:
                yield Verdict(row.id, *_absent(row))
                continue
            found = refused.get(row.id)
            if row.id in cordoned:
                found = refusals(self.demand, [worker]).get(row.id)
            if found == "type" and self.demand.type in row.unimplemented:
                yield Verdict(row.id, found, f"it is to take {self.demand.type} but has no code for it")
            elif found is not None:
                yield Verdict(row.id, found, self._said(found, worker))
            elif row.id in cordoned:
                yield Verdict(row.id, "cordon", "it is cordoned")
            elif row.id in turns:
                yield Verdict(row.id, None, turns[row.id])
            elif ground in ("queue", "turn") and not worker.free:
                yield Verdict(row.id, "slots", _slots(worker))
            else:
                yield Verdict(row.id, ground, _slots(worker) if ground == "slots" else text)

    def _said(self, ground: Ground, worker: Candidate) -> str:
        match ground:
            case "type":
                return f"it does not run the type {self.demand.type}"
            case "region":
                where = f"in the region {worker.region}" if worker.region else "in no region"
                return f"it is {where}, not in {self.demand.region}"
            case "capability":
                lacking = [name for name in self.demand.capabilities if not worker.has(name)]
                return f"it lacks the capability {', '.join(lacking)}"
        return "an attempt failed on it, and another worker may take the task"


def _slots(worker: Candidate) -> str:
    return f"all its {worker.max_tasks} slots are taken"


def _absent(row: WorkerRow) -> tuple[str, str]:
    match row.status:
        case "stale":
            return "silent", f"it was last heard of at {row.last_heartbeat or 'no time'}"
        case "draining":
            return "draining", "it is draining"
        case "error":
            return "error", row.problem or "its record cannot be read"
        case "offline":
            return "offline", "it does not run"
    return "silent", "it has not beaten yet"
