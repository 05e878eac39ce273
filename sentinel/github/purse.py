"""What showing tasks on GitHub may cost, saved up evenly and spent on what is wanted most.

While there is plenty, every change is shown as it comes. The less there is, the fewer: first what only keeps
a running task's comment up to date is left out, then that a task was taken in at all; an answer to a person
and the end of a task come for as long as there is anything. What was left out is not made up for: what is
said next, or at the end, is how things are then.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sentinel.clock import Clock
from sentinel.github.budget import MirrorShare
from sentinel.github.hub import Answer, Hub

#: Seconds for which what is not spent is saved up.
_SAVED = 540.0
#: Part of the comments that may be saved up that whoever begins has: the one before may just have spent as
#: many. Of requests GitHub itself tells how many are left.
_AT_FIRST = 0.5
#: Requests that one issue costs at most: looking for its comment, writing it, three labels and closing.
MOST = 7
#: Requests of a change of a comment for its progress alone.
_EDIT = 1
#: Shortest pause, in seconds, before it is tried again to say what could not be paid for: several at a time.
_TOGETHER = 15.0


class Wish(enum.IntEnum):
    """Why something is to be said, the most urgent first."""

    #: A person waits: something is wrong with an issue, it needs an approval, or a command was answered.
    ANSWER = 0
    #: The run is over.
    END = 1
    #: Nothing was said on this issue yet.
    FIRST = 2
    #: How things stand with a task that goes on.
    CHANGE = 3


#: Part of what can be saved up that must be there for each.
_LEFT = {Wish.ANSWER: 0.0, Wish.END: 0.0, Wish.FIRST: 0.25, Wish.CHANGE: 0.5}


class Savings:
    """Something that comes in evenly, up to a limit."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._an_hour = math.inf
        self._amount = math.inf
        self._at = clock.now()

    def begin(self, an_hour: float, part: float = 1.0) -> None:
        """Begin to spend, with that part of what can be saved up."""
        self._an_hour, self._at = an_hour, self._clock.now()
        self._amount = part * self._most

    def comes(self, an_hour: float) -> None:
        """Take in what came since; so much comes in from now on."""
        now = self._clock.now()
        came = self._an_hour * (now - self._at) / 3600.0 if now > self._at else 0.0
        self._an_hour, self._at = an_hour, now
        self._amount = min(self._amount + came, self._most)

    @property
    def _most(self) -> float:
        """As much as can be saved up: enough for two issues, however little comes in."""
        return max(self._an_hour * _SAVED / 3600.0, 2.0 * MOST)

    def wait(self, least: float, part: float) -> float:
        """Seconds until there is ``least``, and that part of what can be saved up; zero when there is."""
        if math.isinf(self._an_hour):
            return 0.0
        lacking = max(least, part * self._most) - self._amount
        if lacking <= 0:
            return 0.0
        return lacking * 3600.0 / self._an_hour if self._an_hour > 0 else math.inf

    def spend(self, amount: float) -> None:
        """It is gone; there may be less than nothing left."""
        self._amount -= amount


class Purse:
    """The savings of whoever deals with GitHub. For one thread."""

    def __init__(self, share: Callable[[], MirrorShare], clock: Clock) -> None:
        self._share = share
        self._requests = Savings(clock)
        self._contents = Savings(clock)
        self._progress = Savings(clock)

    def begin(self) -> None:
        """We deal with GitHub from now on."""
        share = self._share()
        self._requests.begin(share.requests)
        self._contents.begin(share.contents, _AT_FIRST)
        self._progress.begin(share.progress)

    def refill(self) -> None:
        """Take in what came since, by what is left of the hour now."""
        share = self._share()
        self._requests.comes(share.requests)
        self._contents.comes(share.contents)
        self._progress.comes(share.progress)

    def wait(self, wish: Wish, *, creates: bool) -> float:
        """Seconds until something may be said; zero for now. ``creates`` says that it makes a comment."""
        part = _LEFT[wish]
        longest = self._requests.wait(MOST, part)
        if creates:
            longest = max(longest, self._contents.wait(1.0, part))
        return 0.0 if longest <= 0 else max(longest, _TOGETHER)

    def allows_progress(self) -> bool:
        """Whether a comment may be changed for the progress of its task alone."""
        return not self._progress.wait(_EDIT, 0.0) and not self._requests.wait(_EDIT, _LEFT[Wish.CHANGE])

    def spend(self, requests: int, contents: int) -> None:
        """What something cost that was said."""
        self._requests.spend(requests)
        self._contents.spend(contents)

    def spend_progress(self, requests: int) -> None:
        """What it cost to say how far a task is."""
        self._progress.spend(requests)


@dataclasses.dataclass(slots=True)
class Counting:
    """Counts what goes through a `Hub`."""

    hub: Hub
    requests: int = 0
    contents: int = 0

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Answer:
        """See `Hub`."""
        self.requests += 1
        return self.hub.get(path, params)

    def pages(self, path: str, params: Mapping[str, str | int] | None = None) -> Iterator[Any]:
        """See `Hub`; of one issue it is one page."""
        self.requests += 1
        return self.hub.pages(path, params)

    def send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, content: bool = False
    ) -> Answer:
        """See `Hub`."""
        self.requests += 1
        self.contents += content
        return self.hub.send(method, path, body, content=content)
