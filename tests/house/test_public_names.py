"""What users may rely on: the names of `sentinel`, and that everything public says what it is for."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

import sentinel
from tests.house.source import Source, Violation, forbid, python_sources

PUBLIC = [
    "BadInput",
    "ClaimLost",
    "Client",
    "ConfigurationError",
    "Conflict",
    "CurrentTask",
    "LockHeld",
    "LockLost",
    "NotFound",
    "OutcomeUnknown",
    "SentinelError",
    "StoreError",
    "TaskFailed",
    "Unavailable",
    "WaitTimeout",
    "__version__",
    "current_task",
    "memory",
    "task",
]


def undocumented(source: Source) -> Iterator[Violation]:
    """Public modules, and functions and classes at their top level, that have no docstring."""
    if any(part.startswith("_") and not part.startswith("__") for part in source.path.split("/")):
        return
    if ast.get_docstring(source.tree) is None:
        yield source.violation(source.tree, f"{source.module} has no docstring")
    for node in source.tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if not node.name.startswith("_") and ast.get_docstring(node) is None:
            yield source.violation(node, f"{node.name} has no docstring")


def test_the_public_names_are_these_and_no_others() -> None:
    assert sorted(sentinel.__all__) == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_resolves(name: str) -> None:
    assert getattr(sentinel, name) is not None
    assert name in dir(sentinel)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Cleint'"):
        _ = sentinel.Cleint


def test_everything_public_has_a_docstring() -> None:
    forbid(found for source in python_sources("sentinel") for found in undocumented(source))


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("x = 1", ["sentinel.x has no docstring"]),
        ('"""X."""\ndef f(): ...', ["f has no docstring"]),
        ('"""X."""\nasync def f(): ...', ["f has no docstring"]),
        ('"""X."""\nclass C:\n    def method(self): ...', ["C has no docstring"]),
        ('"""X."""\ndef _f(): ...', []),
    ],
)
def test_a_missing_docstring_is_found(text: str, missing: list[str]) -> None:
    assert [found.message for found in undocumented(Source("sentinel/x.py", text))] == missing
