"""Duties run beside the tasks, are tried again when they fail, and end nothing else."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from sentinel.errors import Unavailable
from sentinel.fleet.duty import Duty, Post, Workplace
from sentinel.peer.duties import FIRST_PAUSE, LONGEST_PAUSE, Duties
from sentinel.store.base import Store
from sentinel.store.memory import MemoryStore
from sentinel.testing.clock import ManualClock


class Probe(Duty):
    """Does what it is told, and counts."""

    def __init__(self, act: Callable[[], float] = lambda: 10.0) -> None:
        self.act = act
        self.ticks = 0
        self.closed = False

    def tick(self) -> float:
        self.ticks += 1
        return self.act()

    def close(self) -> None:
        self.closed = True


class Busy(Unavailable):
    retry_after = 120.0


def raising(error: Exception) -> Callable[[], float]:
    def act() -> float:
        raise error

    return act


def duties(
    clock: ManualClock,
    *probes: Probe,
    open_store: Callable[[], Store] = MemoryStore,
    make: Callable[[Post], Sequence[Duty]] | None = None,
) -> Duties:
    return Duties(
        make=make or (lambda post: probes),
        place=Workplace(url="github://acme/fleet"),
        open_store=open_store,
        clock=clock,
        rng=random.Random(1),
        worker="w1",
        incarnation="inc1",
    )


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_a_duty_is_done_when_it_is_due(clock: ManualClock) -> None:
    probe = Probe()
    running = duties(clock, probe)
    for _ in range(3):
        clock.advance(running.step())
    assert (probe.ticks, running.step()) == (3, 10.0)


def test_a_duty_that_is_not_due_waits(clock: ManualClock) -> None:
    probe = Probe()
    running = duties(clock, probe)
    running.step()
    clock.advance(9.0)
    assert (running.step(), probe.ticks) == (1.0, 1)


@pytest.mark.parametrize("error", [Unavailable("away"), ValueError("a bug of ours")], ids=["away", "bug"])
def test_a_duty_that_fails_is_tried_again_with_longer_pauses(clock: ManualClock, error: Exception) -> None:
    running = duties(clock, Probe(raising(error)))
    pauses = []
    for _ in range(12):
        pauses.append(running.step())
        clock.advance(pauses[-1])
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE


def test_a_rate_limit_says_for_how_long(clock: ManualClock) -> None:
    assert duties(clock, Probe(raising(Busy("limit")))).step() == 120.0


def test_a_duty_that_fails_keeps_no_other_from_being_done(clock: ManualClock) -> None:
    other = Probe()
    duties(clock, Probe(raising(ValueError("x"))), other).step()
    assert other.ticks == 1


def test_a_store_that_is_away_at_first_is_asked_again(clock: ManualClock) -> None:
    answers = [Unavailable("away")]

    def opening() -> Store:
        if answers:
            raise answers.pop()
        return MemoryStore()

    probe = Probe()
    running = duties(clock, probe, open_store=opening)
    running.step()
    running.step()
    assert probe.ticks == 1


def test_duties_that_cannot_be_made_are_tried_again(clock: ManualClock) -> None:
    def make(post: Post) -> Sequence[Duty]:
        raise ValueError("a bug of ours")

    assert duties(clock, make=make).step() > 0


def test_once_stopped_it_lets_go_of_everything(clock: ManualClock) -> None:
    probe = Probe()
    running = duties(clock, probe)

    def act() -> float:
        running.stop()
        return 10.0

    probe.act = act
    running.run()
    assert (probe.ticks, probe.closed) == (1, True)


def test_a_duty_can_be_woken(clock: ManualClock) -> None:
    posts: list[Post] = []
    probe = Probe()

    def make(post: Post) -> Sequence[Duty]:
        posts.append(post)
        return [probe]

    running = duties(clock, make=make)
    running.step()
    posts[0].wake()
    running.step()
    assert probe.ticks == 2


def test_nobody_rests_before_a_step_that_began_after_the_question(clock: ManualClock) -> None:
    running = duties(clock, Probe())
    running.step()
    assert not running.rested_since(clock.now() + 1)
    clock.advance(2.0)
    running.step()
    assert running.rested_since(clock.now() - 1)


def test_who_has_more_to_do_does_not_rest(clock: ManualClock) -> None:
    running = duties(clock, Probe(lambda: 0.1))
    running.step()
    assert not running.rested_since(clock.now())


def test_nobody_waits_for_a_duty_that_keeps_failing(clock: ManualClock) -> None:
    running = duties(clock, Probe(raising(Unavailable("away"))))
    for _ in range(3):
        clock.advance(running.step())
    assert running.rested_since(clock.now())


def test_being_asked_whether_it_rests_makes_a_duty_due(clock: ManualClock) -> None:
    probe = Probe()
    running = duties(clock, probe)
    running.step()
    running.rested_since(clock.now() + 1)
    running.step()
    assert probe.ticks == 2


def test_who_asks_while_the_duties_begin_is_answered() -> None:
    answers: list[bool] = []

    class Telling(ManualClock):
        """Another thread asks whenever this one looks at the clock."""

        def now(self) -> float:
            if begun:
                answers.append(at_work.rested_since(0.0))
            return super().now()

    begun: list[Post] = []

    def make(post: Post) -> Sequence[Duty]:
        begun.append(post)
        return [Probe()]

    at_work = duties(Telling(), make=make)
    at_work.step()
    assert answers[0] is False


def test_a_wake_during_a_step_brings_another_at_once(clock: ManualClock) -> None:
    posts: list[Post] = []

    def make(post: Post) -> Sequence[Duty]:
        posts.append(post)
        return [probe]

    def act() -> float:
        if probe.ticks == 1:
            posts[0].wake()
        return 60.0

    probe = Probe(act)
    at_work = duties(clock, make=make)
    assert at_work.step() == 0.0
