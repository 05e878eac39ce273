"""Ways to move a ref that lose updates, kept out of the product; `scripts/traps/` reproduces each loss."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.source import ROOT, Source, Violation, forbid, python_sources, scripts

#: path → why this file may do what the rule forbids.
EXCEPTIONS: dict[str, str] = {}

_TRAPS = "scripts/traps/"
#: ``--force-with-lease=<ref>:<oid>``; the oid may be empty, which expects that the ref does not exist.
_LEASE = re.compile(r"--force-with-lease(?!=[^\s:]+:)")
_HISTORY_CUT = "--depth hides transactions that were won: only the first fetch of a clone may use it"
_NO_LEASE = "--force-with-lease without =<ref>:<oid> trusts whatever was fetched last"
_GC = "git gc beside running peers: init turns it off, and so does every command of ours"
_CREATE = "creating a reference is no lock: lock it, read it again, compare, then set it"
_METHODS = {
    "create_reference": _CREATE,
    "create_reference_direct": _CREATE,
    "push": "pygit2's push loses updates over file://: use the git command line with an explicit lease",
}


def python_violations(source: Source) -> Iterator[Violation]:
    docstrings = {id(node.value) for node in ast.walk(source.tree) if isinstance(node, ast.Expr)}
    for function, node in _with_function(source.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield from _call(source, node, node.func)
        elif isinstance(node, ast.List | ast.Tuple):
            words = [item.value for item in node.elts if isinstance(item, ast.Constant)]
            if "gc" in words and words[0] == "git":
                yield source.violation(node, _GC)
        elif isinstance(node, ast.Assign):
            yield from _config(source, node)
        text = _text(node)
        if text is None or id(node) in docstrings:
            continue
        if _LEASE.search(text):
            yield source.violation(node, _NO_LEASE)
        if text.startswith("--depth") and not re.search("first|clone", function):
            yield source.violation(node, f"{_HISTORY_CUT}, in a function named for it")
        if _turns_gc_on(text):
            yield source.violation(node, _GC)


def _with_function(node: ast.AST, function: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Every node with the name of the function around it; the parts of an f-string count as one text."""
    yield function, node
    if isinstance(node, ast.JoinedStr):
        return
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        function = node.name
    for child in ast.iter_child_nodes(node):
        yield from _with_function(child, function)


def _text(node: ast.AST) -> str | None:
    """The text of a literal, with ``{}`` for what an f-string fills in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return None


def _call(source: Source, node: ast.Call, method: ast.Attribute) -> Iterator[Violation]:
    owner = ast.unparse(method.value)
    if method.attr in _METHODS:
        yield source.violation(node, f".{method.attr}(): {_METHODS[method.attr]}")
    elif method.attr == "create" and owner.endswith("references"):
        yield source.violation(node, f"references.create(): {_CREATE}")
    elif method.attr == "create_commit" and node.args:
        target = node.args[0]
        if not (isinstance(target, ast.Constant) and target.value is None):
            yield source.violation(
                node, "create_commit() that moves a ref: give it None, and move the ref after"
            )


def _config(source: Source, node: ast.Assign) -> Iterator[Violation]:
    """``config["gc.auto"] = 6700`` and the like."""
    for target in node.targets:
        if isinstance(target, ast.Subscript) and isinstance(node.value, ast.Constant):
            key = _text(target.slice)
            if key in {"gc.auto", "receive.autogc"} and node.value.value not in (0, "0", "false"):
                yield source.violation(node, _GC)


def _turns_gc_on(text: str) -> bool:
    setting = re.search(r"(?:gc\.auto|receive\.autogc)=(\w+)", text)
    return bool(setting and setting[1] not in {"0", "false"}) or bool(re.search(r"\bgit gc\b", text))


def shell_violations(path: str, text: str) -> Iterator[Violation]:
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0] if line.lstrip().startswith("#") else line
        for pattern, message in (
            (_LEASE, _NO_LEASE),
            (re.compile(r"\bgit\b.*\bfetch\b.*--depth"), _HISTORY_CUT),
            (re.compile(r"\bgit\b.*\s(gc|maintenance)\b"), _GC),
            (
                re.compile(r"\bgit\b.*\bpush\b.*\s(-f|--force)(\s|$)"),
                "git push --force: name the expected oid",
            ),
        ):
            if pattern.search(words):
                yield Violation(path=path, line=number, message=message)


def test_no_module_moves_refs_in_a_way_that_loses_updates() -> None:
    sources = [source for source in python_sources("sentinel", "scripts") if source.path not in EXCEPTIONS]
    forbid(
        found
        for source in sources
        if not source.path.startswith(_TRAPS)
        for found in python_violations(source)
    )


def test_no_script_moves_refs_in_a_way_that_loses_updates() -> None:
    forbid(found for script in scripts() for found in script_violations(script))


def script_violations(script: Path) -> Iterator[Violation]:
    path = script.relative_to(ROOT).as_posix()
    text = script.read_text(encoding="utf-8")
    if path.startswith(_TRAPS):
        return
    if "python" in text.partition("\n")[0]:
        yield from python_violations(Source(path, text))
    else:
        yield from shell_violations(path, text)


@pytest.mark.parametrize(
    "text",
    [
        "repo.references.create('refs/heads/x', oid, force=False)",
        "repo.references.create('refs/heads/x', oid)",
        "repo.create_reference('refs/heads/x', oid)",
        "repo.create_commit('refs/heads/x', author, author, 'note', tree, [])",
        "repo.remotes['origin'].push(['refs/heads/x'])",
        "git('push', '--force-with-lease', 'origin')",
        "git('push', '--force-with-lease=refs/heads/x', 'origin')",
        "git('push', f'--force-with-lease={ref}', 'origin')",
        "def refresh():\n    git('fetch', '--depth=1')",
        "subprocess.run(['git', 'gc'])",
        "repo.config['gc.auto'] = 1",
        "git('-c', 'gc.auto=256', 'fetch')",
    ],
)
def test_a_banned_call_in_a_module_is_found(text: str) -> None:
    assert len(list(python_violations(Source("sentinel/store/x.py", text)))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "reference.set_target(oid)",
        "repo.create_commit(None, author, author, 'note', tree, [])",
        "git('push', f'--force-with-lease={ref}:{expected}', 'origin')",
        "git('push', f'--force-with-lease={ref}:', 'origin')",
        "def first_fetch():\n    git('fetch', '--depth=1')",
        "repo.config['gc.auto'] = 0",
        "git('-c', 'gc.auto=0', 'fetch')",
        'def f():\n    """Never `--force-with-lease` without an oid, never `git gc`."""',
    ],
)
def test_a_sound_call_in_a_module_is_not_reported(text: str) -> None:
    forbid(python_violations(Source("sentinel/store/x.py", text)))


@pytest.mark.parametrize(
    "line",
    [
        "git push --force-with-lease origin x",
        "git -C repo fetch --depth 1",
        "git gc --auto",
        "git push --force origin x",
    ],
)
def test_a_banned_command_in_a_script_is_found(line: str) -> None:
    assert len(list(shell_violations("scripts/x", f"#!/bin/sh\n# fine: git gc\n{line}\n"))) == 1
