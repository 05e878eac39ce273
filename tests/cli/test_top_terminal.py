"""``sentinel cluster top`` on a real terminal: a pseudo-terminal, and an emulator that draws what arrives."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pyte
import pytest

from sentinel.clock import SystemClock
from tests.cli.conftest import Place, Worked

#: Seconds; only ever used up by a failure.
PATIENCE = 60.0
ALTERNATE_SCREEN, BACK_AGAIN = b"\x1b[?1049h", b"\x1b[?1049l"


class Terminal:
    """A command at a terminal of so many columns and lines."""

    def __init__(self, place: Place, columns: int, lines: int, *argv: str) -> None:
        self.screen = pyte.Screen(columns, lines)
        self.sent = b""
        self._stream = pyte.ByteStream(self.screen)
        self._clock = SystemClock()
        self._master, slave = pty.openpty()
        self.resize(columns, lines)
        # The size is to come from the terminal, and not from the one that the tests were started in.
        environ = {name: value for name, value in place.environ.items() if name not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            place.argv(*argv),
            env={**environ, "TERM": "xterm-256color", "LANG": "C.UTF-8"},
            cwd=place.folder,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            # Its controlling terminal, which makes a signal of Ctrl-C.
            preexec_fn=lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0),
        )
        os.close(slave)

    def resize(self, columns: int, lines: int) -> None:
        """Make the window another size, as a person does with the mouse."""
        self.screen.resize(lines, columns)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    @property
    def lines(self) -> list[str]:
        """What the screen shows now, without blanks at the end of lines."""
        return [line.rstrip() for line in self.screen.display]

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._master, keys.encode())

    def until(self, condition: Callable[[list[str]], object], what: str) -> list[str]:
        """The screen as soon as ``condition`` holds for it."""
        give_up = self._clock.now() + PATIENCE
        while not condition(self.lines):
            shown = "\n".join(self.lines)
            assert self._clock.now() < give_up, f"waited in vain for {what}:\n{shown}"
            self._feed()
        return self.lines

    def ended(self) -> int:
        """The exit status, with all that was sent drawn."""
        status = self.process.wait(PATIENCE)
        while self._feed():
            pass
        return status

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def _feed(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], 0.1)
        if not ready:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux says so when nobody has the other end open any more.
            return False
        self.sent += data
        self._stream.feed(data)
        return bool(data)


@pytest.fixture
def fleet(place: Place) -> Place:
    """Three workers, one of which has all its slots in use, and one that is gone and cordoned."""
    Worked(place, "worker-001", max_tasks=2, region="us-east-1")
    busy = Worked(place, "worker-002", max_tasks=1)
    place.submit("one", "two")
    busy.claim("one")
    gone = Worked(place, "worker-003")
    place.run("workers", "cordon", "worker-003")
    gone.leave()
    return place


@pytest.fixture
def at(fleet: Place) -> Iterator[Callable[[int, int], Terminal]]:
    """Opens the board of that fleet on a terminal of so many columns and lines, and waits for it."""
    opened: list[Terminal] = []

    def open_one(columns: int, lines: int) -> Terminal:
        terminal = Terminal(fleet, columns, lines, "cluster", "top", "--interval", "1s")
        opened.append(terminal)
        terminal.until(lambda shown: shown[-1].startswith("q quit"), "the board")
        return terminal

    yield open_one
    for terminal in opened:
        terminal.close()


def headings(lines: list[str]) -> list[str]:
    (line,) = [line for line in lines if line.startswith("WORKER")]
    return line.split()


def ids(lines: list[str]) -> list[str]:
    return [line.split()[0] for line in lines if line.startswith("worker-")]


ESSENTIAL = ["WORKER", "STATUS", "LOAD", "TASKS", "CPU", "MEM", "DONE", "FAILED"]
ALL = [*ESSENTIAL, "LOST", "CRASHES", "BEAT", "DISK", "CONNS", "LOCKS", "UP", "REGION", "ROLE"]


@pytest.mark.parametrize(
    ("columns", "lines", "shown"), [(80, 24, ESSENTIAL), (200, 50, ALL)], ids=["80x24", "200x50"]
)
def test_the_board_fills_a_terminal_and_cuts_nothing_off(
    at: Callable[[int, int], Terminal], columns: int, lines: int, shown: list[str]
) -> None:
    board = at(columns, lines).lines
    assert headings(board)[: len(shown)] == shown
    assert ids(board) == ["worker-002", "worker-001", "worker-003"]
    text = "\n".join(board)
    for told in (
        "Task Sentinel",
        "2/2 healthy",
        "slots 1/3 (33%)",
        "queue    1: ",
        "offline, cordoned",
        "3 shown",
    ):
        assert told in text
    assert "…" not in text
    assert board[0].endswith("Z")
    assert len(board[0]) == columns


def test_a_low_terminal_still_shows_workers(at: Callable[[int, int], Terminal]) -> None:
    assert ids(at(60, 12).lines)[:2] == ["worker-002", "worker-001"]


def test_keys_sort_filter_and_search(at: Callable[[int, int], Terminal]) -> None:
    terminal = at(80, 24)
    terminal.press("s")
    terminal.until(lambda shown: ids(shown) == ["worker-001", "worker-002", "worker-003"], "the order by id")
    terminal.press("r")
    terminal.until(lambda shown: ids(shown) == ["worker-003", "worker-002", "worker-001"], "it reversed")
    terminal.press("ff")
    terminal.until(lambda shown: ids(shown) == ["worker-002"], "the busy ones")
    terminal.press("\x1b")
    terminal.until(lambda shown: len(ids(shown)) == 3, "all again")
    terminal.press("/us-east\r")
    terminal.until(lambda shown: ids(shown) == ["worker-001"], "what the search finds")


def test_the_board_follows_the_size_of_its_window(at: Callable[[int, int], Terminal]) -> None:
    terminal = at(80, 24)
    terminal.resize(180, 30)
    terminal.until(
        lambda shown: shown[29].startswith("q quit") and headings(shown) == ALL, "the larger board"
    )


def test_the_board_goes_on_by_itself(at: Callable[[int, int], Terminal], fleet: Place) -> None:
    terminal = at(80, 24)
    fleet.submit("three")
    terminal.until(lambda shown: any(line.startswith("queue    2: ") for line in shown), "the new task")


@pytest.mark.parametrize(("way", "status"), [("q", 0), ("\x03", 130)], ids=["q", "ctrl-c"])
def test_the_terminal_is_as_before_when_the_board_is_left(
    at: Callable[[int, int], Terminal], way: str, status: int
) -> None:
    terminal = at(80, 24)
    before = terminal.sent
    terminal.press(way)
    assert terminal.ended() == status
    left = terminal.sent[len(before) :]
    assert ALTERNATE_SCREEN in before
    assert BACK_AGAIN in left
    assert not terminal.screen.cursor.hidden


def test_the_terminal_is_as_before_when_the_board_is_ended(at: Callable[[int, int], Terminal]) -> None:
    terminal = at(80, 24)
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.ended() == 143
    assert BACK_AGAIN in terminal.sent
    assert not terminal.screen.cursor.hidden


def test_a_store_that_goes_away_is_told_and_the_last_look_stays(
    at: Callable[[int, int], Terminal], fleet: Place
) -> None:
    terminal = at(80, 24)
    fleet.store.rename(fleet.folder / "away")
    terminal.until(lambda shown: any(line.startswith("not up to date:") for line in shown), "what is wrong")
    assert ids(terminal.lines) == ["worker-002", "worker-001", "worker-003"]
    (fleet.folder / "away").rename(fleet.store)
    terminal.until(lambda shown: not any("not up to date" in line for line in shown), "the next look")


def test_a_piped_board_is_one_whole_frame(fleet: Place) -> None:
    long = f"worker-{'x' * 100}"
    Worked(fleet, long)
    ran = fleet.process("cluster", "top")
    lines = ran.stdout.splitlines()
    assert (ran.status, headings(lines)) == (0, ALL)
    assert long in ids(lines)
    assert "\x1b" not in ran.stdout
    assert "q quit" not in ran.stdout
    assert Path(fleet.store).name in lines[0]
