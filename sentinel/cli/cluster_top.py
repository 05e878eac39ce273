"""``sentinel cluster top``."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import click
from rich.console import Console, Group
from rich.live import Live

from sentinel.cli.context import Invocation, pass_invocation
from sentinel.cli.ending import plain
from sentinel.cli.keyboard import Keyboard, keyboard
from sentinel.cli.output import Output, output_option, show_json
from sentinel.cli.top_choice import SHOWS, SORTS, Choice
from sentinel.cli.top_frame import Surface, forecast_of, frame
from sentinel.cli.values import DURATION
from sentinel.client.fleetwide import Health
from sentinel.errors import StoreError
from sentinel.fleet.health import Limits
from sentinel.fleet.pacing import Budget

#: Characters that a frame with all columns takes besides the names of the workers.
_COLUMNS = 160
#: Seconds between two looks at the keyboard and the size of the terminal.
_BLINK = 0.25


@click.command()
@click.option(
    "--interval", type=DURATION, metavar="TIME", default="2s", help="Between two looks.  [default: 2s]"
)
@click.option("--sort", type=click.Choice(list(SORTS)), default="load", help="Order.  [default: load]")
@click.option("--show", type=click.Choice(list(SHOWS)), default="all", help="Workers.  [default: all]")
@output_option
@pass_invocation
def top(invocation: Invocation, *, interval: float, sort: str, show: str, output: Output) -> None:
    """Watch the fleet on a live board; piped, or with -o json, one frame of it.

    Keys: s sorts by the next column, r reverses, f shows the next group of workers, / searches, the arrow
    keys scroll, Esc shows all again, q quits.

    \b
    Examples:
      sentinel cluster top
      sentinel cluster top --sort failed --show problems
      sentinel cluster top | head
    """
    limits = invocation.limits()
    choice, url = Choice(sort=sort, show=show), invocation.store_url()
    if output == "json" or not sys.stdout.isatty():
        with invocation.client() as client:
            health = client.health(limits)
        if output == "json":
            show_json(
                {"status": health.verdict, "conditions": health.documents(), **health.metrics.document()}
            )
            return
        # Nothing has to fit: every column is there, and every name is whole.
        longest = max((len(worker.id) for worker in health.metrics.workers), default=0)
        surface = Surface(width=_COLUMNS + longest, blocks=_blocks())
        forecast = forecast_of(invocation.budget(url), health)
        for line in frame(health, choice, surface, store=url, forecast=forecast):
            click.echo(line.plain.rstrip())
        return
    watcher = Watcher(invocation, limits, interval)
    watcher.start()
    try:
        with _ended_in_order(), keyboard() as keys:
            _show(watcher, keys, choice, url, invocation.budget(url))
    finally:
        watcher.stop()


class Watcher:
    """Looks at the fleet again and again in a thread of its own, so that a slow store keeps no key waiting.

    Raises `StoreError` when the very first look fails.
    """

    def __init__(self, invocation: Invocation, limits: Limits, interval: float) -> None:
        self._invocation = invocation
        self._limits = limits
        self._interval = interval
        self._stop = threading.Event()
        self._first = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)
        #: The newest look that succeeded.
        self.health: Health | None = None
        #: Why the newest look failed, or None.
        self.failure: Exception | None = None

    def start(self) -> None:
        """Begin, and come back after the first look."""
        self._thread.start()
        self._first.wait()
        if self.health is None and self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()

    def _watch(self) -> None:
        try:
            with self._invocation.client() as client:
                while not self._stop.is_set():
                    try:
                        self.health = client.health(self._limits)
                        self.failure = None
                    except StoreError as error:
                        self.failure = error
                    self._first.set()
                    self._stop.wait(self._interval)
        except Exception as error:  # noqa: BLE001 - whatever it is, the thread that draws must learn of it
            self.failure = error
        finally:
            self._first.set()


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Let SIGTERM end the block as an exception does, so that the terminal is given back as it was."""

    def end(number: int, _: FrameType | None) -> NoReturn:
        raise click.exceptions.Exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _show(watcher: Watcher, keys: Keyboard, choice: Choice, store: str, budget: Budget | None) -> None:
    console = Console()
    blocks = _blocks()
    drawn: object = None
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            health, failure = watcher.health, watcher.failure
            if health is None or (failure is not None and not isinstance(failure, StoreError)):
                raise failure or StoreError("the fleet could not be looked at")
            now = (id(health), str(failure), console.size, choice)
            if now != drawn:
                surface = Surface(width=console.size.width, height=console.size.height, blocks=blocks)
                note = "" if failure is None else plain(f"not up to date: {failure}")
                forecast = forecast_of(budget, health)
                lines = frame(health, choice, surface, store=store, forecast=forecast, note=note)
                live.update(Group(*lines), refresh=True)
                drawn = now
            for key in keys.keys(_BLINK):
                choice = choice.press(key)
            if choice.quit:
                return


def _blocks() -> bool:
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    return encoding == "utf8"
