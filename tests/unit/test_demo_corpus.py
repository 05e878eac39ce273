"""The demo's input: what of a folder is the standard library, and the ids that its tasks get."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sentinel.demo.corpus import library_folder, measure_package, packages, task_ids
from sentinel.errors import BadInput, NotFound
from sentinel.model.codec import MAX_INLINE_BYTES, encode
from sentinel.model.ids import is_id


def write(folder: Path, *paths: str) -> None:
    for path in paths:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x = 1\n")


def test_packages_and_single_modules_are_found_with_all_that_is_in_them(tmp_path: Path) -> None:
    write(tmp_path, "b/__init__.py", "b/c/__init__.py", "b/c/d.py", "b/data/old.py", "a.py")
    found = {package.name: [name for name, _ in package.modules] for package in packages(tmp_path)}
    assert found == {"a": ["a"], "b": ["b", "b.c", "b.c.d", "b.data.old"]}


def test_what_is_no_package_of_the_library_is_left_alone(tmp_path: Path) -> None:
    write(
        tmp_path,
        "a.py",
        "site-packages/third.py",
        "dist-packages/party/__init__.py",
        "config-3.11-x86_64-linux-gnu/python-config.py",
        "__pycache__/cached.py",
        ".hidden/__init__.py",
        "._a.py",
        "LICENSE.txt",
        "empty/data.txt",
    )
    assert [package.name for package in packages(tmp_path)] == ["a"]


def test_caches_and_hidden_files_inside_a_package_are_no_modules(tmp_path: Path) -> None:
    write(tmp_path, "b/__init__.py", "b/__pycache__/b.py", "b/.idea/x.py", "b/._b.py")
    assert [name for name, _ in packages(tmp_path)[0].modules] == ["b"]


def test_a_module_whose_name_is_no_identifier_is_one_all_the_same(tmp_path: Path) -> None:
    write(tmp_path, "_sysconfigdata__linux_x86_64-linux-gnu.py")
    assert measure_package("_sysconfigdata__linux_x86_64-linux-gnu", tmp_path)["modules"] == 1


def test_a_module_and_a_package_of_one_name_are_one_task(tmp_path: Path) -> None:
    write(tmp_path, "b.py", "b/__init__.py")
    assert [len(package.modules) for package in packages(tmp_path)] == [2]


def test_a_library_without_source_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no Python source in .* as \.py files"):
        packages(tmp_path / "python311.zip")


@pytest.mark.parametrize("name", ["nothing", "..", "../etc", "/etc", "", ".", "b/c", "site-packages"])
def test_a_name_that_is_no_package_is_refused(name: str, tmp_path: Path) -> None:
    write(tmp_path, "b/c/__init__.py", "site-packages/x.py")
    with pytest.raises(BadInput, match="no top-level package"):
        measure_package(name, tmp_path)


def test_a_file_that_went_away_is_counted_and_not_fatal(tmp_path: Path) -> None:
    write(tmp_path, "b/__init__.py")
    (tmp_path / "b" / "gone.py").symlink_to(tmp_path / "nowhere")
    summary = measure_package("b", tmp_path)
    assert summary["failures"] == [{"module": "b.gone", "stage": "read", "error": "FileNotFoundError"}]


def test_the_running_interpreter_has_well_over_150_packages() -> None:
    assert len(packages(library_folder())) > 150


def test_nothing_that_was_installed_counts_as_the_library() -> None:
    names = {package.name for package in packages(library_folder())}
    assert {"json", "asyncio", "email", "__future__", "argparse"} <= names
    assert names.isdisjoint({"pytest", "sentinel", "site-packages", "lib-dynload", "__pycache__"})


def test_every_package_of_the_library_has_a_valid_id_of_its_own() -> None:
    names = tuple(package.name for package in packages(library_folder()))
    ids = task_ids(names)
    assert list(ids) == list(names)
    assert all(is_id(value) for value in ids.values())
    assert len(set(ids.values())) == len(names)


def test_names_that_look_alike_as_ids_are_told_apart() -> None:
    assert task_ids(("_abc", "abc", "ABC", "__", "x" * 200)) == {
        "_abc": "abc",
        "abc": "abc-2",
        "ABC": "abc-3",
        "__": "module",
        "x" * 200: "x" * 100,
    }


@pytest.mark.parametrize("name", ["json", "this", "collections"])
def test_measuring_a_real_package_twice_gives_the_same_small_result(name: str) -> None:
    first = measure_package(name, library_folder())
    assert first == measure_package(name, library_folder())
    assert first == json.loads(encode(first))
    assert len(encode(first)) < MAX_INLINE_BYTES
    assert (first["failed"], first["package"]) == (0, name)
    assert first["bytecode"] > 0
