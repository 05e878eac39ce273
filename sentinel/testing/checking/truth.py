"""What is true about a fleet at a moment, as no member of it can know; the parts of the checker share it."""

from __future__ import annotations

import dataclasses

from sentinel.model.codec import Document
from sentinel.model.layout import INCARNATIONS, session_register

#: Seconds by which sums of floating point numbers may be off.
EPSILON = 1e-6


class Violation(Exception):
    """An invariant of the design does not hold. ``invariant`` is its name, such as ``I5``."""

    def __init__(self, invariant: str, at: float, what: str) -> None:
        self.invariant = invariant
        self.at = at
        self.what = what
        super().__init__(invariant, at, what)

    def __str__(self) -> str:
        return f"{self.invariant} at {self.at:.4f} s: {self.what}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who sent something: a process on some machine, and the incarnation that it was then."""

    process: str
    incarnation: str | None = None
    #: Seconds that its clock runs per true second.
    rate: float = 1.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What was written at a place, and when that landed, in true seconds."""

    document: Document
    landed_at: float


@dataclasses.dataclass(slots=True, kw_only=True)
class Life:
    """One incarnation, from its record's first commit."""

    id: str
    ttl: float
    joined_at: float
    #: Its clock's seconds per true second.
    rate: float = 1.0
    max_tasks: int = 1
    gone_at: float | None = None
    #: Left by its own last transaction, after `Empty`.
    left: bool = False
    #: True time at which the last of its landed beats was sent; None before the first.
    beat_sent_at: float | None = None
    #: The TTL that it announced.
    beat_ttl: float = 0.0
    #: True time until which its supervisor could not act (it was stopped), if later than its deadline.
    excused_until: float = 0.0
    #: Run → (task, epoch) of the processes that run now.
    running: dict[str, tuple[str, int]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(slots=True)
class Truth:
    """The newest state of everything, and the lives of all incarnations that ever were."""

    documents: dict[str, Known] = dataclasses.field(default_factory=dict)
    registers: dict[str, Known] = dataclasses.field(default_factory=dict)
    lives: dict[str, Life] = dataclasses.field(default_factory=dict)
    #: Register → the incarnation that beats there.
    owners: dict[str, str] = dataclasses.field(default_factory=dict)
    #: Incarnations whose daemon and supervisor are gone, and that left nothing running; also such that were
    #: gone before their record landed.
    dead: set[str] = dataclasses.field(default_factory=set)
    #: Facts about incarnations that came before their record: clock rate and slots.
    announced: dict[str, tuple[float, int]] = dataclasses.field(default_factory=dict)

    def live(self, incarnation: str) -> bool:
        """Whether the incarnation's record exists now."""
        return INCARNATIONS + incarnation in self.documents

    def born(self, incarnation: str, ttl: float, at: float) -> Life:
        """An incarnation whose record has just landed."""
        rate, slots = self.announced.get(incarnation, (1.0, 1))
        life = Life(id=incarnation, ttl=ttl, joined_at=at, rate=rate, max_tasks=slots)
        self.lives[incarnation] = life
        self.owners[session_register(incarnation)] = incarnation
        return life
