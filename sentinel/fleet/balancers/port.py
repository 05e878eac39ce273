"""What a balancer sees of a worker."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A live worker that takes tasks, as this snapshot shows it."""

    id: str
    types: frozenset[str]
    #: Tasks that it owns, from the task records: not from its own word, which may be late.
    active: int
    max_tasks: int
    region: str | None = None

    @property
    def free(self) -> int:
        """Slots that a task could start in now."""
        return max(0, self.max_tasks - self.active)

    def full(self) -> Candidate:
        """The same worker with no slot left."""
        return dataclasses.replace(self, active=max(self.active, self.max_tasks))
