"""A dear look is taken once for a while, and then anew."""

from __future__ import annotations

from sentinel.peer.seldom import Seldom
from sentinel.testing.clock import ManualClock


def test_what_was_seen_is_given_until_it_is_old() -> None:
    clock, looks = ManualClock(), iter(range(9))
    seldom = Seldom(lambda: next(looks), clock, every=5.0)
    seen = []
    for _ in range(4):
        seen.append(seldom())
        clock.advance(3.0)
    assert seen == [0, 0, 1, 1]
