"""A look that is too dear to be taken at each beat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from sentinel.clock import Clock

T = TypeVar("T")


class Seldom(Generic[T]):
    """Gives what a look saw that is at most ``every`` seconds old."""

    def __init__(self, look: Callable[[], T], clock: Clock, *, every: float) -> None:
        self._look = look
        self._clock = clock
        self._every = every
        #: When it was last looked, and what was seen.
        self._seen: tuple[float, T] | None = None

    def __call__(self) -> T:
        now = self._clock.now()
        if self._seen is None or now - self._seen[0] >= self._every:
            self._seen = now, self._look()
        return self._seen[1]
