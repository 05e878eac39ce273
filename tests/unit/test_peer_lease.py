"""What an incarnation may still do, when the TTL that it announces changes from beat to beat."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.model.lease import work_limit
from sentinel.peer.lease import Lease
from sentinel.testing.clock import ManualClock

LONG, SHORT = 600.0, 120.0


class Held:
    """A lease, with what the supervisor was told."""

    def __init__(self, ttl: float = LONG) -> None:
        self.clock = ManualClock()
        self.told: list[float] = []
        self.lease = Lease(self.clock, self.told.append)
        self.began = self.clock.now()
        self.lease.sending(1, self.began, ttl)
        self.lease.confirm(1)


def test_nothing_is_told_before_the_first_confirmed_beat() -> None:
    told: list[float] = []
    Lease(ManualClock(), told.append).sending(1, 1.0, LONG)
    assert told == []


def test_a_shorter_ttl_counts_before_its_beat_is_confirmed() -> None:
    held = Held()
    held.clock.advance(100.0)
    held.lease.sending(2, held.clock.now(), SHORT)
    assert held.told[-1] == held.lease.deadline == held.clock.now() + work_limit(SHORT)


def test_a_shorter_ttl_that_was_certainly_not_announced_is_taken_back() -> None:
    held = Held()
    held.clock.advance(100.0)
    held.lease.sending(2, held.clock.now(), SHORT)
    held.lease.not_sent(2)
    assert held.told[-1] == held.lease.deadline == held.began + work_limit(LONG)


def test_a_longer_ttl_counts_only_once_its_beat_is_confirmed() -> None:
    held = Held(SHORT)
    held.clock.advance(10.0)
    held.lease.sending(2, held.clock.now(), LONG)
    assert held.told == [held.began + work_limit(SHORT)]
    held.lease.confirm(2)
    assert held.told[-1] == held.lease.deadline == held.clock.now() + work_limit(LONG)


def test_the_same_deadline_is_told_once() -> None:
    held = Held(SHORT)
    held.lease.sending(2, held.clock.now(), LONG)
    held.lease.not_sent(2)
    assert len(held.told) == 1


def test_a_fenced_incarnation_is_told_nothing_more() -> None:
    held = Held()
    held.lease.fence("for a test")
    held.lease.sending(2, held.clock.now() + 5.0, SHORT)
    assert held.told == [held.began + work_limit(LONG)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["landed", "lost", "not sent", "confirmed"]),
            st.floats(60.0, 2000.0),
            st.floats(0.1, 30.0),
        ),
        max_size=12,
    )
)
def test_no_beat_that_may_have_landed_promised_less_than_the_supervisor_believes(
    beats: list[tuple[str, float, float]],
) -> None:
    held = Held()
    # What an observer may go by: the last beat that landed, whether or not its sender knows.
    promises = [held.began + work_limit(LONG)]
    for seq, (fate, ttl, pause) in enumerate(beats, 2):
        held.clock.advance(pause)
        sent = held.clock.now()
        if held.lease.fenced is not None:
            break
        held.lease.sending(seq, sent, ttl)
        if fate == "not sent":
            held.lease.not_sent(seq)
        else:
            promises.append(sent + work_limit(ttl))
        if fate == "confirmed":
            held.lease.confirm(seq)
            promises = [sent + work_limit(ttl)]
        assert held.told[-1] <= min(promises) == pytest.approx(held.lease.deadline)
