"""The command line as data: every command, its options, and whether a given line would be understood."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click

from tests.house.markdown import lines

_SHELL = frozenset({"", "sh", "bash", "shell", "console", "shell-session"})
_REDIRECT = re.compile(r"\d*>{1,2}&?\s*\S+|<\s*\S+")


def commands(root: click.Group) -> dict[str, click.Command]:
    """``sentinel tasks submit`` → command, groups and ``sentinel`` itself included, hidden ones not."""
    found: dict[str, click.Command] = {}

    def visit(path: str, command: click.Command) -> None:
        if command.hidden:
            return
        found[path] = command
        if isinstance(command, click.Group):
            context = click.Context(command, info_name=path)
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None, f"{path} lists {name} and does not have it"
                visit(f"{path} {name}", inner)

    visit("sentinel", root)
    return found


def flags(command: click.Command) -> set[str]:
    """Every spelling of every option that is not hidden, ``--help`` left out."""
    return {
        flag
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.hidden
        for flag in (*parameter.opts, *parameter.secondary_opts)
    } - {"--help", "-h"}


def help_of(path: str, command: click.Command) -> str:
    """What ``--help`` prints, on a wide terminal."""
    return command.get_help(click.Context(command, info_name=path, terminal_width=300, max_content_width=300))


def examples(help_text: str) -> list[str]:
    """The command lines below ``Examples:``."""
    _, _, below = help_text.partition("Examples:")
    joined = re.sub(r"\\\n\s*", "", below)
    return [line.strip() for line in joined.splitlines() if line.strip().startswith("sentinel")]


def command_lines(markdown: str) -> Iterator[tuple[int, str]]:
    """(line number, line) of everything in a shell block that calls ``sentinel``.

    A synopsis with brackets and alternatives is no command line: it belongs into a ``text`` block.
    """
    open_line, start = "", 0
    for line in lines(markdown):
        if line.fence is None or line.fence not in _SHELL:
            continue
        text = re.sub(r"^\s*[$#] ", "" if line.text.lstrip().startswith("$") else "# ", line.text).strip()
        start = start if open_line else line.number
        open_line += text
        if open_line.endswith("\\"):
            open_line = open_line[:-1] + " "
            continue
        if _calls(open_line):
            yield start, open_line
        open_line = ""


def parse_error(root: click.Group, line: str) -> str | None:
    """Why a shell line's calls of ``sentinel`` would not be understood; None when they are."""
    for words in _calls(line):
        error = _error(root, words)
        if error:
            return error
    return None


def _calls(line: str) -> list[list[str]]:
    """The arguments of each call of ``sentinel`` in a line, whatever path or wrapper stands before it."""
    lexer = shlex.shlex(_REDIRECT.sub(" ", line), posix=True, punctuation_chars="|&;()")
    lexer.commenters = "#"
    lexer.whitespace_split = True
    calls: list[list[str]] = []
    current: list[str] | None = None
    for word in lexer:
        if set(word) <= set("|&;()"):
            current = None
        elif current is not None:
            current.append(word)
        elif word.rpartition("/")[2] == "sentinel":
            current = []
            calls.append(current)
    return calls


def _error(root: click.Group, words: list[str]) -> str | None:
    path = "sentinel"
    command: click.Command = root
    context = click.Context(root, info_name=path)
    rest = _without(root, words)
    while isinstance(command, click.Group):
        if not rest or rest[0] in {"--help", "--version"}:
            return None
        inner = command.get_command(context, rest[0])
        if inner is None:
            return f"there is no {path} {rest[0]}"
        path, command, rest = f"{path} {rest[0]}", inner, rest[1:]
        context = click.Context(command, info_name=path, parent=context)
    if "--help" in rest:
        return None
    try:
        command.make_context(path, rest, parent=context.parent)
    except click.exceptions.Exit:
        return None
    except click.ClickException as error:
        return f"{path}: {error.format_message()}"
    return None


def _without(root: click.Group, words: list[str]) -> list[str]:
    """The words without the global options, which may stand anywhere before ``--``."""
    takes_value = {
        flag: not parameter.is_flag
        for parameter in root.params
        if isinstance(parameter, click.Option)
        for flag in parameter.opts
    }
    kept: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*kept, word, *rest]
        name, equals, _ = word.partition("=")
        if name not in takes_value or name in {"--help", "--version"}:
            kept.append(word)
        elif takes_value[name] and not equals and rest:
            rest.pop(0)
    return kept
