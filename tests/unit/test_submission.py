"""The rules of what may be submitted, one table for each kind of bad input."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.errors import BadInput
from sentinel.fleet.submission import (
    SHELL,
    Declared,
    Submission,
    check_number,
    check_type,
    draft,
    nearest,
)
from sentinel.model.codec import decode, encode
from sentinel.model.task import Task, submit

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.tuples(inner)
        | st.dictionaries(st.text("ab", max_size=2), inner, max_size=2)
    ),
    max_leaves=4,
)

NASTY_IDS = [
    "../../etc/passwd",
    "-oProxyCommand=x",
    "$(id)",
    "`id`",
    "a\0b",
    "a\r\nb",
    "a\u202eb",
    "a" * 300,
    "",
    "a..b",
    "web.lock/",
    "UPPER",
    " a",
    ".",
]


def drafted(declared: Declared | None = None, **fields: Any) -> Task:
    wanted = Submission(**{"type": "work", **fields})
    return draft(
        wanted, task_id="stand-in", created_at="2026-11-22T00:00:00Z", submitted_by="me", declared=declared
    )


@pytest.mark.parametrize("text", NASTY_IDS)
@pytest.mark.parametrize("field", ["id", "type", "after"])
def test_a_text_that_is_no_id_is_refused_with_the_rule(field: str, text: str) -> None:
    fields: dict[str, Any] = {field: [text] if field == "after" else text}
    with pytest.raises(BadInput, match="lower-case letters and digits") as refused:
        drafted(**fields)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("seconds", [0, -1, 1e9, 0.09, 604_801, math.inf, math.nan, "soon", True, []])
def test_a_timeout_out_of_range_is_refused_with_the_range(seconds: object) -> None:
    with pytest.raises(BadInput, match=r"seconds from 0\.1 to 604,800"):
        drafted(timeout=seconds)


@pytest.mark.parametrize("seconds", [0.1, 1, 604_800])
def test_a_timeout_in_the_range_is_taken(seconds: float) -> None:
    assert drafted(timeout=seconds).timeout == seconds


@pytest.mark.parametrize("count", [-1, 101, 1.5, "many", True])
def test_retries_out_of_range_are_refused_with_the_range(count: object) -> None:
    with pytest.raises(BadInput, match="whole number from 0 to 100"):
        drafted(retries=count)


@pytest.mark.parametrize("name", ["urgent", "", "HIGH", None])
def test_an_unknown_priority_is_refused_with_all_valid_ones(name: object) -> None:
    with pytest.raises(BadInput, match="low, normal, high, critical"):
        drafted(priority=name)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ({"x": math.nan}, "Out of range float"),
        ({"x": math.inf}, "Out of range float"),
        ({"x": nested(33)}, "deeper than 32 levels"),
        ({"x": nested(100_000)}, "deeper than 32 levels"),
        ({"x": "y" * 65_536}, "more than the limit of 65536"),
        ({1: "x"}, "not a text"),
        ({"x": {1, 2}}, "not a JSON value"),
        ({"x": "\ud800"}, "surrogate"),
        (["x"], "must be an object"),
    ],
)
def test_arguments_that_are_no_stored_json_are_refused(args: Any, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        drafted(args=args)


def test_positional_arguments_share_the_limit_with_the_named_ones() -> None:
    with pytest.raises(BadInput, match="65536"):
        drafted(args={"x": "y" * 40_000}, positional=["z" * 40_000])


def test_one_text_is_not_taken_for_a_list_of_letters() -> None:
    with pytest.raises(BadInput, match="not one text"):
        drafted(positional="ls")


def test_arguments_are_copied_as_the_store_would_give_them_back() -> None:
    args = {"pair": (1, 2)}
    task = drafted(args=args)
    assert task.args == {"pair": [1, 2]}


def test_a_task_cannot_run_after_itself() -> None:
    with pytest.raises(BadInput, match="after itself"):
        drafted(id="a", after=["a"])


def test_a_dependency_that_stands_twice_counts_once() -> None:
    assert drafted(after=["a", "b", "a"]).after == ("a", "b")


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({"Zone": "x"}, "affinity label"),
        ({"zone": ""}, "printable"),
        ({"zone": "a\nb"}, "printable"),
        ({"zone": "x" * 129}, "printable"),
        ({f"l{number}": "x" for number in range(17)}, "at most 16"),
    ],
)
def test_bad_affinity_labels_are_refused(labels: dict[str, str], reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        drafted(affinity=labels)


def test_what_the_submission_leaves_open_comes_from_the_declaration() -> None:
    task = drafted(Declared(origin="here", timeout=60, retries=2))
    assert (task.timeout, task.retries) == (60, 2)


def test_what_the_submission_says_wins_over_the_declaration() -> None:
    task = drafted(Declared(origin="here", timeout=60, retries=2), timeout=5, retries=0)
    assert (task.timeout, task.retries) == (5, 0)


def test_without_an_id_the_stand_in_is_taken() -> None:
    assert drafted().id == "stand-in"


def test_an_unknown_type_is_refused_with_the_nearest_and_where_it_is_from() -> None:
    with pytest.raises(BadInput, match=r"nearest is word-count \(worker w1\).*--allow-unknown-type"):
        check_type("wordcount", {"word-count": "worker w1", "shell": "built in"})


def test_a_type_that_a_worker_is_to_take_without_code_for_it_is_refused_naming_that_worker() -> None:
    with pytest.raises(BadInput, match=r"worker w1 is to take 'build' but has no code for it.*--tasks"):
        check_type("build", {"shell": "built in"}, {"build": "worker w1"})


def test_an_unknown_type_is_refused_where_nothing_is_known() -> None:
    with pytest.raises(BadInput, match="'work'"):
        check_type("work", {})


def test_the_nearest_name_is_given_even_when_none_is_near() -> None:
    assert nearest("zzz", ["abc"]) == "abc"
    assert nearest("zzz", []) is None


@pytest.mark.parametrize(
    ("args", "positional"),
    [({"x": 1}, ["ls"]), ({}, []), ({}, [""]), ({}, ["ls", 1]), ({}, ["ls", "a\0b"])],
)
def test_a_shell_task_needs_an_argv_of_texts_and_nothing_else(args: Any, positional: list[Any]) -> None:
    assert SHELL.check is not None
    with pytest.raises(BadInput):
        SHELL.check(args, positional)


def test_a_shell_argv_is_taken_literally() -> None:
    assert SHELL.check is not None
    SHELL.check({}, ["$(id)", "; rm -rf /", "-oProxyCommand=x", ""])


def test_a_refused_number_is_shown_shortened() -> None:
    with pytest.raises(BadInput) as refused:
        check_number("9" * 1000, "ttl", 5, 10, unit="seconds")
    assert len(str(refused.value)) < 120


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), JSON), st.lists(JSON))
def test_what_is_drafted_and_handed_in_is_what_a_store_gives_back(
    args: dict[str, Any], positional: list[Any]
) -> None:
    fields: dict[str, Any] = {
        "after": ["a"],
        "affinity": {"disk": "ssd"},
        "timeout": 3,
        "retries": 2,
        "priority": "high",
    }
    task = submit(drafted(args=args, positional=positional, **fields), wall=1_795_000_000.0)
    assert Task.load(f"tasks/{task.id}", decode(encode(task.document()))) == task
