"""Command templates: what the configuration may say, and that no value escapes its word of the argv."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.errors import BadInput
from sentinel.peer.run import shell
from sentinel.peer.run.command import CommandTemplate

HOSTILE = ["../../etc/passwd", "$(id)", "`id`", "a b", "x;y", "*", "\r\n", "\u202e", "é" * 300, "{path}", ""]


def template(argv: list[str], **args: dict[str, Any]) -> CommandTemplate:
    return CommandTemplate.parse("job", {"argv": argv, "args": args})


def problems(raw: dict[str, Any]) -> str:
    with pytest.raises(BadInput) as caught:
        CommandTemplate.parse("job", raw)
    return str(caught.value)


def refusal(command: CommandTemplate, args: dict[str, Any]) -> str:
    with pytest.raises(BadInput) as caught:
        command.argv(args)
    return str(caught.value)


# --- filling in


def test_a_placeholder_is_replaced_within_its_word() -> None:
    command = template(["wc", "-w", "{path}", "--files={path}.txt"], path={"type": "string"})
    assert command.argv({"path": "a b"}) == ["wc", "-w", "a b", "--files=a b.txt"]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_is_taken_literally(value: str) -> None:
    assert template(["ls", "{path}"], path={}).argv({"path": value}) == ["ls", value]


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_no_value_ever_changes_the_number_of_words_or_another_word(value: str) -> None:
    command = template(["run", "--x={x}", "{x}{x}", "fixed"], x={"allow_dash": True})
    assert command.argv({"x": value}) == ["run", f"--x={value}", value + value, "fixed"]


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), st.text("-ab"))
def test_no_word_that_a_value_begins_is_an_option(first: str, second: str) -> None:
    command = template(["run", "{a}{b}", "{b}"], a={}, b={})
    try:
        words = command.argv({"a": first, "b": second})
    except BadInput:
        return
    assert not [word for word in words if word.startswith("-")]


def test_a_value_that_begins_with_a_dash_is_refused_as_a_word() -> None:
    command = template(["ssh", "{host}"], host={})
    assert "'host' must not begin with '-'" in refusal(command, {"host": "-oProxyCommand=x"})


def test_a_dash_is_allowed_where_the_declaration_says_so() -> None:
    command = template(["run", "{flag}"], flag={"allow_dash": True})
    assert command.argv({"flag": "-v"}) == ["run", "-v"]


def test_a_dash_is_harmless_after_literal_text() -> None:
    assert template(["run", "--in={path}"], path={}).argv({"path": "-x"}) == ["run", "--in=-x"]


def test_an_empty_value_does_not_open_the_word_to_a_dash() -> None:
    command = template(["run", "{a}{b}"], a={}, b={})
    assert "'b' must not begin" in refusal(command, {"a": "", "b": "-x"})


def test_a_negative_number_is_refused_as_a_word_too() -> None:
    assert "must not begin with '-'" in refusal(template(["head", "{n}"], n={"type": "integer"}), {"n": -5})


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_a_value_that_no_program_can_be_given_is_refused(value: str) -> None:
    assert "which no program can be given" in refusal(template(["ls", "{path}"], path={}), {"path": value})


def test_doubled_braces_are_literal() -> None:
    command = template(["awk", "{{print {column}}}"], column={"type": "integer"})
    assert command.argv({"column": 2}) == ["awk", "{print 2}"]


def test_values_are_written_as_json_writes_them() -> None:
    command = template(
        ["run", "{i}", "{n}", "{b}"],
        i={"type": "integer"},
        n={"type": "number"},
        b={"type": "boolean"},
    )
    assert command.argv({"i": 3, "n": 0.5, "b": True}) == ["run", "3", "0.5", "true"]


def test_a_default_stands_in_for_a_missing_value() -> None:
    command = template(["run", "{n}"], n={"type": "integer", "default": 3})
    assert command.argv({}) == ["run", "3"]


# --- typed arguments


@pytest.mark.parametrize(
    ("declared", "value", "sentence"),
    [
        ({"type": "string"}, 1, "must be a text, not a whole number"),
        ({"type": "integer"}, "1", "must be a whole number, not a text"),
        ({"type": "integer"}, 1.0, "must be a whole number, not a number"),
        ({"type": "integer"}, True, "must be a whole number, not true or false"),
        ({"type": "number"}, None, "must be a number, not null"),
        ({"type": "number"}, float("nan"), "must be a finite number"),
        ({"type": "boolean"}, "yes", "must be true or false, not a text"),
        ({"choices": ["a", "b"]}, "c", 'must be one of "a", "b"'),
        ({"pattern": "[a-z]+"}, "abc\n", "must match"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_the_rule(
    declared: dict[str, Any], value: object, sentence: str
) -> None:
    assert f"the argument 'x' {sentence}" in refusal(template(["run", "{x}"], x=declared), {"x": value})


def test_an_unknown_argument_names_the_nearest() -> None:
    assert "job has no argument 'pth'; did you mean 'path'?" in refusal(
        template(["ls", "{path}"], path={}), {"pth": "x"}
    )


def test_a_missing_argument_is_named() -> None:
    assert "job needs the argument 'path'" in refusal(template(["ls", "{path}"], path={}), {})


def test_arguments_by_place_are_refused() -> None:
    with pytest.raises(BadInput, match="by name only"):
        template(["ls"]).check({}, ["x"])


# --- declarations


def test_a_whole_declaration_is_read() -> None:
    command = CommandTemplate.parse(
        "word-count",
        {
            "argv": ["wc", "-w", "{path}"],
            "args": {"path": {"type": "string", "required": True}},
            "timeout": 60,
            "retries": 2,
            "memory": 1 << 30,
            "description": "Counts words.",
        },
    )
    assert (command.timeout, command.retries, command.memory) == (60.0, 2, 1 << 30)
    assert command.description == "Counts words."


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ({}, "argv must be a list of texts"),
        ({"argv": "ls -l"}, "argv must be a list of texts"),
        ({"argv": []}, "argv must be a list of texts"),
        ({"argv": ["ls", 1]}, "argv must be a list of texts"),
        ({"argv": ["{x}"], "args": {"x": {}}}, "argv must begin with a fixed program"),
        ({"argv": [""]}, "argv must begin with a fixed program"),
        ({"argv": ["ls", "{pth}"], "args": {"path": {}}}, "uses {pth}, which args does not declare"),
        ({"argv": ["ls", "{"]}, "has a single brace"),
        ({"argv": ["ls", "a\0"]}, "holds a NUL"),
        ({"argv": ["ls"], "args": {"path": {}}}, "args.path is not used in argv"),
        ({"argv": ["ls"], "retry": 1}, "retry is unknown; did you mean 'retries'?"),
        ({"argv": ["ls"], "args": []}, "args must be an object"),
        ({"argv": ["ls", "{x}"], "args": {"x": {"typ": "string"}}}, "args.x.typ is unknown"),
        ({"argv": ["ls", "{x}"], "args": {"x": {"type": "int"}}}, "args.x.type must be one of string"),
        ({"argv": ["ls", "{x}"], "args": {"x": "string"}}, "args.x must be an object"),
        ({"argv": ["ls", "{x}"], "args": {"x": {"required": False}}}, "so it needs a default"),
        ({"argv": ["ls", "{x}"], "args": {"x": {"required": True, "default": "a"}}}, "leave out one"),
        ({"argv": ["ls", "{x}"], "args": {"x": {"required": "yes"}}}, "args.x.required must be true"),
        ({"argv": ["ls", "{x}"], "args": {"x": {"default": 3}}}, "args.x declares 3, but"),
        ({"argv": ["ls", "{x}"], "args": {"x": {"choices": ["a", 1]}}}, "args.x declares 1, but"),
        ({"argv": ["ls", "{x}"], "args": {"x": {"choices": "ab"}}}, "args.x.choices must be a list"),
        ({"argv": ["ls", "{x}"], "args": {"x": {"pattern": "("}}}, "args.x.pattern is not a regular"),
        ({"argv": ["ls"], "timeout": 0}, "timeout must be a number from 0.1 to 604800"),
        ({"argv": ["ls"], "timeout": "soon"}, "timeout must be a number"),
        ({"argv": ["ls"], "retries": 1.5}, "retries must be a whole number from 0 to 100"),
        ({"argv": ["ls"], "memory": 1}, "memory must be a whole number"),
    ],
)
def test_a_wrong_declaration_is_told(raw: dict[str, Any], sentence: str) -> None:
    assert sentence in problems(raw)


def test_every_problem_is_told_at_once() -> None:
    text = problems({"argv": "ls", "timeout": 0, "retries": -1, "surprise": 1})
    assert text.count(";") >= 3


# --- the shell type


def test_the_argv_of_a_shell_task_is_taken_literally() -> None:
    assert shell.argv({}, ["echo", "$(id)", "-n"]) == ("echo", "$(id)", "-n")


@pytest.mark.parametrize(
    ("args", "positional", "sentence"),
    [
        ({"x": 1}, ["ls"], "takes no argument 'x'"),
        ({}, [], "needs an argv"),
        ({}, [""], "needs an argv"),
        ({}, ["ls", 1], "word 2 of the shell task's argv must be a text, not a whole number"),
        ({}, ["ls", "a\0b"], "word 2 of the shell task's argv holds a NUL"),
    ],
)
def test_a_shell_task_without_a_proper_argv_is_refused(
    args: dict[str, Any], positional: list[Any], sentence: str
) -> None:
    with pytest.raises(BadInput) as caught:
        shell.argv(args, positional)
    assert sentence in str(caught.value)
