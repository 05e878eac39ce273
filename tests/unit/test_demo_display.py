"""What the demo shows: a line now and then where there is no terminal, a picture where there is one."""

from __future__ import annotations

import io
import re

import pytest

from sentinel.demo.display import LINE_EVERY, Frame, Lines, PeerLine, open_display, picture, summary
from sentinel.testing.clock import ManualClock

AT_WORK = Frame(
    activity="the fleet is at work",
    peers=(
        PeerLine(id="demo-1", status="busy", running=("email", "json"), slots=2, finished=3),
        PeerLine(id="demo-2", status="killed", running=("pydoc",), slots=2, finished=1),
    ),
    states={"done": 4, "running": 3, "pending": 193},
    rate=2.5,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def lines(clock: ManualClock) -> tuple[Lines, list[str]]:
    written: list[str] = []
    return Lines(written.append, clock), written


def rendered(frame: Frame) -> str:
    from rich.console import Console

    console = Console(file=io.StringIO(), width=100)
    console.print(picture(frame))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_frame_as_one_line_has_tasks_throughput_and_peers() -> None:
    assert summary(AT_WORK) == (
        "the fleet is at work: 4 done, 3 running, 193 waiting; 2.5 tasks/s; demo-1 2/2, demo-2 killed"
    )


def test_states_that_are_out_of_the_ordinary_are_shown_when_there_are_any() -> None:
    assert "1 failed" in summary(Frame(activity="x", states={"failed": 1}))
    assert "failed" not in summary(AT_WORK)


def test_a_frame_before_there_are_tasks_is_what_is_going_on() -> None:
    assert summary(Frame(activity="1 of 3 peers have joined")) == "1 of 3 peers have joined"


def test_something_that_happened_is_written_at_once_with_its_time(
    lines: tuple[Lines, list[str]], clock: ManualClock
) -> None:
    display, written = lines
    clock.advance(12.34)
    display.say("kill -9 4711")
    assert written == ["[  12.3 s] kill -9 4711"]


def test_frames_are_written_now_and_then(lines: tuple[Lines, list[str]], clock: ManualClock) -> None:
    display, written = lines
    for number in range(10):
        clock.advance(LINE_EVERY / 4)
        display.show(Frame(activity=f"step {number}"))
    assert [line.partition("] ")[2] for line in written] == ["step 3", "step 7"]


def test_a_frame_that_says_nothing_new_is_not_written_again(
    lines: tuple[Lines, list[str]], clock: ManualClock
) -> None:
    display, written = lines
    for _ in range(5):
        clock.advance(LINE_EVERY)
        display.show(AT_WORK)
    assert len(written) == 1


@pytest.mark.parametrize(
    "shown", ["demo-1", "busy", "2/2", "email json", "killed", "193 waiting", "2.5 tasks/s"]
)
def test_the_picture_shows(shown: str) -> None:
    assert shown in rendered(AT_WORK)


def test_the_picture_keeps_its_height_whatever_the_peers_run() -> None:
    long = tuple(f"package-{number}" for number in range(50))
    busy = Frame(activity="x", peers=(PeerLine(id="demo-1", status="busy", running=long, slots=50),))
    idle = Frame(activity="x", peers=(PeerLine(id="demo-1", status="busy"),))
    assert rendered(busy).count("\n") == rendered(idle).count("\n")


def test_the_picture_without_peers_and_tasks_is_what_is_going_on() -> None:
    assert rendered(Frame(activity="one process measured 1")).strip() == "one process measured 1"


def test_what_is_no_terminal_gets_plain_lines(clock: ManualClock) -> None:
    stream = io.StringIO()
    with open_display(stream, clock) as display:
        display.say("peers have joined")
        clock.advance(LINE_EVERY)
        display.show(AT_WORK)
    assert stream.getvalue().isascii()
    assert "\x1b" not in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 2


def test_a_terminal_that_cannot_draw_gets_plain_lines(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    with open_display(stream, clock) as display:
        display.say("peers have joined")
    assert stream.getvalue() == "[   0.0 s] peers have joined\n"


def test_a_terminal_gets_a_picture_and_the_lines_above_it(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    stream = Terminal()
    with open_display(stream, clock) as display:
        display.show(AT_WORK)
        display.say("[not markup] :smile:")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "demo-1" in text
    assert "] [not markup] :smile:" in text


def test_a_terminal_is_not_drawn_upon_more_often_than_anybody_can_see(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with open_display(stream, clock) as display:
        for _ in range(100):
            clock.advance(0.01)
            display.show(AT_WORK)
    assert 8 <= stream.getvalue().count("193 waiting") <= 12
