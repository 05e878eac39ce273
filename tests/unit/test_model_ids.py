"""Ids: no text that could be a path, an option or a command is one."""

from __future__ import annotations

import itertools
import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.errors import BadInput
from sentinel.model import layout
from sentinel.model.ids import MAX_ID_LENGTH, IdSource, check_id, is_id
from sentinel.model.line import one_line
from tests.unit.builders import WALL

BAD = [
    "../../etc/passwd",
    "-oProxyCommand=x",
    "$(id)",
    "`id`",
    "a\0b",
    "a\nb",
    "a\r\nb",
    "build\n",
    "\u202etxt.exe",
    "a\u200fb",
    "a" * 300,
    "a" * (MAX_ID_LENGTH + 1),
    "",
    "Build",
    "a..b",
    "x.",
    ".x",
    "-x",
    "a--b",
    "a._b",
    "a b",
    "a/b",
    "a\\b",
    "__proto__",
    "ünit",
    "١٢٣",
    "a\ud800",
    "a;b",
    "%2e%2e",
]


@pytest.mark.parametrize("text", BAD, ids=ascii)
def test_a_text_that_breaks_the_rule_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"task id .* is not valid: use lower-case letters and digits"):
        check_id(text, "task id")


@pytest.mark.parametrize("text", BAD, ids=ascii)
def test_the_refusal_is_one_short_printable_line(text: str) -> None:
    with pytest.raises(BadInput) as refused:
        check_id(text, "task id")
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize(
    "text", ["a", "7", "build-42", "web.lock", "a.b_c-d", "worker-001", "a" * MAX_ID_LENGTH]
)
def test_an_id_by_the_rule_is_taken_as_it_is(text: str) -> None:
    assert check_id(text, "task id") == text


@pytest.mark.parametrize("value", [None, 7, b"build", ["build"], True])
def test_what_is_no_text_is_no_id(value: object) -> None:
    assert not is_id(value)


@given(st.text(alphabet=string.ascii_lowercase + string.digits + "._-", max_size=140))
def test_an_id_has_its_separators_single_and_inside(text: str) -> None:
    parts = text.replace("_", "-").replace(".", "-").split("-")
    assert is_id(text) == (all(parts) and len(text) <= MAX_ID_LENGTH)


@given(st.text(max_size=50))
def test_no_id_has_a_character_that_a_shell_or_a_path_would_heed(text: str) -> None:
    if is_id(text):
        assert set(text) <= set(string.ascii_lowercase + string.digits + "._-")
        assert ".." not in text
        assert text[0] not in ".-_"


def ulids(walls: list[float], seed: int = 1) -> list[str]:
    left = list(walls)
    source = IdSource(random.Random(seed), lambda: left.pop(0))
    return [source.ulid() for _ in walls]


@given(st.lists(st.floats(0, 2.8e11), min_size=2, max_size=20, unique_by=lambda wall: int(wall * 1000)))
def test_ulids_sort_by_the_millisecond_they_were_made_in(walls: list[float]) -> None:
    made = dict(zip(ulids(walls), walls, strict=True))
    assert [made[name] for name in sorted(made)] == sorted(walls)


@given(st.floats(0, 2.8e11), st.integers(0))
def test_a_ulid_is_a_valid_id_of_26_characters(wall: float, seed: int) -> None:
    (name,) = ulids([wall], seed)
    assert is_id(name)
    assert len(name) == 26


def test_a_ulid_is_laid_out_as_its_specification_says() -> None:
    class Zeros(random.Random):
        def getrandbits(self, k: int) -> int:
            return 0

    assert IdSource(Zeros(), lambda: 1_469_918_176.385).ulid() == "01aryz6s41" + "0" * 16


def test_two_ulids_of_one_millisecond_differ() -> None:
    assert len(set(ulids([WALL] * 100))) == 100


def test_nonces_differ() -> None:
    source = IdSource(random.Random(1), lambda: WALL)
    assert len({source.nonce() for _ in range(100)}) == 100


@pytest.mark.parametrize("name", ["a..b", "web.lock", "x.", "../../x", "a" * 300])
def test_the_name_of_a_register_is_hexadecimal_whatever_the_id(name: str) -> None:
    assert set(layout.session_register(name)) <= set(string.hexdigits.lower())


def test_the_name_of_a_run_differs_for_each_epoch() -> None:
    assert layout.run_name("build", 1) != layout.run_name("build", 2)


@given(st.text(), st.integers(2, 50))
def test_a_line_is_printable_and_short_whatever_goes_in(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert line.isprintable()
    assert len(line) <= limit


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("all is well", "all is well"),
        ("two\nlines\r\n and\ttabs", "two lines and tabs"),
        ("a\x1b[31mred", "a\N{REPLACEMENT CHARACTER}[31mred"),
        ("half \ud800 pair", "half \N{REPLACEMENT CHARACTER} pair"),
        ("x" * 30, "x" * 19 + "…"),
    ],
    ids=ascii,
)
def test_a_line_keeps_what_can_be_read(text: str, line: str) -> None:
    assert one_line(text, 20) == line


def test_ulids_that_belong_together_count_up_from_one_of_their_moment() -> None:
    source = IdSource(random.Random(1), iter([WALL]).__next__)
    made = list(itertools.islice(source.ulids(), 3000))
    assert made == sorted(set(made))
    assert all(is_id(name) and len(name) == 26 for name in made)
    assert len({name[:10] for name in made}) == 1


@given(st.integers(0, 2**64))
def test_the_first_of_them_is_the_ulid_that_would_have_been_made(seed: int) -> None:
    assert next(IdSource(random.Random(seed), lambda: WALL).ulids()) == ulids([WALL], seed)[0]


def test_two_who_count_do_not_meet() -> None:
    source = IdSource(random.Random(1), lambda: WALL)
    one, two = (set(itertools.islice(source.ulids(), 3000)) for _ in range(2))
    assert not one & two
