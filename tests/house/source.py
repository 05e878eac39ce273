"""The files that the rules of the house are checked on, and what a rule reports."""

from __future__ import annotations

import ast
import dataclasses
import functools
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One place that breaks a rule. ``str()`` is a line that an editor can jump to."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


class Source:
    """One Python file: where it is, its text, its syntax tree."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text

    @functools.cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, filename=self.path)

    @property
    def module(self) -> str:
        """The dotted name under which the file is imported."""
        parts = self.path.removesuffix(".py").split("/")
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def is_package(self) -> bool:
        return self.path.endswith("/__init__.py")

    def violation(self, node: ast.AST, message: str) -> Violation:
        return Violation(path=self.path, line=getattr(node, "lineno", 1), message=message)


def python_sources(*folders: str) -> list[Source]:
    """Every ``*.py`` below the folders of the checkout, sorted by path."""
    return [
        Source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "__pycache__" not in path.parts
    ]


def scripts() -> list[Path]:
    """The executable programs of the checkout that are not Python modules: `scripts/*` and `.ci/run`."""
    found = [path for path in sorted((ROOT / "scripts").rglob("*")) if path.is_file() and not path.suffix]
    return [*found, ROOT / ".ci" / "run"]


def tracked_files() -> dict[str, str] | None:
    """Path to git mode of every tracked file; None where this is no git checkout, or git is missing."""
    if shutil.which("git") is None:
        return None
    listing = subprocess.run(
        ["git", "ls-files", "--stage", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listing.returncode != 0:
        return None
    entries = (entry.partition("\t") for entry in listing.stdout.split("\0") if entry)
    return {path: mode.split(" ")[0] for mode, _, path in entries if (ROOT / path).is_file()}


def forbid(violations: Iterable[Violation]) -> None:
    """Fail the test with one line for each violation, if there is any."""
    lines = [str(violation) for violation in violations]
    if lines:
        pytest.fail("\n".join(lines), pytrace=False)


def aliases(tree: ast.Module) -> dict[str, str]:
    """What each imported name stands for: ``from time import sleep as s`` gives s = time.sleep."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for item in node.names:
                if item.asname:
                    names[item.asname] = item.name
                else:
                    head = item.name.partition(".")[0]
                    names[head] = head
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for item in node.names:
                names[item.asname or item.name] = f"{node.module}.{item.name}"
    return names


def dotted(node: ast.AST, names: dict[str, str]) -> str | None:
    """``t.sleep`` as ``time.sleep``, given what the names stand for; None for anything but a dotted name."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = dotted(node.value, names)
        return f"{owner}.{node.attr}" if owner else None
    return None
