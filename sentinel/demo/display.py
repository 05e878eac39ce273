"""Shows the fleet at work: a live picture on a terminal, and a line now and then into anything else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

from sentinel.clock import Clock

if TYPE_CHECKING:
    from rich.console import RenderableType

#: Seconds between two lines on what is no terminal, and between two pictures on one.
LINE_EVERY, PICTURE_EVERY = 2.0, 0.1
#: How the states of tasks are called here, in this order.
_STATES = {
    "done": "done",
    "running": "running",
    "pending": "waiting",
    "failed": "failed",
    "cancelled": "cancelled",
    "dead": "dead",
}
_STYLES = {"online": "green", "busy": "green", "killed": "bold red", "gone": "red"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PeerLine:
    """One peer at a moment."""

    id: str
    status: str
    #: Ids of the tasks that it runs.
    running: tuple[str, ...] = ()
    slots: int = 0
    finished: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """All that is shown at a moment."""

    #: What is going on, in a few words.
    activity: str
    peers: tuple[PeerLine, ...] = ()
    #: State → number of tasks in it.
    states: Mapping[str, int] = dataclasses.field(default_factory=dict)
    #: Tasks finished per second, of late.
    rate: float = 0.0

    @property
    def total(self) -> int:
        """How many tasks there are."""
        return sum(self.states.values())


class Display(Protocol):
    """Where the story is told."""

    def show(self, frame: Frame) -> None:
        """The present state of things."""

    def say(self, text: str) -> None:
        """Something happened that is worth a line that stays."""


class Lines:
    """Plain lines, each with the seconds since the beginning."""

    def __init__(self, write: Callable[[str], None], clock: Clock) -> None:
        self._write = write
        self._clock = clock
        self._began = clock.now()
        self._shown_at = self._began
        self._shown = ""

    def show(self, frame: Frame) -> None:
        if self._clock.now() - self._shown_at < LINE_EVERY:
            return
        text = summary(frame)
        if text != self._shown:
            self.say(text)
            self._shown = text
        self._shown_at = self._clock.now()

    def say(self, text: str) -> None:
        self._write(f"[{self._clock.now() - self._began:6.1f} s] {text}")


class _Terminal:
    """A picture that is drawn again in its place, and lines above it."""

    def __init__(self, lines: Lines, draw: Callable[[RenderableType], None], clock: Clock) -> None:
        self.say = lines.say
        self._draw = draw
        self._clock = clock
        self._drawn_at = 0.0

    def show(self, frame: Frame) -> None:
        if self._clock.now() - self._drawn_at >= PICTURE_EVERY:
            self._draw(picture(frame))
            self._drawn_at = self._clock.now()


@contextmanager
def open_display(stream: TextIO, clock: Clock) -> Iterator[Display]:
    """A live picture if ``stream`` is a terminal that can draw one, else plain lines."""
    from rich.console import Console

    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    if not console.is_terminal or console.is_dumb_terminal:

        def write(line: str) -> None:
            stream.write(f"{line}\n")
            stream.flush()

        yield Lines(write, clock)
        return

    from rich.live import Live

    # What it draws last is wiped away: the lines above it and the report tell the story.
    with Live(console=console, auto_refresh=False, transient=True) as live:

        def draw(rendered: RenderableType) -> None:
            live.update(rendered, refresh=True)

        yield _Terminal(Lines(lambda line: console.print(line, soft_wrap=True), clock), draw, clock)


def summary(frame: Frame) -> str:
    """The frame as one line of plain text."""
    if not frame.total:
        return frame.activity
    tally = ", ".join(f"{count} {word}" for word, count in _tally(frame))
    peers = ", ".join(
        f"{peer.id} {len(peer.running)}/{peer.slots}"
        if peer.status in ("online", "busy")
        else f"{peer.id} {peer.status}"
        for peer in frame.peers
    )
    return f"{frame.activity}: {tally}; {frame.rate:.1f} tasks/s; {peers}"


def picture(frame: Frame) -> RenderableType:
    """The frame for a terminal."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = [Text("")]
    if frame.peers:
        parts += [_peers(frame.peers), Text("")]
    if frame.total:
        bar = ProgressBar(total=frame.total, completed=frame.states.get("done", 0), width=30)
        tally = Text(", ").join(Text(f"{count} {word}") for word, count in _tally(frame))
        tally.append(f"; {frame.rate:.1f} tasks/s")
        line = Table.grid(padding=(0, 2, 0, 0))
        line.add_row(bar, tally)
        parts.append(line)
    return Group(*parts, Text(frame.activity, style="dim"))


def _peers(peers: tuple[PeerLine, ...]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("PEER", "STATUS", "SLOTS", "DONE", "RUNNING"):
        # One line a peer, whatever it runs: a picture that changes its height flickers.
        table.add_column(heading, no_wrap=True, overflow="ellipsis")
    for peer in peers:
        table.add_row(
            Text(peer.id),
            Text(peer.status, style=_STYLES.get(peer.status, "yellow")),
            Text(f"{len(peer.running)}/{peer.slots}"),
            Text(str(peer.finished)),
            Text(" ".join(peer.running) or "-", style="cyan" if peer.running else "dim"),
        )
    return table


def _tally(frame: Frame) -> list[tuple[str, int]]:
    """What people call a state, and how many tasks are in it; the usual ones are always there."""
    return [
        (word, frame.states.get(state, 0))
        for state, word in _STATES.items()
        if frame.states.get(state) or state in ("done", "running", "pending")
    ]
