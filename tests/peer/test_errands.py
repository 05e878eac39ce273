"""What tasks write to shared memory goes along with their worker's turns, where pushes are counted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from sentinel.clock import SystemClock
from sentinel.errors import OutcomeUnknown, Unavailable
from sentinel.fleet.pacing import Rhythm, Turn
from sentinel.model.lease import LeaseTimes
from sentinel.peer.errands import Errands, NoTurn
from sentinel.store.base import ABSENT, Committed, Conflicted, Outcome, Transaction
from sentinel.testing.clock import ManualClock
from tests.peer.harness import World

TIMES = LeaseTimes(30.0, 120.0)


def transaction(name: str) -> Transaction:
    return Transaction(name, {f"memory/x/{name}": ABSENT}, {f"memory/x/{name}": {"rev": 1}}, f"set {name}")


def turns(every: float, offset: float = 0.0) -> Rhythm:
    return Rhythm(times=TIMES, poll=5.0, push=Turn(every=every, offset=offset, lasts=4.0))


class Handed:
    """One thread that hands something in, and what it comes to."""

    def __init__(self, errands: Errands, *transactions: Transaction) -> None:
        self.outcomes: Sequence[Outcome] = ()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(errands, transactions), daemon=True)
        self._thread.start()

    def _run(self, errands: Errands, transactions: Sequence[Transaction]) -> None:
        try:
            self.outcomes = errands.commit(transactions)
        except BaseException as error:  # noqa: BLE001 - for the test to look at
            self.error = error

    def over(self) -> Handed:
        self._thread.join(30.0)
        assert not self._thread.is_alive()
        return self


class Waking:
    """Errands, and the moment in which one is handed in."""

    def __init__(self) -> None:
        self.handed = threading.Event()
        self.errands = Errands(SystemClock(), self.handed.set)

    def taken(self) -> list[tuple[Transaction, Callable[[Outcome], None]]]:
        assert self.handed.wait(30.0)
        return self.errands.take()


def test_each_transaction_gets_its_own_outcome() -> None:
    waking = Waking()
    handed = Handed(waking.errands, transaction("a"), transaction("b"))
    (_, first), (_, second) = waking.taken()
    second(Conflicted(("k",)))
    first(Committed("r1"))
    assert list(handed.over().outcomes) == [Committed("r1"), Conflicted(("k",))]


def test_what_was_not_sent_after_all_is_taken_again_in_the_next_turn() -> None:
    waking = Waking()
    handed = Handed(waking.errands, transaction("a"))
    waking.taken()
    ((again, settle),) = waking.errands.take()
    assert again.id == "a"
    settle(Committed("r2"))
    assert list(handed.over().outcomes) == [Committed("r2")]


def test_without_a_turn_it_is_certainly_not_applied() -> None:
    # Nobody takes it, and the clock moves by itself.
    errands = Errands(ManualClock(), lambda: None)
    with pytest.raises(NoTurn):
        errands.commit([transaction("a")])
    assert errands.take() == []


def test_what_is_on_its_way_when_the_worker_ends_may_have_been_applied() -> None:
    waking = Waking()
    handed = Handed(waking.errands, transaction("a"))
    waking.taken()
    waking.errands.close()
    assert isinstance(handed.over().error, OutcomeUnknown)


def test_an_ending_worker_takes_nothing_more() -> None:
    errands = Errands(ManualClock(), lambda: None)
    errands.close()
    with pytest.raises(Unavailable):
        errands.commit([transaction("a")])


def test_it_is_worth_handing_in_shortly_before_the_turn() -> None:
    clock = ManualClock(wall=1_795_000_000.0)
    errands = Errands(clock, lambda: None)
    errands.rhythm = turns(100.0, offset=clock.wall() % 100.0 + 50.0)
    assert errands.wait() == pytest.approx(47.0)
    clock.advance(48.0)
    assert errands.wait() == 0.0
    clock.advance(4.0)
    assert errands.wait() > 90.0


def test_what_waits_for_its_turn_is_not_late() -> None:
    errands = Errands(ManualClock(), lambda: None)
    errands.rhythm = turns(71.0)
    assert errands.stretched() == 71.0
    errands.rhythm = Rhythm(times=TIMES, poll=5.0, errands=50.0)
    assert errands.stretched() == 50.0


def test_where_requests_are_counted_writes_have_a_pause() -> None:
    waking = Waking()
    waking.errands.rhythm = Rhythm(times=TIMES, poll=5.0, errands=5000.0)
    assert waking.errands.wait() == 0.0
    handed = Handed(waking.errands, transaction("a"))
    ((_, settle),) = waking.taken()
    settle(Committed("r"))
    handed.over()
    assert waking.errands.wait() > 4000.0


def test_it_goes_along_with_what_the_worker_pushes_itself(tmp_path: Path) -> None:
    world, waking = World(tmp_path), Waking()
    member = world.member("w", errands=waking.errands)
    handed = Handed(waking.errands, transaction("a"))
    assert waking.handed.wait(30.0)
    world.submit("t")
    before = len(world.fleet.history)
    world.settle(member)
    assert isinstance(handed.over().outcomes[0], Committed)
    notes = [[tx.note for tx in commit.transactions] for commit in world.fleet.history[before:]]
    assert any("set a" in found and len(found) > 1 for found in notes), notes
