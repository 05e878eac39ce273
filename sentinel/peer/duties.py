"""Runs the duties that a store comes with, beside the tasks, for as long as one incarnation lasts.

In a thread of their own with a connection of their own: whatever goes wrong there is told and tried again,
and never ends the daemon or delays a beat.
"""

from __future__ import annotations

import dataclasses
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from sentinel.clock import Clock
from sentinel.clock import Event as Wakeup
from sentinel.errors import StoreError
from sentinel.fleet.duty import Duty, MakeDuties, Post, Workplace
from sentinel.model.ids import IdSource
from sentinel.peer.surroundings import Thread
from sentinel.store.base import Store
from sentinel.store.transact import Transactor

log = logging.getLogger(__name__)

#: Pauses in seconds after a failure: the first, and the longest of a row.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
#: Seconds that the end of an incarnation waits for a step that is under way.
_PATIENCE = 5.0
#: Failures in a row after which nobody waits for a duty.
_HOPELESS = 3


@dataclasses.dataclass(slots=True)
class _Turn:
    """One duty, and when it is done. Written by the duties' thread, but for `woken`."""

    duty: Duty
    due: float
    #: Failures in a row.
    failures: int = 0
    #: When the last step of it began that left nothing to do.
    rested: float = float("-inf")
    #: Whether somebody said that there may be something to do, since its last step began.
    woken: bool = False

    def ready(self, now: float) -> bool:
        # What failed keeps its pause.
        return now >= self.due or (self.woken and not self.failures)


class Duties:
    """The duties of one incarnation. `run` is for a thread of its own; `stop` may be called from any."""

    def __init__(
        self,
        *,
        make: MakeDuties,
        place: Workplace,
        open_store: Callable[[], Store],
        clock: Clock,
        rng: random.Random,
        worker: str,
        incarnation: str,
    ) -> None:
        self._make = make
        self._place = place
        self._open_store = open_store
        self._clock = clock
        self._rng = rng
        self._worker = worker
        self._incarnation = incarnation
        self._wakeup: Wakeup = clock.event()
        self._stopped = False
        self._store: Store | None = None
        self._begun_in_vain = 0
        #: Replaced as a whole, for other threads read it.
        self._turns: Sequence[_Turn] = ()

    def run(self) -> None:
        """Tick each duty when it is due, until stopped."""
        try:
            while not self._stopped:
                self._wakeup.wait(self.step())
        finally:
            self._close()

    def stop(self) -> None:
        """Begin no further step."""
        self._stopped = True
        self._wakeup.set()

    def rested_since(self, moment: float) -> bool:
        """Whether each duty found nothing left to do in a step that began after ``moment``, or keeps failing.

        If not, they are done at once. May be called from any thread.
        """
        turns = self._turns
        if turns and all(turn.rested >= moment or turn.failures >= _HOPELESS for turn in turns):
            return True
        self._hurry()
        return False

    def step(self) -> float:
        """Tick what is due; after how many seconds something else is. Never raises."""
        if self._store is None and not self._begin():
            self._begun_in_vain += 1
            return pause_after(self._begun_in_vain)
        for turn in self._turns:
            if not self._stopped and turn.ready(self._clock.now()):
                self._tick(turn)
        now = self._clock.now()
        pauses = (0.0 if turn.ready(now) else turn.due - now for turn in self._turns)
        return min(pauses, default=LONGEST_PAUSE)

    def _begin(self) -> bool:
        try:
            self._store = self._open_store()
            ids = IdSource(self._rng, self._clock.wall)
            post = Post(
                place=self._place,
                worker=self._worker,
                incarnation=self._incarnation,
                transactor=Transactor(self._store, self._clock, self._rng, ids),
                rng=self._rng,
                ids=ids,
                wake=self._hurry,
            )
            made = self._make(post)
        except StoreError as error:
            log.warning("%s could not begin its duties: %s", self._worker, error)
            self._close()
            return False
        except Exception:  # duties are no reason to end a daemon
            log.exception("%s could not begin its duties", self._worker)
            self._close()
            return False
        self._turns = tuple(_Turn(duty, self._clock.now()) for duty in made)
        return True

    def _tick(self, turn: _Turn) -> None:
        turn.woken = False
        began = self._clock.now()
        try:
            pause = turn.duty.tick()
            turn.failures = 0
            if pause >= FIRST_PAUSE / 2:
                turn.rested = began
        except StoreError as error:
            log.warning("%s could not do its duty: %s", self._worker, error)
            # A rate limit says for how long.
            pause = max(self._failed(turn), float(getattr(error, "retry_after", 0.0)))
        except Exception:  # a duty that fails is tried again, and ends nothing else
            log.exception("%s could not do its duty", self._worker)
            pause = self._failed(turn)
        turn.due = self._clock.now() + pause

    def _failed(self, turn: _Turn) -> float:
        """The pause after one more failure of a duty in a row, in seconds."""
        turn.failures += 1
        return pause_after(turn.failures)

    def _hurry(self) -> None:
        for turn in self._turns:
            turn.woken = True
        self._wakeup.set()

    def _close(self) -> None:
        for turn in self._turns:
            turn.duty.close()
        self._turns = ()
        if self._store is not None:
            self._store.close()
            self._store = None


def pause_after(failures: int) -> float:
    """Seconds to wait after so many failures in a row, one or more."""
    return float(min(FIRST_PAUSE * 2 ** min(failures - 1, 16), LONGEST_PAUSE))


@contextmanager
def at_work(duties: Duties, start_thread: Callable[[str, Callable[[], None]], Thread]) -> Iterator[None]:
    """Run ``duties`` in a thread until the block ends."""
    thread = start_thread("duties", duties.run)
    try:
        yield
    finally:
        duties.stop()
        thread.join(_PATIENCE)
