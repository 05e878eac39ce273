"""What is imported is declared: a package that another one happens to bring may be gone tomorrow."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Collection, Iterator, Mapping

import pytest

from tests.house.source import ROOT, Source, Violation, forbid, python_sources

_OURS = frozenset({"sentinel", "tests"})


def undeclared(
    source: Source, declared: Collection[str], providers: Mapping[str, list[str]]
) -> Iterator[Violation]:
    """Imports of modules of which no provider (module → distributions) is declared."""
    for node in ast.walk(source.tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [item.name for item in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names = [node.module]
        for name in names:
            top = name.partition(".")[0]
            if top in sys.stdlib_module_names or top in _OURS or _stands_beside(source, top):
                continue
            if not {_normal(provider) for provider in providers.get(top, [])} & set(declared):
                yield source.violation(node, f"{name} is imported and not declared in pyproject.toml")


def _stands_beside(source: Source, module: str) -> bool:
    """Whether a script imports another file of the scripts."""
    scripts = ROOT / "scripts"
    beside = (folder / f"{module}.py" for folder in (scripts, scripts / "benchmark"))
    return source.path.startswith("scripts/") and any(file.exists() for file in beside)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def project() -> dict[str, object]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        declared: dict[str, object] = tomllib.load(file)["project"]
    return declared


def _names(requirements: object) -> set[str]:
    assert isinstance(requirements, list)
    return {_normal(re.split(r"[^\w.-]", str(requirement))[0]) for requirement in requirements}


def test_the_package_imports_only_what_it_depends_on(project: dict[str, object]) -> None:
    providers = importlib.metadata.packages_distributions()
    declared = _names(project["dependencies"])
    forbid(
        found
        for source in python_sources("sentinel")
        for found in undeclared(source, declared | _also(source), providers)
    )


def _also(source: Source) -> set[str]:
    # It is for people's own tests, and whoever writes these has pytest. It does without greenlet, too.
    return {"pytest", "hypothesis", "greenlet"} if source.path.startswith("sentinel/testing/") else set()


def test_the_tests_import_only_what_the_dev_extra_brings(project: dict[str, object]) -> None:
    providers = importlib.metadata.packages_distributions()
    extras = project["optional-dependencies"]
    assert isinstance(extras, dict)
    declared = _names(project["dependencies"]) | _names(extras["dev"])
    forbid(
        found
        for source in python_sources("tests", "scripts")
        # The sides of the bench run in an environment of their own, which it makes.
        if not source.path.startswith("scripts/benchmark/side_")
        for found in undeclared(source, declared, providers)
    )


def test_an_undeclared_import_is_found() -> None:
    providers = {"yaml": ["PyYAML"], "click": ["click"], "inotify_simple": ["inotify_simple"]}
    text = (
        "import os, click\nfrom inotify_simple import INotify\nfrom . import near\ndef f():\n    import yaml"
    )
    found = undeclared(Source("sentinel/x.py", text), {"click", "inotify-simple"}, providers)
    assert [violation.line for violation in found] == [5]
