"""The demo's work: what counts as a decision, and what happens to source that cannot be measured."""

from __future__ import annotations

import json
from textwrap import dedent

import pytest

from sentinel.demo.analysis import TOP, Module, measure_module, summarize, unreadable
from sentinel.model.codec import MAX_INLINE_BYTES


def measure(text: str) -> Module:
    return measure_module("m", dedent(text).encode())


def complexity_of(body: str) -> int:
    module = measure("async def f(x, *y):\n" + "".join(f"    {line}\n" for line in body.splitlines()))
    assert module.failure is None
    assert module.hardest is not None
    return module.hardest.complexity


@pytest.mark.parametrize(
    ("body", "points"),
    [
        ("pass", 0),
        ("if x: pass", 1),
        ("if x: pass\nelse: pass", 1),
        ("if x: pass\nelif y: pass\nelse: pass", 2),
        ("return 1 if x else 2", 1),
        ("for i in x: pass\nelse: pass", 1),
        ("async for i in x: pass", 1),
        ("while x: pass", 1),
        ("assert x", 1),
        ("try: pass\nexcept OSError: pass\nexcept ValueError: pass\nelse: pass\nfinally: pass", 2),
        ("try: pass\nexcept* OSError: pass", 1),
        ("with x: pass", 0),
        ("return x and y and 1", 2),
        ("return x and y or 1", 2),
        ("return [i for i in x if i if i > 1]", 3),
        ("return {i: j for i in x for j in i}", 2),
        ("return lambda: 1 if x else 2", 1),
        ("match x:\n    case 1: pass\n    case 2 | 3: pass\n    case _: pass", 2),
        ("match x:\n    case [a, b] if a: pass\n    case other: pass", 2),
        ("match x:\n    case other if other: pass\n    case _ if x: pass", 2),
        ("match x:\n    case {} as other: pass", 1),
    ],
)
def test_a_function_counts_one_and_its_decision_points(body: str, points: int) -> None:
    assert complexity_of(body) == 1 + points


def test_a_nested_function_is_a_function_of_its_own() -> None:
    module = measure(
        """
        def outer(x):
            if x:
                def inner(y):
                    return y and x and 1
        """
    )
    assert module.functions == 2
    assert module.hardest is not None
    assert (module.hardest.name, module.hardest.complexity) == ("outer.inner", 3)
    assert module.complexity == 1 + 2 + 3


def test_decorators_and_defaults_count_where_the_function_stands() -> None:
    module = measure(
        """
        @(a or b)
        def f(x=1 if a else 2, *, y: "A" = 3 if b else 4): pass
        """
    )
    assert module.hardest is not None
    assert module.hardest.complexity == 1
    assert module.complexity == (1 + 3) + 1


def test_methods_are_functions_and_carry_the_name_of_their_class() -> None:
    module = measure("class A:\n    class B:\n        def f(self, x):\n            assert x\n")
    assert (module.classes, module.functions) == (2, 1)
    assert module.hardest is not None
    assert module.hardest.name == "A.B.f"


def test_a_class_body_counts_with_the_code_around_it() -> None:
    assert measure("class A:\n    if x:\n        y = 1\n").complexity == 2


def test_the_first_of_several_equally_complex_functions_is_named() -> None:
    module = measure("def b(): pass\ndef a(): pass\n")
    assert module.hardest is not None
    assert module.hardest.name == "b"


def test_an_empty_file_is_a_module_of_no_lines_and_complexity_one() -> None:
    module = measure_module("m", b"")
    assert (module.lines, module.functions, module.complexity, module.failure) == (0, 0, 1, None)
    assert module.hardest is None
    assert module.bytecode > 0


