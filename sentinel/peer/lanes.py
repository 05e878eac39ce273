"""Which run waits in which lane, and how many tasks may be claimed ahead of free slots.

A Python function runs in a warm process, a *lane*, and each slot of a worker can be one. Where functions are
so short that a round trip to the store would starve the lanes, tasks are claimed ahead and wait in a lane
behind what runs there: as many as the lanes get through in the time from one tick to the next, as measured.
Where the first run of a lane takes longer than that, what waits behind it is taken back.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence

#: Longest time in seconds that is looked ahead, however long ticks take.
HORIZON = 0.25
#: Seconds for which a lane's first run may go on before what waits behind it is taken back.
PATIENCE = 2 * HORIZON
#: Most tasks that wait in all lanes together: they all are handed back when the worker is drained.
MOST = 512
#: Seconds that a tick may take for what is claimed in it: a beat waits for the same interpreter.
_LONGEST_TICK = 0.5
#: What is learned from fewer claims in a tick says little about what each costs.
_FEW = 16
#: How many of the last runs of a type, and of the last ticks, are remembered.
_REMEMBERED = 15
#: Shortest time in seconds that a tick or a run is taken to last.
_TICK, _RUN = 0.005, 0.00002


class Lanes:
    """The lanes of one incarnation. For the control thread alone."""

    def __init__(self) -> None:
        self._runs: dict[str, deque[str]] = {}
        self._of: dict[str, str] = {}
        #: Lane → when its first run became the first.
        self._since: dict[str, float] = {}
        #: Lanes whose runs were asked to be taken back.
        self._recalled: set[str] = set()
        #: Type → seconds that its last runs took. The middle one counts: a first run starts the process, too.
        self._seconds: dict[str, deque[float]] = {}
        self._ticks: deque[float] = deque(maxlen=_REMEMBERED)
        self._last_tick: float | None = None
        #: Seconds for each task that was claimed in one of the last ticks, all that goes with it included.
        self._costs: deque[float] = deque(maxlen=_REMEMBERED)
        self._placed = 0

    # -- what runs where -------------------------------------------------------------------------------

    @property
    def busy(self) -> int:
        """Lanes in which something runs."""
        return len(self._runs)

    @property
    def waiting(self) -> int:
        """Runs that wait behind others."""
        return len(self._of) - len(self._runs)

    def waits(self, run: str) -> bool:
        """Whether a run waits behind another."""
        lane = self._of.get(run)
        return lane is not None and self._runs[lane][0] != run

    def place(self, run: str, *, slots: int, now: float) -> str:
        """Put a run into a lane: a free one while fewer than ``slots`` lanes are in use, or the shortest."""
        if len(self._runs) < slots:
            lane = next(name for name in map(str, range(len(self._runs) + 1)) if name not in self._runs)
            self._runs[lane] = deque()
            self._since[lane] = now
        else:
            flowing = self._runs.keys() - self._recalled or self._runs.keys()
            lane = min(flowing, key=lambda name: (len(self._runs[name]), name))
        self._runs[lane].append(run)
        self._of[run] = lane
        self._placed += 1
        return lane

    def over(self, run: str, now: float) -> None:
        """A run has ended, or will not begin."""
        lane = self._of.pop(run, None)
        if lane is None:
            return
        runs = self._runs[lane]
        if runs[0] == run:
            runs.popleft()
            self._since[lane] = now
            self._recalled.discard(lane)
        else:
            runs.remove(run)
        if not runs:
            del self._runs[lane], self._since[lane]

    def held_up(self, now: float) -> list[str]:
        """Lanes in which something waits behind a long run, each named once for that run."""
        found = [
            lane
            for lane, runs in self._runs.items()
            if len(runs) > 1 and lane not in self._recalled and now - self._since[lane] >= PATIENCE
        ]
        self._recalled.update(found)
        return found

    def next_due(self, now: float) -> float:
        """Seconds until `held_up` may have something to tell."""
        due = [
            self._since[lane] + PATIENCE - now
            for lane, runs in self._runs.items()
            if len(runs) > 1 and lane not in self._recalled
        ]
        return max(0.0, min(due, default=float("inf")))

    # -- what is measured ------------------------------------------------------------------------------

    def took(self, type: str, seconds: float) -> None:
        """A run of this type took so long."""
        self._seconds.setdefault(type, deque(maxlen=_REMEMBERED)).append(seconds)

    def ticked(self, now: float) -> None:
        """A tick begins."""
        if self._last_tick is not None:
            self._ticks.append(now - self._last_tick)
            if self._placed >= _FEW:
                self._costs.append((now - self._last_tick) / self._placed)
        self._last_tick, self._placed = now, 0

    def ahead(self, types: Iterable[str], *, slots: int) -> int:
        """How many of these tasks, in their order, may be claimed beyond what ``slots`` lanes start now."""
        budget, usual = self._budget(slots), self._usual()
        room, count = self._most() - self.waiting, 0
        for type in types:
            budget -= usual.get(type, math.inf)
            if count >= room or budget < 0:
                break
            count += 1
        return count

    def room(self, slots: int) -> int:
        """How many tasks at most `ahead` can give, whatever their types are."""
        shortest = min(self._usual().values(), default=math.inf)
        return max(0, min(self._most() - self.waiting, int(self._budget(slots) / shortest)))

    def _most(self) -> int:
        """How many may wait: where each costs this process much, fewer, so that its ticks stay short."""
        cost = _middle(self._costs)
        return MOST if cost * MOST <= _LONGEST_TICK else max(_FEW, int(_LONGEST_TICK / cost))

    def _budget(self, slots: int) -> float:
        return (slots - len(self._recalled)) * min(HORIZON, max(_TICK, _middle(self._ticks)))

    def _usual(self) -> dict[str, float]:
        return {type: max(_RUN, _middle(seconds)) for type, seconds in self._seconds.items()}


def _middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2] if values else 0.0
