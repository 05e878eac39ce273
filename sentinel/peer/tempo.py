"""When a peer looks next, and when it may push: by what it saw last, and by what its store allows."""

from __future__ import annotations

import dataclasses
import math

from sentinel.clock import Clock
from sentinel.fleet.pacing import Rhythm, seen
from sentinel.fleet.view import View
from sentinel.peer.options import PeerOptions
from sentinel.store.pace import FASTEST, Pace

#: So many pauses between two joins after one of them a fleet still gathers.
GATHERING = 2.0


class Tempo:
    """The pauses and turns of one peer. For its control thread."""

    def __init__(
        self,
        options: PeerOptions,
        clock: Clock,
        *,
        incarnation: str,
        hears: bool,
        rhythm: Rhythm | None = None,
    ) -> None:
        self._options = options
        self._clock = clock
        self._incarnation = incarnation
        #: What is in force, by what was last seen of the fleet.
        self.rhythm = options.rhythm() if rhythm is None else rhythm
        #: The workers that were seen last, and until when more of them may be about to join.
        self._workers: frozenset[str] | None = None
        self._gathering_until = float("-inf")
        # Whoever hears of changes need not look for them, and where looks are counted they are as often as
        # they may be. All others look often after they saw news.
        self._pace = (
            None
            if hears or options.pacing
            else Pace(fastest=min(FASTEST, options.poll), slowest=options.poll)
        )
        self._revision: str | None = None
        #: The number of the last turn in which it pushed.
        self._pushed: int | None = None

    def looked(self, view: View) -> None:
        """A look at the state showed ``view``."""
        if self._options.pacing is not None:
            found = seen(view, self._incarnation)
            self.rhythm = self._options.rhythm(dataclasses.replace(found, gathering=self._gathering(view)))
        self._note(moved=view.snapshot.revision != self._revision)
        self._revision = view.snapshot.revision

    def _gathering(self, view: View) -> bool:
        """Whether others have joined lately, by what this peer saw, and no clock of theirs."""
        workers = frozenset(live.id for live in view.incarnations.values() if live.kind == "worker")
        now = self._clock.now()
        # Whoever joins a fleet may be one of many.
        before = self._workers if self._workers is not None else frozenset({self._incarnation})
        if workers - before:
            self._gathering_until = now + GATHERING * self.rhythm.joins
        self._workers = workers
        return now < self._gathering_until

    def missed(self) -> None:
        """A look at the state was not answered."""
        self._note(moved=False)

    def _note(self, *, moved: bool) -> None:
        if self._pace is not None:
            self._pace.looked(moved=moved)

    @property
    def patience(self) -> float:
        """Seconds for which a task is left to whose turn it is: never less than that peer needs to look."""
        turn = 0.0 if self.rhythm.push is None else self.rhythm.push.every
        return max(self._options.claim_grace, 1.5 * max(self.rhythm.poll, turn))

    @property
    def my_turn(self) -> bool:
        """Whether it may push now, as far as turns go."""
        turn = self.rhythm.push
        if turn is None:
            return True
        number = turn.number(self._clock.wall())
        return number is not None and number != self._pushed

    def take_turn(self) -> None:
        """It has pushed."""
        if self.rhythm.push is not None:
            self._pushed = self.rhythm.push.number(self._clock.wall())

    def pause(self, due: float = math.inf, *, held_back: bool = False) -> float:
        """Seconds until the next look, when something that was seen is due after ``due`` seconds.

        ``held_back`` says that there was no turn yet when it was to be decided what to push.
        """
        if self.rhythm.push is not None:
            # What is due can only be done in the next turn, or in this one if it began a moment ago.
            due = 0.0 if held_back and self.my_turn else self.rhythm.push.until(self._clock.wall())
        return min(self.rhythm.poll if self._pace is None else self._pace.pause, due)
