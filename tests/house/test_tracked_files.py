"""What may not be in a tracked file, and what a script has to be."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.conftest import Require
from tests.house.source import ROOT, Violation, forbid, tracked_files

# Written so that this file does not find itself.
_FORBIDDEN = {
    re.compile(r"(?<![\w.*)}~-])/(?:[w]ork|[r]oot)/"): "a path of one machine",
    re.compile(r"(?<![\w.*)}~-])/[h]ome/\w"): "a path of one machine",
    re.compile(r"(?<![\w.*)}~-])/[o]pt/(?:pypi|wheels)"): "a path of one machine",
    re.compile(
        r"\b(?:[p]ypi\.org|pythonhosted\.[o]rg|[n]pmjs\.|[c]rates\.io|proxy\.[g]olang|[a]rtifactory)",
        re.IGNORECASE,
    ): "the host of a package registry: whoever installs has one configured",
    re.compile(
        r"(?:--|\b)(?:extra-)?index-url[ =]+[h]ttps?:", re.IGNORECASE
    ): "the address of a package index",
}


def text_violations(path: str, text: str) -> Iterator[Violation]:
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, what in _FORBIDDEN.items():
            found = pattern.search(line)
            if found:
                yield Violation(path=path, line=number, message=f"{found[0]!r} is {what}")


def script_violations(path: str, mode: str, first_line: str) -> Iterator[Violation]:
    """A program has both a #! line and the executable bit, anything else has neither."""
    program = first_line.startswith("#!")
    executable = mode == "100755"
    if program and not executable:
        yield Violation(
            path=path, line=1, message="has a #! line and is not executable (git update-index --chmod=+x)"
        )
    if executable and not program:
        yield Violation(path=path, line=1, message="is executable and has no #! line")
    if path.startswith(("scripts/", ".ci/")) and "." not in path.rpartition("/")[2] and not program:
        yield Violation(path=path, line=1, message="has no #! line, so it cannot be run by its name")


@pytest.fixture(scope="module")
def files(require: Require) -> dict[str, tuple[str, str]]:
    """Path → (git mode, text) of every tracked text file."""
    listed = tracked_files()
    require("git", listed is not None, "this is no git checkout, or git is missing")
    texts = {}
    for path, mode in (listed or {}).items():
        data = (ROOT / path).read_bytes()
        if b"\0" not in data:
            texts[path] = (mode, data.decode("utf-8"))
    return texts


def _shell_scripts(files: dict[str, tuple[str, str]]) -> list[str]:
    first_lines = {path: text.partition("\n")[0] for path, (_, text) in files.items()}
    return [path for path, line in first_lines.items() if re.match(r"#!.*\b(ba)?sh\b", line)]


def test_no_file_names_a_path_of_one_machine_or_a_registry(files: dict[str, tuple[str, str]]) -> None:
    forbid(found for path, (_, text) in files.items() for found in text_violations(path, text))


def test_every_script_can_be_run(files: dict[str, tuple[str, str]]) -> None:
    forbid(
        found
        for path, (mode, text) in files.items()
        for found in script_violations(path, mode, text.partition("\n")[0])
    )


def test_executable_bits_are_the_same_on_disk_and_in_git(files: dict[str, tuple[str, str]]) -> None:
    on_disk = {path for path in files if os.access(ROOT / path, os.X_OK)}
    assert on_disk == {path for path, (mode, _) in files.items() if mode == "100755"}


def test_every_shell_script_parses(files: dict[str, tuple[str, str]]) -> None:
    paths = _shell_scripts(files)
    assert "scripts/bootstrap" in paths
    for path in paths:
        parse = subprocess.run(
            ["bash", "-n", path], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
        )
        assert (parse.returncode, parse.stderr) == (0, "")


def test_shellcheck_finds_nothing_in_the_shell_scripts(
    files: dict[str, tuple[str, str]], require: Require
) -> None:
    require("shellcheck", shutil.which("shellcheck") is not None, "no shellcheck on PATH")
    judged = subprocess.run(
        ["shellcheck", *_shell_scripts(files)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert judged.returncode == 0, judged.stdout


@pytest.mark.parametrize(
    "line",
    [
        "cd /" + "work/main",
        "see '/" + "root/.cache'",
        "/" + "home/alice/fleet.git",
        "https://py" + "pi.org/simple",
        "pip install --index-" + "url https://mirror.example/simple",
    ],
)
def test_a_forbidden_text_is_found(line: str) -> None:
    assert len(list(text_violations("README.md", f"fine\n{line}\n"))) == 1


@pytest.mark.parametrize(
    "line", ["$HOME/work/main", "a fleet/work/item", "~/work/", "/srv/fleet.git", "/workers/"]
)
def test_an_innocent_path_is_not_reported(line: str) -> None:
    forbid(text_violations("README.md", line))


@pytest.mark.parametrize(
    ("path", "mode", "first_line"),
    [
        ("scripts/x", "100644", "#!/bin/sh"),
        ("docs/x.md", "100755", "# Title"),
        ("scripts/x", "100644", "echo"),
    ],
)
def test_a_script_that_cannot_be_run_is_found(path: str, mode: str, first_line: str) -> None:
    assert len(list(script_violations(path, mode, first_line))) == 1
