"""One baton: any number of actors, of which only the holder runs, in virtual time.

An actor gives the baton up whenever it waits; whoever holds it takes the next entry off a heap that is sorted
by virtual time, with a random number from the seed between entries of one time. So what runs when is a
function of the seed alone, and every place where an actor waits is one where anything else may happen first.

The actor that waits looks for the next one itself, so a switch is one step, and none at all when the next
actor is the one that waited. What actors are made of is `sentinel.testing.simulation.carriers`' business.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from typing import Any, Final

from sentinel.testing.simulation.carriers import Carrier, Strand, best_carrier

#: How often something may happen at one moment of virtual time before it is taken for an endless loop.
_MOST_AT_ONCE = 100_000


class Killed(BaseException):
    """Ends an actor whose process is dead. No product code catches it."""


class Stuck(Exception):
    """Time does not go on: something happens again and again at one moment."""


class _TimedOut:
    """What a wait gives that nobody ended."""


TIMED_OUT: Final = _TimedOut()

#: Something that happens at a moment; it may name the actor that is to go on.
Happening = Callable[[], "Actor | None"]


class Actor:
    """What would be a thread, and runs only while it holds the baton."""

    #: What carries it.
    strand: Strand

    def __init__(self, baton: Baton, name: str, number: int) -> None:
        self.name = name
        #: Killed at its next switch point.
        self.dead = False
        #: It has ended.
        self.over = False
        #: What is to happen when it has ended.
        self.afterwards: list[Callable[[], None]] = []
        self._baton = baton
        self._number = number
        self._pauses = 0
        #: It could run but for being paused.
        self._held_back = False
        #: Counts its waits, so that a late waker does not end the next one.
        self._waits = 0
        self._waiting = False
        self._value: Any = None

    @property
    def paused(self) -> bool:
        """Whether it is stopped, as by SIGSTOP."""
        return self._pauses > 0

    def pause(self) -> None:
        """Stop it, at its next switch point at the latest. Pauses add up."""
        self._pauses += 1

    def resume(self) -> None:
        """Undo one `pause`."""
        self._pauses -= 1
        if not self._pauses and self._held_back:
            self._held_back = False
            self._baton.after(0.0, self._go)

    def kill(self) -> None:
        """Let it end, at its next switch point; nothing that it does counts any more."""
        if self.dead or self.over:
            return
        self.dead = True
        self._waits += 1
        if self._waiting:
            self._waiting = False
            self._baton.after(0.0, self._go)
        elif self._held_back:
            self._held_back = False
            self._baton.after(0.0, self._go)

    def waker(self) -> Callable[[Any], Actor | None]:
        """Ends the wait that this actor is about to begin, with a value; without effect on any later one."""
        self._waits += 1
        mine = self._waits

        def wake(value: Any) -> Actor | None:
            if self._waits != mine or not self._waiting:
                return None
            self._waits += 1
            self._waiting = False
            self._value = value
            return self._go()

        return wake

    def _go(self) -> Actor | None:
        if self.over:
            return None
        if self.paused and not self.dead:
            self._held_back = True
            return None
        return self


class Baton:
    """Virtual time, and who runs in it. Whoever made it runs it, and is an actor itself: it may wait like all
    others, and gets to hear of what went wrong anywhere."""

    def __init__(
        self,
        rng: random.Random,
        switched: Callable[[float, int], None],
        carrier: Carrier | None = None,
    ) -> None:
        #: True time in seconds since the beginning.
        self.now = 0.0
        self._random = rng.random
        self._switched = switched
        self._heap: list[tuple[float, float, int, Happening]] = []
        self._number = itertools.count().__next__
        self._at_once = 0
        self._carrier = carrier if carrier is not None else best_carrier()
        self._main = Actor(self, "main", 0)
        self._main.strand = self._carrier.main()
        self._current = self._main
        self._actors: list[Actor] = []
        self._failure: BaseException | None = None
        self._closing = False

    @property
    def current(self) -> Actor:
        """Who holds the baton."""
        return self._current

    def after(self, seconds: float, what: Happening) -> None:
        """Let ``what`` happen so many seconds from now."""
        at = self.now + seconds if seconds > 0.0 else self.now
        heapq.heappush(self._heap, (at, self._random(), self._number(), what))

    def start(self, name: str, run: Callable[[], None]) -> Actor:
        """A new actor that begins as soon as its turn comes."""
        actor = Actor(self, name, len(self._actors) + 1)
        self._actors.append(actor)

        def body() -> Strand:
            try:
                if not actor.dead:
                    run()
            except Killed:
                pass
            except BaseException as error:  # noqa: BLE001 - it is raised again where the baton is run
                self.fail(error)
            actor.over = True
            for then in actor.afterwards:
                then()
            self._current = self._next()
            return self._current.strand

        actor.strand = self._carrier.strand(name, body)
        self.after(0.0, actor._go)
        return actor

    def wait(self, seconds: float | None, wake: Callable[[Any], Actor | None]) -> Any:
        """Give up the baton until ``wake`` (from `Actor.waker`) is called, or for so many seconds if given.

        What it was called with, or `TIMED_OUT`. Raises `Killed`.
        """
        actor = self._current
        actor._waiting = True
        if seconds is not None:
            self.after(seconds, lambda: wake(TIMED_OUT))
        self._switch(actor)
        value, actor._value = actor._value, None
        return value

    def sleep(self, seconds: float) -> None:
        """Give up the baton for so many seconds. Raises `Killed`."""
        self.check()
        self.wait(seconds, self._current.waker())

    def check(self) -> None:
        """Raise `Killed` if whoever holds the baton is dead."""
        if self._current.dead:
            raise Killed

    def run(self, seconds: float) -> None:
        """Let everything happen until ``seconds`` from now. Raises what an actor or a happening raised."""
        main = self._main
        wake = main.waker()
        main._waiting = True
        self.after(seconds, lambda: wake(TIMED_OUT))
        self._switch(main)

    def close(self) -> None:
        """Kill every actor and wait until all have ended."""
        self._closing = True
        self._heap.clear()
        for actor in self._actors:
            if not actor.over:
                actor.dead = True
                self._current = actor
                self._main.strand.give_way(actor.strand)
        self._current = self._main

    def fail(self, error: BaseException) -> None:
        """Stop at the next switch, and let `run` raise ``error``; the first one counts."""
        if self._failure is None:
            self._failure = error

    def _switch(self, actor: Actor) -> None:
        """Let others run until it is ``actor``'s turn again."""
        successor = self._next()
        if successor is not actor:
            self._current = successor
            actor.strand.give_way(successor.strand)
        self._current = actor
        if actor.dead:
            raise Killed
        if actor is self._main and self._failure is not None:
            raise self._failure

    def _next(self) -> Actor:
        """Let happen what comes next, until that is an actor's turn."""
        if self._closing:
            return self._main
        while self._failure is None and self._heap:
            at, _, number, what = heapq.heappop(self._heap)
            if at > self.now:
                self.now = at
                self._at_once = 0
            self._at_once += 1
            try:
                if self._at_once > _MOST_AT_ONCE:
                    raise Stuck(f"{_MOST_AT_ONCE} things happened at {at:.6f} s")
                actor = what()
            except BaseException as error:  # noqa: BLE001 - it is raised again where the baton is run
                self.fail(error)
                break
            if actor is not None:
                self._switched(at, actor._number)
                return actor
            del number
        return self._main
