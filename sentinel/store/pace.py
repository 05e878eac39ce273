"""How often a store far away is asked whether it moved: often after it did, seldom at rest."""

from __future__ import annotations

#: Seconds between two looks just after something happened.
FASTEST = 0.5
#: Seconds between two looks after a long rest.
SLOWEST = 10.0
#: By how much a pause grows from one quiet look to the next.
_GROWTH = 1.5
#: Part of a pause that chance may add or take away, so that clients do not ask all at once.
JITTER = 0.2


class Pace:
    """The pause that follows a look; whoever pauses varies it, so that many do not ask in step."""

    def __init__(self, *, fastest: float = FASTEST, slowest: float = SLOWEST) -> None:
        self._fastest = fastest
        self._slowest = slowest
        #: Seconds until the next look.
        self.pause = fastest

    def looked(self, *, moved: bool) -> None:
        """A look showed news, or none (or failed)."""
        self.pause = self._fastest if moved else min(self.pause * _GROWTH, self._slowest)
