"""A file that passes about 350 lines is usually two ideas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.house.conftest import Notice
from tests.house.source import ROOT, Violation, forbid, python_sources, scripts

WORTH_A_LOOK = 350
TOO_LONG = 600


def longer_than(limit: int, texts: Iterable[tuple[str, str]]) -> Iterator[Violation]:
    for path, text in texts:
        length = len(text.splitlines())
        if length > limit:
            yield Violation(path=path, line=length, message=f"{length} lines, {limit} are the limit")


def _programs() -> Iterator[tuple[str, str]]:
    for script in scripts():
        yield _relative(script), script.read_text(encoding="utf-8")


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_no_module_is_far_too_long() -> None:
    modules = [(source.path, source.text) for source in python_sources("sentinel")]
    forbid(longer_than(TOO_LONG, modules))


def test_long_files_are_named_in_the_summary(notice: Notice) -> None:
    files = [(source.path, source.text) for source in python_sources("sentinel", "scripts", "tests")]
    for violation in longer_than(WORTH_A_LOOK, [*files, *_programs()]):
        notice(f"{violation.path} has {violation.line} lines; more than {WORTH_A_LOOK} are usually two ideas")


def test_a_file_over_the_limit_is_found() -> None:
    texts = [("short.py", "x\n" * 600), ("long.py", "x\n" * 601)]
    assert [violation.path for violation in longer_than(TOO_LONG, texts)] == ["long.py"]
