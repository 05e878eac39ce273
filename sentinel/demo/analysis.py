"""From source text to numbers: the pure work that the demo hands to its fleet.

**Cyclomatic complexity** is McCabe's, counted from the syntax tree: 1 for each function plus its decision
points. A decision point is

- ``if``, ``elif``, the conditional expression, ``for``, ``while``, ``except`` and ``assert``: 1 each;
- ``and`` and ``or``: one less than the number of operands, as each operand but the last may short-circuit;
- a comprehension: 1 for each ``for`` and 1 for each ``if``;
- ``case``: 1 unless its pattern matches everything (``case _``, ``case name``), and 1 more for its guard.

``else``, ``finally`` and ``with`` branch on nothing that was not counted. A nested function is a function
of its own; a lambda and a class body count where they stand, and so do decorators, defaults and
annotations. A module's complexity is the sum over its functions, plus 1 and the decision points of the code
outside them.

Nothing here depends on anything but its arguments and the version of Python: not on the order of a
folder, on optimisation switches, or on who runs it. That is what lets two runs be compared.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import json
import warnings
from collections.abc import Iterable
from types import CodeType
from typing import Any, Literal

#: How many of its most complex modules a package names.
TOP = 10
#: How many of the files that could not be measured a package names; all are counted.
NAMED_FAILURES = 50

_BRANCHES = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.Assert)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One function or method, by its qualified name within its module."""

    name: str
    line: int
    complexity: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a file could not be measured, or not to the end."""

    stage: Literal["read", "parse", "compile"]
    #: The class of the exception: its message differs between platforms.
    error: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """What one source file measures."""

    name: str
    #: Physical lines, comments and blank ones included.
    lines: int = 0
    functions: int = 0
    classes: int = 0
    complexity: int = 0
    #: Bytes of bytecode that it compiles to, functions and classes included.
    bytecode: int = 0
    #: Its most complex function; the first of several equals.
    hardest: Function | None = None
    failure: Failure | None = None


def measure_module(name: str, source: bytes) -> Module:
    """Parse, count and compile one module. Never raises for bad source: what went wrong is a `Failure`."""
    lines = len(source.splitlines())
    # Old escapes and `is` with a literal are warned about on each parse; nobody here can mend them.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(source, name)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return Module(name=name, lines=lines, failure=Failure(stage="parse", error=type(error).__name__))
        functions, classes, outside = _count(tree)
        failure: Failure | None = None
        bytecode = 0
        try:
            # Fixed, because a peer and a person may run with different -O switches.
            code = compile(tree, name, "exec", dont_inherit=True, optimize=0)
            bytecode = _bytecode(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            failure = Failure(stage="compile", error=type(error).__name__)
    return Module(
        name=name,
        lines=lines,
        functions=len(functions),
        classes=classes,
        complexity=outside + sum(function.complexity for function in functions),
        bytecode=bytecode,
        hardest=min(functions, key=lambda f: (-f.complexity, f.line, f.name), default=None),
        failure=failure,
    )


def unreadable(name: str, error: OSError) -> Module:
    """The place of a file that could not even be read."""
    return Module(name=name, failure=Failure(stage="read", error=type(error).__name__))


def summarize(package: str, modules: Iterable[Module]) -> dict[str, Any]:
    """The modules of one package as a JSON object of a few kilobytes, whatever its size.

    ``digest`` is the SHA-256 of every number of every module, so that two summaries are equal only if
    the modules that they do not name are.
    """
    everything = sorted(modules, key=lambda module: module.name)
    exact = json.dumps([dataclasses.asdict(module) for module in everything], sort_keys=True)
    failed = [module for module in everything if module.failure]
    return {
        "package": package,
        "modules": len(everything),
        "lines": sum(module.lines for module in everything),
        "functions": sum(module.functions for module in everything),
        "classes": sum(module.classes for module in everything),
        "complexity": sum(module.complexity for module in everything),
        "bytecode": sum(module.bytecode for module in everything),
        "failed": len(failed),
        "failed_by": _kinds(failed),
        "failures": [
            {"module": module.name, "stage": module.failure.stage, "error": module.failure.error}
            for module in failed[:NAMED_FAILURES]
            if module.failure
        ],
        "top": [
            {
                "module": module.name,
                "lines": module.lines,
                "functions": module.functions,
                "complexity": module.complexity,
                "hardest": _named(module.hardest),
            }
            for module in sorted(everything, key=lambda module: (-module.complexity, module.name))[:TOP]
        ],
        "digest": hashlib.sha256(exact.encode()).hexdigest(),
    }


def _kinds(failed: Iterable[Module]) -> dict[str, int]:
    kinds: dict[str, int] = {}
    for failure in (module.failure for module in failed):
        if failure is not None:
            kind = f"{failure.stage}: {failure.error}"
            kinds[kind] = kinds.get(kind, 0) + 1
    return kinds


def _named(function: Function | None) -> dict[str, Any] | None:
    return None if function is None else {"name": function.name, "complexity": function.complexity}


def decisions(node: ast.AST) -> int:
    """How many decision points ``node`` itself is, its children not counted."""
    if isinstance(node, _BRANCHES):
        return 1
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    if isinstance(node, ast.comprehension):
        return 1 + len(node.ifs)
    if isinstance(node, ast.match_case):
        always = isinstance(node.pattern, ast.MatchAs) and node.pattern.pattern is None
        return (not always) + (node.guard is not None)
    return 0


def _count(tree: ast.Module) -> tuple[list[Function], int, int]:
    """All functions, the number of classes, and the complexity of what stands outside functions."""
    # A stack of our own: long chains of operators nest deeper than Python recurses.
    found: list[tuple[str, int]] = [("", 0)]
    complexity = [1]
    classes = 0
    todo: list[tuple[ast.AST, int, str]] = [(tree, 0, "")]
    while todo:
        node, scope, prefix = todo.pop()
        complexity[scope] += decisions(node)
        inner, inner_prefix = scope, prefix
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = len(found)
            inner_prefix = f"{prefix}{node.name}."
            found.append((f"{prefix}{node.name}", node.lineno))
            complexity.append(1)
            todo.extend((child, inner, inner_prefix) for child in node.body)
            body = set(map(id, node.body))
            todo.extend((c, scope, prefix) for c in ast.iter_child_nodes(node) if id(c) not in body)
            continue
        if isinstance(node, ast.ClassDef):
            classes += 1
            inner_prefix = f"{prefix}{node.name}."
        todo.extend((child, inner, inner_prefix) for child in ast.iter_child_nodes(node))
    functions = [
        Function(name=name, line=line, complexity=complexity[index])
        for index, (name, line) in enumerate(found)
        if index
    ]
    return functions, classes, complexity[0]


def _bytecode(code: CodeType) -> int:
    total = 0
    todo = [code]
    while todo:
        one = todo.pop()
        total += len(one.co_code)
        todo.extend(const for const in one.co_consts if isinstance(const, CodeType))
    return total
