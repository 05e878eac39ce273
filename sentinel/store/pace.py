"""How often a store far away is asked whether it moved: often after it did, seldom at rest, never in step."""

from __future__ import annotations

import random

#: Seconds between two looks just after something happened.
FASTEST = 0.5
#: Seconds between two looks after a long rest.
SLOWEST = 10.0
#: By how much a pause grows from one quiet look to the next.
_GROWTH = 1.5
#: Part of a pause that chance may add or take away, so that peers do not ask all at once.
JITTER = 0.2


class Pace:
    """When the next look is due. Times are seconds on the caller's clock."""

    def __init__(self, rng: random.Random, *, fastest: float = FASTEST, slowest: float = SLOWEST) -> None:
        self._rng = rng
        self._fastest = fastest
        self._slowest = slowest
        self._pause = fastest
        self.due = float("-inf")

    def stirred(self, now: float) -> None:
        """Something happened: look often again."""
        self._pause = self._fastest
        self.due = min(self.due, now + self._fastest)

    def looked(self, now: float, *, moved: bool) -> None:
        """A look at ``now`` showed news or none."""
        self._pause = self._fastest if moved else min(self._pause * _GROWTH, self._slowest)
        self.due = now + self._pause * self._rng.uniform(1 - JITTER, 1 + JITTER)