def test_lines_are_counted_with_and_without_a_last_line_end() -> None:
    assert measure_module("m", b"a\nb").lines == measure_module("m", b"a\r\n# b\r\n").lines == 2


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (b"print 'Python 2'\n", "SyntaxError"),
        (b"def f(:\n", "SyntaxError"),
        (b"if x:\n\ty\n        z\n", "TabError"),
        (b"x = '\xff'\n", "SyntaxError"),
        (b"# -*- coding: no-such-thing -*-\nx = 1\n", "SyntaxError"),
        (b"\xef\xbb\xbf# -*- coding: latin-1 -*-\n", "SyntaxError"),
    ],
)
def test_source_that_cannot_be_parsed_is_a_failure_that_still_has_lines(source: bytes, error: str) -> None:
    module = measure_module("m", source)
    assert module.failure is not None
    assert (module.failure.stage, module.failure.error) == ("parse", error)
    assert module.lines == source.count(b"\n")


def test_nul_bytes_are_a_failure() -> None:
    failure = measure_module("m", b"x = 1\0\n").failure
    assert failure is not None
    assert failure.stage == "parse"


def test_source_that_parses_but_does_not_compile_keeps_its_counts() -> None:
    module = measure_module("m", b"def f(): pass\nreturn 1\n")
    assert module.failure is not None
    assert module.failure.stage == "compile"
    assert (module.functions, module.bytecode) == (1, 0)


def test_deep_nesting_does_not_end_the_work() -> None:
    chain = measure_module("m", b"x = " + b"1 + " * 3000 + b"1\n")
    nested = measure_module("m", b"x = " + b"(" * 3000 + b")" * 3000 + b"\n")
    assert nested.failure is not None
    assert chain.lines == nested.lines == 1


def test_warnings_about_old_source_are_nobodys_problem() -> None:
    assert measure_module("m", b"x = '\\d'\ny = x is 'd'\n").failure is None


def test_a_summary_adds_up_and_names_the_most_complex_first() -> None:
    modules = [
        measure_module("p.b", b"def f(x):\n    assert x\n"),
        measure_module("p.a", b"x = 1\n"),
        measure_module("p", b"def g(x):\n    return x and x and 1\nclass A: pass\n"),
        measure_module("p.bad", b"print 1\n"),
        unreadable("p.gone", FileNotFoundError()),
    ]
    summary = summarize("p", modules)
    assert summary["modules"] == 5
    assert (summary["lines"], summary["functions"], summary["classes"]) == (7, 2, 1)
    assert [entry["module"] for entry in summary["top"][:3]] == ["p", "p.b", "p.a"]
    assert summary["top"][0]["hardest"] == {"name": "g", "complexity": 3}
    assert summary["failed"] == 2
    assert summary["failed_by"] == {"parse: SyntaxError": 1, "read: FileNotFoundError": 1}
    assert summary["failures"] == [
        {"module": "p.bad", "stage": "parse", "error": "SyntaxError"},
        {"module": "p.gone", "stage": "read", "error": "FileNotFoundError"},
    ]


def test_a_summary_does_not_depend_on_the_order_of_the_files() -> None:
    modules = [measure_module(name, b"x = 1\n" * length) for length, name in enumerate(["c", "a", "b"])]
    assert summarize("p", modules) == summarize("p", modules[::-1])


def test_two_summaries_differ_when_a_module_that_neither_names_does() -> None:
    modules = [measure_module(f"m{n:02}", b"if x: pass\n") for n in range(TOP + 5)]
    small = measure_module("small", b"def f(): pass\ndef g(): assert x\n")
    other = measure_module("small", b"def f(): assert x\ndef g(): pass\n")
    first, second = summarize("p", [*modules, small]), summarize("p", [*modules, other])
    assert first["digest"] != second["digest"]
    assert first["complexity"] == second["complexity"]


def test_a_summary_of_thousands_of_broken_modules_still_fits_into_a_result() -> None:
    name = "package.of.a.rather.deep.kind.with_a_module_name_that_is_long"
    modules = [measure_module(f"{name}_{n:05}", b"print 1\n") for n in range(3000)]
    summary = summarize("p", modules)
    assert summary["failed"] == 3000
    assert len(json.dumps(summary)) < MAX_INLINE_BYTES
