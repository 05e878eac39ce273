"""What a peer does besides running tasks, for stores that come with such work.

The extras of a scheme (`sentinel.store.opener`) may name a function that makes duties. A daemon runs them
in a thread of their own, with a connection of their own, as long as one incarnation lasts.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from sentinel.clock import Clock
from sentinel.fleet.balancers import Balancer
from sentinel.fleet.balancers.least_loaded import least_loaded
from sentinel.fleet.pacing import Pacing
from sentinel.fleet.submission import Declared
from sentinel.model.ids import IdSource
from sentinel.store.opener import extras_of, resolve
from sentinel.store.transact import Transactor


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """What all incarnations of a daemon have in common, as far as duties need it."""

    #: The store's URL.
    url: str
    #: Settings of the scheme, as the configuration has them: name → value.
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    #: The task types that this machine runs, with the checks of their arguments.
    types: Mapping[str, Declared] = dataclasses.field(default_factory=dict)
    #: For tasks that do not say: seconds an attempt may take, and automatic retries.
    timeout: float = 300.0
    retries: int = 0
    #: Who takes which task in this fleet, for whoever asks why one waits.
    balancer: Balancer = least_loaded
    balancer_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    #: Shares out what the store's place allows; None where nothing is limited.
    budget: Pacing | None = None
    environ: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """In whose name a duty acts, and with what. For the duty's thread alone."""

    place: Workplace
    worker: str
    #: Every transaction expects its record: nothing lands when it is gone.
    incarnation: str
    transactor: Transactor
    rng: random.Random
    ids: IdSource
    #: Says that there may be something to do before the pause is over. May be called from any thread.
    wake: Callable[[], None]

    @property
    def clock(self) -> Clock:
        return self.transactor.clock


class Duty(Protocol):
    """One kind of work. All methods are called by the duty's thread."""

    def tick(self) -> float:
        """One bounded step; after how many seconds the next is due. May raise whatever it likes."""

    def close(self) -> None:
        """Let go of what it holds. Idempotent."""


MakeDuties = Callable[[Post], Sequence[Duty]]


def duties_of(url: str) -> MakeDuties | None:
    """What makes the duties of the peers of the store at ``url``; None for a store that has none."""
    found: MakeDuties | None = resolve(extras_of(url).duties)
    return found
