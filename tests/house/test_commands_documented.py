"""A command that is not documented does not exist for its user, and the other way round."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from tests.house import command_tree, markdown
from tests.house.source import ROOT, Violation, forbid

GUIDE = "docs/commands.md"
_PATH = re.compile(r"sentinel(?: [a-z][a-z-]*)*")
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*\w")
#: What `sentinel --help` must not wait for.
_HEAVY = ("github", "psutil", "pydantic", "pygit2", "rich", "tenacity")


@pytest.fixture(scope="module")
def root() -> click.Group:
    from sentinel.cli import main

    assert isinstance(main, click.Group)
    return main


def guide_violations(root: click.Group, guide: str) -> Iterator[Violation]:
    """What the guide lacks, and what it says that is not so.

    A command has a heading that names it (``### `sentinel tasks submit` ``), with its own options below
    that; the global ones stand below ``sentinel``.
    """
    tree = command_tree.commands(root)
    bodies: dict[str, str] = {}
    for section in markdown.sections(guide):
        for path in _PATH.findall(section.title):
            bodies[path] = section.body
            if path not in tree:
                yield _at(section.line, f"there is no {path}")
    everywhere = set().union(*(command_tree.flags(command) for command in tree.values())) | {"--help"}
    for path, command in tree.items():
        if path not in bodies:
            yield _at(1, f"no heading names `{path}`")
            continue
        own = command_tree.flags(command) - (command_tree.flags(root) if command is not root else set())
        words = set(re.findall(r"(?<![\w-])--?[\w-]+", bodies[path]))
        for flag in sorted(own - words):
            yield _at(1, f"{path}: {flag} is not documented")
    for line in markdown.lines(guide):
        for flag in _FLAG.findall(line.text):
            if flag not in everywhere:
                yield _at(line.number, f"no command has {flag}")


def _at(line: int, message: str) -> Violation:
    return Violation(path=GUIDE, line=line, message=message)


def help_violations(root: click.Group) -> Iterator[Violation]:
    for path, command in command_tree.commands(root).items():
        callback = inspect.unwrap(command.callback) if command.callback else None
        file = inspect.getsourcefile(callback) if callback else None
        place = path if file is None else file.removeprefix(f"{ROOT}/")
        shown = command_tree.examples(command_tree.help_of(path, command))
        if not shown:
            yield Violation(path=place, line=1, message=f"{path} --help has no Examples: section")
        for line in shown:
            error = command_tree.parse_error(root, line)
            if error:
                yield Violation(path=place, line=1, message=f"{path} --help shows {line!r}: {error}")


def text_violations(root: click.Group, path: str, text: str) -> Iterator[Violation]:
    for number, line in command_tree.command_lines(text):
        error = command_tree.parse_error(root, line)
        if error:
            yield Violation(path=path, line=number, message=f"{line!r}: {error}")


def test_every_command_and_option_is_documented_and_no_other(root: click.Group) -> None:
    guide = ROOT / GUIDE
    assert guide.is_file(), f"{GUIDE} is missing"
    forbid(guide_violations(root, guide.read_text(encoding="utf-8")))


def test_every_help_has_examples_that_parse(root: click.Group) -> None:
    forbid(help_violations(root))


def test_every_command_line_in_the_documentation_parses(root: click.Group) -> None:
    documents = [ROOT / "README.md", *sorted(ROOT.glob("systemd/*.md")), *sorted(ROOT.glob("docs/**/*.md"))]
    forbid(
        found
        for path in documents
        for found in text_violations(
            root, path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        )
    )


def test_help_waits_for_no_heavy_import() -> None:
    program = (
        "import sys\nfrom sentinel.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        f"print(*sorted(set(sys.modules) & set({_HEAVY!r})), file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert "Usage:" in ran.stdout
    assert ran.stderr.split() == []


# --- the checks themselves, on a small command line ---------------------------------------------------


@pytest.fixture(scope="module")
def small() -> click.Group:
    @click.group("sentinel", help="A small one.\n\nExamples:\n\n\b\n  sentinel tasks list --state done")
    @click.option("--store")
    def sentinel(store: str | None) -> None: ...

    @sentinel.group(help="Tasks.\n\nExamples:\n\n\b\n  sentinel tasks list --no-such")
    def tasks() -> None: ...

    @tasks.command("list", help="List them.")
    @click.option("-s", "--state")
    @click.option("--timeout", type=float)
    @click.argument("ids", nargs=-1)
    def list_(state: str | None, timeout: float | None, ids: tuple[str, ...]) -> None: ...

    return sentinel


_GUIDE = """\
# Commands
## `sentinel`
`--store` is global.
### `sentinel tasks`
### `sentinel tasks list`
| option | meaning |
| --- | --- |
| `-s`, `--state S` | the state |
| `--timeout S` | seconds |
"""


def test_a_complete_guide_is_not_reported(small: click.Group) -> None:
    forbid(guide_violations(small, _GUIDE))


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("### `sentinel tasks list`", "### listing", "no heading names `sentinel tasks list`"),
        ("### `sentinel tasks`\n", "### `sentinel tasks`\n### `sentinel top`\n", "there is no sentinel top"),
        ("`-s`, `--state S`", "`-s`", "sentinel tasks list: --state is not documented"),
        (
            "| `--timeout S` | seconds |",
            "",
            "sentinel tasks list: --timeout is not documented",
        ),
        ("`--store` is", "`--store` and `--verbose` are", "no command has --verbose"),
    ],
)
def test_what_is_wrong_in_a_guide_is_found(small: click.Group, right: str, wrong: str, message: str) -> None:
    found = [violation.message for violation in guide_violations(small, _GUIDE.replace(right, wrong))]
    assert found == [message]


def test_a_help_without_or_with_wrong_examples_is_found(small: click.Group) -> None:
    found = [violation.message for violation in help_violations(small)]
    assert [message.partition(":")[0] for message in found] == [
        "sentinel tasks --help shows 'sentinel tasks list --no-such'",
        "sentinel tasks list --help has no Examples",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "sentinel tasks list a b --state done",
        "sentinel --store ./fleet.git tasks list",
        "sentinel tasks list --store=./fleet.git -s done  # the finished ones",
        "FOO=1 .venv/bin/sentinel tasks list | head -n 3 && echo --no-such",
        "$ sentinel tasks list \\\n    --state done > out.txt 2>&1",
        "sentinel tasks --help",
        "python -m sentinel tasks list",
        "git log sentinel/state --oneline",
    ],
)
def test_a_command_line_that_parses_is_not_reported(small: click.Group, line: str) -> None:
    forbid(text_violations(small, "README.md", f"```sh\n{line}\n```\n"))


@pytest.mark.parametrize(
    "line",
    [
        "sentinel tasks lst",
        "sentinel tasks list --sate done",
        "sentinel tasks list --timeout soon",
        "sentinel tasks list \\\n    --sate done",
        "true && sentinel top",
        "runuser -u me -- /opt/bin/sentinel top",
    ],
)
def test_a_command_line_that_does_not_parse_is_found(small: click.Group, line: str) -> None:
    assert len(list(text_violations(small, "README.md", f"```console\n$ {line}\n```\n"))) == 1


def test_a_synopsis_in_a_text_block_is_no_command_line(small: click.Group) -> None:
    forbid(text_violations(small, "README.md", "```text\nsentinel tasks lst [--foo]\n```\nsentinel foo\n"))
