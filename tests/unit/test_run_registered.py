"""Registering functions as task types, loading modules, and checking arguments before anything runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sentinel.errors import BadInput
from sentinel.peer.run import registered as module
from sentinel.peer.run.registered import check_arguments, load, registered, task


@pytest.fixture(autouse=True)
def empty_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_registry", {})


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Write a module into the current folder: ``here("jobs", "code")``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    written: list[str] = []

    def write(name: str, code: str) -> None:
        written.append(name.partition(".")[0])
        (tmp_path / f"{name.replace('.', '/')}.py").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name.replace('.', '/')}.py").write_text(f"import sentinel\n{code}\n")

    yield write
    for name in list(sys.modules):
        if name.partition(".")[0] in written:
            del sys.modules[name]


def refusal(type: str, args: dict[str, Any], positional: tuple[Any, ...] = ()) -> str:
    with pytest.raises(BadInput) as caught:
        check_arguments(type, args, positional)
    return str(caught.value)


# --- registering


def test_a_decorated_function_is_registered_and_unchanged() -> None:
    def count(path: str) -> int:
        """Counts.

        In detail.
        """
        return len(path)

    assert task("word-count", timeout=60, retries=2, memory=1 << 30)(count) is count
    entry = registered()["word-count"]
    assert (entry.function, entry.timeout, entry.retries, entry.memory) == (count, 60, 2, 1 << 30)
    assert entry.description == "Counts."


@pytest.mark.parametrize("name", ["", "../x", "Word", "a..b", "-x", "x\n", "a" * 129])
def test_a_name_that_is_no_id_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="task type"):
        task(name)


def test_the_name_of_the_built_in_type_is_refused() -> None:
    with pytest.raises(BadInput, match="built in"):
        task("shell")


@pytest.mark.parametrize(
    "limits",
    [
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": 1e9},
        {"timeout": "soon"},
        {"timeout": True},
        {"timeout": float("nan")},
        {"retries": -1},
        {"retries": 101},
        {"retries": 1.5},
        {"memory": 1},
    ],
)
def test_a_limit_out_of_its_range_is_refused_with_the_range(limits: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=rf"{next(iter(limits))} of the task type 'x' must be .* from"):
        task("x", **limits)


def test_one_name_for_two_functions_is_refused_naming_both() -> None:
    def one() -> None: ...
    def two() -> None: ...

    task("x")(one)
    with pytest.raises(BadInput, match=r"twice.*one.*two"):
        task("x")(two)


def test_the_same_function_may_be_registered_again() -> None:
    def one() -> None: ...

    task("x")(one)
    task("x")(one)
    assert list(registered()) == ["x"]


# --- loading


def test_a_module_in_the_current_folder_is_loaded(here: Callable[[str, str], None]) -> None:
    here("jobs", "@sentinel.task('job')\ndef job(): pass")
    assert load(["jobs"])["job"].module == "jobs"


def test_tasks_belong_to_the_module_that_was_asked_for(here: Callable[[str, str], None]) -> None:
    here("inner", "@sentinel.task('job')\ndef job(): pass")
    here("outer", "import inner")
    assert load(["outer"])["job"].module == "outer"


def test_a_module_that_another_one_has_imported_may_be_named_too(here: Callable[[str, str], None]) -> None:
    here("inner", "@sentinel.task('job')\ndef job(): pass")
    here("outer", "import inner")
    assert "job" in load(["outer", "inner"])


def test_a_package_is_loaded_by_its_dotted_name(here: Callable[[str, str], None]) -> None:
    here("pack.jobs", "@sentinel.task('job')\ndef job(): pass")
    assert load(["pack.jobs"])["job"].module == "pack.jobs"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nowhere", "there is no module nowhere, neither installed nor in"),
        ("nowhere.at.all", "there is no module nowhere.at.all"),
        ("jobs.py", "is a file; name the module instead, such as jobs"),
        ("./jobs", "is a file; name the module instead, such as jobs"),
        ("a-b", "is not the name of a Python module"),
        ("", "is not the name of a Python module"),
        ("$(id)", "is not the name of a Python module"),
    ],
)
def test_a_module_that_cannot_be_found_is_named(
    here: Callable[[str, str], None], name: str, sentence: str
) -> None:
    with pytest.raises(BadInput) as caught:
        load([name])
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("1 / 0", "cannot be loaded: ZeroDivisionError: division by zero"),
        ("def (", "cannot be loaded: SyntaxError"),
        ("import nowhere", "cannot be loaded: it needs nowhere, which is not installed"),
        ("raise SystemExit(3)", "cannot be loaded: SystemExit: 3"),
        ("sentinel.task('-x')", "cannot be loaded: task type '-x'"),
        ("pass", "registers no task"),
    ],
)
def test_a_module_that_fails_is_told_in_one_sentence(
    here: Callable[[str, str], None], code: str, sentence: str
) -> None:
    here("broken", code)
    with pytest.raises(BadInput) as caught:
        load(["broken"])
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


# --- checking arguments


@pytest.fixture
def typed() -> None:
    @task("typed")
    def typed(path: str, depth: int = 1, share: float = 0.5, deep: bool = False) -> None: ...

    @task("shaped")
    def shaped(items: list[str], table: dict[str, int], note: str | None = None, *, free=None) -> None:  # type: ignore[no-untyped-def]  # as users may write
        ...

    @task("open")
    def opened(*words: str, **more: Any) -> None: ...


@pytest.mark.usefixtures("typed")
@pytest.mark.parametrize(
    ("type", "args", "positional"),
    [
        ("typed", {"path": "x"}, ()),
        ("typed", {"path": "x", "depth": 3, "share": 1, "deep": True}, ()),
        ("typed", {"depth": 3}, ("x",)),
        ("shaped", {"items": [], "table": {}}, ()),
        ("shaped", {"items": ["a"], "table": {"a": 1}, "note": None, "free": object}, ()),
        ("open", {"anything": 1}, ("a", "b", "c")),
    ],
)
def test_arguments_that_fit_pass(type: str, args: dict[str, Any], positional: tuple[Any, ...]) -> None:
    check_arguments(type, args, positional)


@pytest.mark.usefixtures("typed")
@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ({"pth": "x"}, "typed has no argument 'pth'; did you mean 'path'?"),
        ({"zzz": "x"}, "typed has no argument 'zzz'; known: deep, depth, path, share"),
        ({}, "typed needs the argument 'path'"),
        ({"path": 1}, "the argument 'path' of typed must be a text, not a whole number"),
        ({"path": None}, "the argument 'path' of typed must be a text, not null"),
        ({"path": "x", "depth": 1.5}, "the argument 'depth' of typed must be a whole number, not a number"),
        ({"path": "x", "depth": True}, "must be a whole number, not true or false"),
        ({"path": "x", "depth": "3"}, "must be a whole number, not a text"),
        ({"path": "x", "share": "1"}, "must be a number, not a text"),
        ({"path": "x", "deep": 1}, "must be true or false, not a whole number"),
    ],
)
def test_arguments_that_do_not_fit_are_named(args: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal("typed", args)


@pytest.mark.usefixtures("typed")
def test_a_value_that_fits_no_part_of_an_optional_is_refused() -> None:
    assert "must be a text or null" in refusal("shaped", {"items": [], "table": {}, "note": 3})


@pytest.mark.usefixtures("typed")
def test_a_list_is_no_object() -> None:
    assert "'table' of shaped must be an object, not a list" in refusal("shaped", {"items": [], "table": []})


@pytest.mark.usefixtures("typed")
def test_too_many_arguments_by_place_are_refused() -> None:
    assert "at most 4 arguments by place, not 5" in refusal("typed", {}, ("a", 1, 0.5, True, 5))


@pytest.mark.usefixtures("typed")
def test_an_argument_given_twice_is_refused() -> None:
    assert "'path' twice" in refusal("typed", {"path": "x"}, ("y",))


@pytest.mark.usefixtures("typed")
def test_an_unknown_type_names_the_nearest() -> None:
    assert "'tiped'; did you mean 'typed'?" in refusal("tiped", {})


def test_annotations_that_only_type_checkers_know_are_not_checked() -> None:
    def odd(value: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821 - the case

    task("odd")(odd)
    check_arguments("odd", {"value": 1})
