"""The board: what a frame holds on any terminal, what keys do, and what terminals send for them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.cli.keyboard import split
from sentinel.cli.top_choice import SHOWS, SORTS, Choice
from sentinel.cli.top_frame import Surface, bar, forecast_of, frame
from sentinel.client.fleetwide import Health
from sentinel.fleet.health import Limits
from sentinel.fleet.pacing import ALONE, Forecast, Rhythm, Seen
from sentinel.model.lease import LeaseTimes
from tests.unit.stage import Stage


def fleet(number: int, *, busy: int = 0, silent: int = 0) -> Health:
    """Workers ``w00`` … of which the first are busy and the last silent."""
    stage = Stage()
    for place in range(number - silent, number):
        stage.join(f"w{place:02}", max_tasks=2)
    stage.clock.advance(60.0)
    for place in range(number - silent):
        stage.join(f"w{place:02}", max_tasks=2)
    client = stage.client()
    for place in range(busy):
        client.submit("shell", positional=["true"], id=f"t{place}", priority="high")
        stage.claim(f"t{place}", f"w{place:02}")
    client.submit("shell", positional=["true"], id="waits", priority="critical")
    return client.health(Limits())


LARGE = fleet(30, busy=3, silent=2)


def plain(health: Health, choice: Choice | None = None, **surface: object) -> list[str]:
    drawn = frame(health, choice or Choice(), Surface(**surface), store="./fleet.git")  # type: ignore[arg-type]  # forwarded
    return [line.plain.rstrip() for line in drawn]


def ids(lines: list[str]) -> list[str]:
    return [line.split()[0] for line in lines if line.startswith("w") and line[1:3].isdigit()]


@given(
    width=st.integers(20, 250),
    height=st.integers(3, 80),
    blocks=st.booleans(),
    choice=st.builds(
        Choice,
        sort=st.sampled_from(sorted(SORTS)),
        show=st.sampled_from(sorted(SHOWS)),
        reverse=st.booleans(),
        text=st.sampled_from(["", "w1", "nothing like it"]),
        typing=st.booleans(),
        offset=st.integers(0, 100),
    ),
)
def test_a_frame_fits_any_terminal(width: int, height: int, blocks: bool, choice: Choice) -> None:
    surface = Surface(width=width, height=height, blocks=blocks)
    lines = frame(LARGE, choice, surface, store="/a/long/path/to/a/fleet.git", note="the store is away")
    assert len(lines) == height
    assert max(line.cell_len for line in lines) <= width


def test_a_small_terminal_shows_all_that_was_asked_for() -> None:
    lines = plain(fleet(3, busy=1), width=80, height=24)
    text = "\n".join(lines)
    for word in ("healthy", "3/3", "slots 1/6 (17%)", "critical 1", "failovers 0", "0 conflicts", "q quit"):
        assert word in text
    assert next(line for line in lines if line.startswith("w00")).split()[:5] == [
        *("w00", "online", "█████░░░░░", "50%", "1/2")
    ]


def test_a_piped_frame_has_every_worker_and_no_keys() -> None:
    lines = plain(LARGE, blocks=False)
    assert len(ids(lines)) == 30
    assert "q quit" not in lines[-1]
    assert all(line.isascii() for line in lines)


def test_the_busiest_stand_first_unless_told_otherwise() -> None:
    assert ids(plain(LARGE))[:4] == ["w00", "w01", "w02", "w03"]
    assert ids(plain(LARGE, Choice(reverse=True)))[-1] == "w02"
    assert ids(plain(LARGE, Choice(sort="worker", reverse=True)))[0] == "w29"
    assert ids(plain(LARGE, Choice(sort="status")))[:2] == ["w28", "w29"]


@pytest.mark.parametrize(("show", "number"), [("all", 30), ("healthy", 28), ("busy", 3), ("problems", 2)])
def test_a_group_of_workers_can_be_shown(show: str, number: int) -> None:
    assert len(ids(plain(LARGE, Choice(show=show)))) == number


def test_a_search_looks_at_the_names() -> None:
    assert ids(plain(LARGE, Choice(text="W1"))) == [f"w1{digit}" for digit in range(10)]


def test_scrolling_ends_with_the_last_worker() -> None:
    top = ids(plain(LARGE, Choice(sort="worker"), height=20))
    end = ids(plain(LARGE, Choice(sort="worker", offset=99), height=20))
    assert (top[0], end[-1], len(top)) == ("w00", "w29", len(end))


def test_what_is_wrong_is_named_with_a_limit() -> None:
    lines = plain(fleet(9, silent=6), width=100)
    assert [line.split()[0] for line in lines if line.startswith("critical")] == ["critical"] * 3
    assert any("and 4 more: sentinel cluster health" in line for line in lines)


def test_keys_change_the_choice() -> None:
    choice = Choice()
    assert choice.press("s").sort == "worker"
    assert choice.press("f").press("f").show == "busy"
    assert choice.press("r").press("r") == choice
    assert choice.press("down").press("j").press("up").offset == 1
    assert choice.press("up").offset == 0
    assert choice.press("x") == choice
    assert choice.press("q").quit
    assert choice.press("\x03").quit


def test_every_order_and_group_comes_round() -> None:
    for key, field, number in (("s", "sort", len(SORTS)), ("f", "show", len(SHOWS))):
        choice, seen = Choice(), set()
        for _ in range(number):
            seen.add(getattr(choice, field))
            choice = choice.press(key)
        assert (len(seen), getattr(choice, field)) == (number, getattr(Choice(), field))


def test_a_search_is_typed_kept_and_dropped() -> None:
    typed = Choice()
    for key in ("/", "q", "1", "2", "backspace"):
        typed = typed.press(key)
    assert (typed.text, typed.typing, typed.quit) == ("q1", True, False)
    assert typed.press("enter") == Choice(text="q1")
    assert typed.press("escape") == Choice()
    assert typed.press("enter").press("escape") == Choice()
    assert typed.press("\x03").quit


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"sq", ["s", "q"]),
        (b"\x1b[A\x1b[Bk", ["up", "down", "k"]),
        (b"\x1bOA", ["up"]),
        (b"\x1b", ["escape"]),
        (b"\r\x7f", ["enter", "backspace"]),
        (b"\x1b[5~s", ["s"]),
        (b"\x1b[", []),
        ("ü/".encode(), ["ü", "/"]),
        (b"\xff", ["\ufffd"]),
    ],
)
def test_what_a_terminal_sends_is_split_into_keys(data: bytes, keys: list[str]) -> None:
    assert list(split(data)) == keys


@given(st.binary(max_size=30))
def test_any_input_is_split_without_an_end(data: bytes) -> None:
    assert len(list(split(data))) <= len(data)


@pytest.mark.parametrize(
    ("load", "drawn"), [(0.0, ".....   0%"), (0.5, "##...  50%"), (1.0, "##### 100%"), (3.0, "##### 300%")]
)
def test_a_bar_is_as_full_as_the_load(load: float, drawn: str) -> None:
    assert bar(load, 5, blocks=False).plain == drawn


class Allowance:
    """A budget that is nearly used up."""

    def rhythm(self, seen: Seen) -> Rhythm:
        return Rhythm(times=LeaseTimes(30.0, 120.0), poll=5.0)

    def forecast(self, workers: int, tasks_an_hour: float) -> Forecast:
        return Forecast(
            kind="github",
            workers=workers,
            tasks_an_hour=tasks_an_hour,
            rhythm=self.rhythm(ALONE),
            pushes_a_minute=5.5,
            reads_a_second=0.0,
            requests_an_hour=workers * 100.0 + tasks_an_hour,
            points_a_minute=0.0,
            contents_an_hour=0.0,
            limits={"pushes_a_minute": 6.0, "requests_an_hour": 5000.0, "points_a_minute": math.inf},
        )


def test_a_fleet_on_a_store_with_limits_shows_what_it_sends() -> None:
    health = fleet(3)
    drawn = frame(health, Choice(), Surface(), store="x", forecast=forecast_of(Allowance(), health))
    (line,) = [line.plain.rstrip() for line in drawn if line.plain.startswith("budget")]
    assert line == "budget   5.5/6 pushes/min  300/5000 requests/h"
    assert forecast_of(None, health) is None
