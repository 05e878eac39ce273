"""References to the environment in configuration files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.errors import ConfigurationError
from sentinel.settings import load
from sentinel.settings.interpolation import expand


def nothing(_: str) -> None:
    """An environment with no variable in it."""


names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
environments = st.dictionaries(names, st.text(max_size=12), max_size=4)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.text().filter(lambda text: "${" not in text), environments)
def test_text_without_a_reference_stays_as_it_is(text: str, environ: dict[str, str]) -> None:
    found = expand(text, environ.get)
    assert (found.value, found.referred, found.unset, found.malformed) == (text, False, (), False)


@given(st.text().filter(lambda text: not text.endswith("$")), names, st.text(), st.text())
def test_a_reference_is_replaced_by_exactly_what_the_variable_holds(
    before: str, name: str, value: str, after: str
) -> None:
    before, after = before.replace("${", ""), after.replace("${", "")
    found = expand(f"{before}${{{name}}}{after}", {name: value}.get)
    assert (found.value, found.referred) == (before + value + after, True)


@given(names, st.text().filter(lambda text: "{" not in text and "}" not in text), st.text() | st.none())
def test_a_default_counts_exactly_when_the_variable_is_not_set(
    name: str, default: str, value: str | None
) -> None:
    found = expand(f"${{{name}:-{default}}}", {name: value}.get)
    assert (found.value, found.unset) == (default if value is None else value, ())


@given(st.text() | st.lists(st.sampled_from(["$", "{", "}", "A"])).map("".join))
def test_any_text_can_be_written_by_escaping_it(text: str) -> None:
    found = expand(text.replace("${", "$${"), nothing)
    assert (found.value, found.referred, found.malformed) == (text, False, False)


@given(json_values, environments)
def test_whatever_the_value_it_is_expanded_without_an_error_and_keeps_its_shape(
    value: Any, environ: dict[str, str]
) -> None:
    def shape(item: Any) -> Any:
        if isinstance(item, dict):
            return {name: shape(inner) for name, inner in item.items()}
        return [shape(inner) for inner in item] if isinstance(item, list) else type(item)

    assert shape(expand(value, environ.get).value) == shape(value)


@given(st.lists(names, min_size=1, max_size=4))
def test_every_variable_that_is_not_set_is_named_once(wanted: list[str]) -> None:
    found = expand({"a": [f"${{{name}}}" for name in wanted]}, nothing)
    assert found.unset == tuple(dict.fromkeys(wanted))


@pytest.mark.parametrize(
    "text", ["${", "${}", "${1A}", "${A", "${A B}", "${A-b}", "${A:?b}", "${A:-{}}", "x ${é}"]
)
def test_what_only_looks_like_a_reference_is_malformed(text: str) -> None:
    assert expand(text, {"A": "a"}.get).malformed


def test_a_reference_inside_a_value_is_not_followed() -> None:
    assert expand("${A}", {"A": "${B}", "B": "b"}.get).value == "${B}"


def shared(folder: Path, content: Any) -> None:
    (folder / "config").mkdir(exist_ok=True)
    (folder / "config" / "shared.json").write_text(json.dumps(content), encoding="utf-8")


def problems(folder: Path, environ: dict[str, str], **flags: object) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load(flags, environ=environ, folder=folder)
    return caught.value.problems


@pytest.mark.parametrize(
    ("content", "key", "expected"),
    [
        ({"distributed": {"heartbeat": {"intervalMs": "${V}"}}}, "heartbeat.interval", 3.0),
        ({"metadata": {"region": "r-${V}"}}, "worker.region", "r-3000"),
        ({"capacity": {"supportedTaskTypes": "a${V},b"}}, "worker.types", ("a3000", "b")),
        ({"capacity": {"supportedTaskTypes": ["a${V}", "b"]}}, "worker.types", ("a3000", "b")),
    ],
)
def test_a_reference_is_read_as_the_setting_needs_it_in_the_unit_of_its_key(
    tmp_path: Path, content: Any, key: str, expected: object
) -> None:
    shared(tmp_path, content)
    found: object = load(environ={"V": "3000"}, folder=tmp_path)
    for part in key.split("."):
        found = getattr(found, part)
    assert found == expected


def test_a_switch_can_be_a_reference(tmp_path: Path) -> None:
    shared(tmp_path, {"local": {"fsync": "${FSYNC:-0}"}})
    assert load(environ={}, folder=tmp_path).local.fsync is False


def test_a_reference_finds_variables_of_the_dotenv_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PLACE=there\n", encoding="utf-8")
    shared(tmp_path, {"metadata": {"region": "${PLACE}"}})
    assert load(environ={}, folder=tmp_path).worker.region == "there"


def test_a_variable_that_is_not_set_is_a_problem_that_names_it_with_file_and_key(tmp_path: Path) -> None:
    shared(tmp_path, {"metadata": {"region": "${NOWHERE}"}})
    assert problems(tmp_path, {}) == (
        "config/shared.json: metadata.region refers to ${NOWHERE}, which is not set",
    )


def test_it_is_a_problem_even_when_the_value_is_overridden(tmp_path: Path) -> None:
    shared(tmp_path, {"metadata": {"region": "${NOWHERE}"}})
    assert problems(tmp_path, {"WORKER_REGION": "here"})


GITHUB = {"github": {"owner": "${GITHUB_OWNER}", "repo": "${GITHUB_REPO}", "token": "${GITHUB_TOKEN}"}}


@pytest.mark.parametrize("store", [None, "fleet.git", "memory:", "git+ssh://host/fleet.git"])
def test_below_github_it_is_none_while_the_store_is_elsewhere(tmp_path: Path, store: str | None) -> None:
    shared(tmp_path, GITHUB)
    assert load({"store": store}, environ={}, folder=tmp_path).github.owner is None


@pytest.mark.parametrize("store", ["github://octo/fleet", "github+api://octo/fleet"])
def test_below_github_it_is_one_when_the_store_is_there(tmp_path: Path, store: str) -> None:
    shared(tmp_path, GITHUB)
    assert problems(tmp_path, {"GITHUB_OWNER": "octo"}, store=store) == (
        "config/shared.json: github.repo refers to ${GITHUB_REPO}, which is not set",
        "config/shared.json: github.token refers to ${GITHUB_TOKEN}, which is not set",
    )


def test_a_malformed_reference_is_a_problem_that_says_how_to_write_it(tmp_path: Path) -> None:
    shared(tmp_path, {"metadata": {"region": "${oh no}"}})
    assert problems(tmp_path, {}) == (
        "config/shared.json: metadata.region holds ${ that begins neither ${NAME} nor ${NAME:-default}; "
        "write $${ for a literal ${",
    )


def test_what_came_through_a_reference_is_never_shown(tmp_path: Path) -> None:
    shared(tmp_path, {"distributed": {"heartbeat": {"intervalMs": "${T}"}}, "log": {"level": "${T}"}})
    found = problems(tmp_path, {"T": "s3cret"})
    assert len(found) == 2
    assert not any("s3cret" in problem for problem in found)
