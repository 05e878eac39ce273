"""Command tasks: an argv template from the configuration, filled with typed arguments and never with a shell.

::

    "word-count": {
      "argv": ["wc", "-w", "{path}"],
      "args": {"path": {"type": "string"}},
      "timeout": 60, "retries": 2, "description": "Counts words."
    }

Each ``{name}`` is replaced inside its own word of the argv, so that no value, whatever it holds, becomes
another word. A word that a value begins must not begin with ``-``: it would be read as an option of the
program. ``"allow_dash": true`` in the argument's declaration lifts that. Literal braces are doubled.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, cast, get_args

from sentinel.errors import BadInput
from sentinel.peer.run.arguments import check_names, check_text, described, nearest

ArgumentType = Literal["string", "integer", "number", "boolean"]

_KINDS: Mapping[ArgumentType, tuple[tuple[type, ...], str]] = {
    "string": ((str,), "a text"),
    "integer": ((int,), "a whole number"),
    "number": ((int, float), "a number"),
    "boolean": ((bool,), "true or false"),
}
_PIECE = re.compile(r"\{\{|\}\}|\{([a-z][a-z0-9_-]*)\}|[{}]", re.IGNORECASE)
_NAME = re.compile(r"[a-z][a-z0-9_-]*", re.IGNORECASE)
_TEMPLATE_KEYS = frozenset({"argv", "args", "timeout", "retries", "memory", "description"})
_ARGUMENT_KEYS = frozenset({"type", "required", "default", "choices", "pattern", "allow_dash", "description"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One typed argument of a command."""

    name: str
    type: ArgumentType = "string"
    #: Used when the argument is not given; None makes it required.
    default: str | int | float | bool | None = None
    #: If there are any, the value is one of them.
    choices: tuple[Any, ...] = ()
    #: A regular expression that the whole text matches.
    pattern: str | None = None
    #: Whether the value may begin a word of the argv with ``-``.
    allow_dash: bool = False
    description: str = ""

    def text(self, value: object) -> str:
        """``value`` as it stands in the argv. Raises `BadInput` with the reason it may not."""
        kinds, words = _KINDS[self.type]
        if not isinstance(value, kinds) or (isinstance(value, bool) and self.type != "boolean"):
            raise BadInput(f"the argument {self.name!r} must be {words}, not {described(value)}")
        if isinstance(value, float) and not math.isfinite(value):
            raise BadInput(f"the argument {self.name!r} must be a finite number")
        if self.choices and value not in self.choices:
            allowed = ", ".join(json.dumps(choice) for choice in self.choices)
            raise BadInput(f"the argument {self.name!r} must be one of {allowed}")
        text = value if isinstance(value, str) else json.dumps(value)
        if self.pattern is not None and re.fullmatch(self.pattern, text) is None:
            raise BadInput(f"the argument {self.name!r} must match {self.pattern}")
        return check_text(f"the argument {self.name!r}", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandTemplate:
    """A task type that is a command."""

    name: str
    #: Each word as its pieces: literal texts, and `Argument`s to be filled in.
    words: tuple[tuple[str | Argument, ...], ...]
    args: Mapping[str, Argument]
    #: Seconds one attempt may take; None is the default.
    timeout: float | None = None
    #: Automatic retries; None is the default.
    retries: int | None = None
    #: Bytes of memory for all its processes together; None is the worker's limit.
    memory: int | None = None
    description: str = ""

    @classmethod
    def parse(cls, name: str, raw: Mapping[str, Any]) -> CommandTemplate:
        """The template that the configuration declares as ``name``.

        Raises `BadInput` that lists everything that is wrong with it.
        """
        problems: list[str] = []
        template = _Parser(problems).template(name, raw)
        if problems or template is None:
            raise BadInput(f"the command {name!r} is declared wrongly: {'; '.join(problems)}")
        return template

    def argv(self, args: Mapping[str, Any], positional: Sequence[Any] = ()) -> list[str]:
        """The program and its arguments for these arguments of the task. Raises `BadInput`."""
        if positional:
            raise BadInput(f"{self.name} takes arguments by name only, such as --arg NAME=VALUE")
        required = {argument.name for argument in self.args.values() if argument.default is None}
        check_names(self.name, args, self.args.keys(), required)
        values = {
            argument.name: argument.text(args.get(argument.name, argument.default))
            for argument in self.args.values()
        }
        return [_fill(word, values) for word in self.words]

    def check(self, args: Mapping[str, Any], positional: Sequence[Any] = ()) -> None:
        """Raise `BadInput` unless the command can be run with these arguments."""
        self.argv(args, positional)


def _fill(word: tuple[str | Argument, ...], values: Mapping[str, str]) -> str:
    filled = ""
    for piece in word:
        text = piece if isinstance(piece, str) else values[piece.name]
        if not filled and text.startswith("-") and isinstance(piece, Argument) and not piece.allow_dash:
            raise BadInput(f"the argument {piece.name!r} must not begin with '-', or it would be an option")
        filled += text
    return filled


class _Parser:
    """Reads a declaration and collects every problem instead of stopping at the first."""

    def __init__(self, problems: list[str]) -> None:
        self._problems = problems

    def template(self, name: str, raw: Mapping[str, Any]) -> CommandTemplate | None:
        self._known("", raw, _TEMPLATE_KEYS)
        args = {
            argument.name: argument
            for key, value in self._mapping(raw.get("args", {}), "args").items()
            if (argument := self._argument(key, value)) is not None
        }
        words = tuple(self._words(raw.get("argv"), args))
        used = {piece.name for word in words for piece in word if isinstance(piece, Argument)}
        self._problems += [f"args.{unused} is not used in argv" for unused in sorted(args.keys() - used)]
        timeout = self._number(raw, "timeout", 0.1, 604_800)
        retries = self._number(raw, "retries", 0, 100, whole=True)
        memory = self._number(raw, "memory", 16 * 1024 * 1024, 1 << 50, whole=True)
        if self._problems:
            return None
        return CommandTemplate(
            name=name,
            words=words,
            args=MappingProxyType(args),
            timeout=timeout,
            retries=None if retries is None else int(retries),
            memory=None if memory is None else int(memory),
            description=str(raw.get("description", "")),
        )

    def _words(self, raw: object, args: Mapping[str, Argument]) -> Iterator[tuple[str | Argument, ...]]:
        if not isinstance(raw, list | tuple) or not raw or not all(isinstance(word, str) for word in raw):
            self._problems.append("argv must be a list of texts that begins with the program")
            return
        for place, word in enumerate(cast("Sequence[str]", raw)):
            if "\0" in word:
                self._problems.append(f"word {place + 1} of argv holds a NUL character")
            pieces = tuple(self._pieces(word, args))
            if place == 0 and (not word or any(isinstance(piece, Argument) for piece in pieces)):
                self._problems.append("argv must begin with a fixed program, not with an argument")
            yield pieces

    def _pieces(self, word: str, args: Mapping[str, Argument]) -> Iterator[str | Argument]:
        end = 0
        for match in _PIECE.finditer(word):
            if match.start() > end:
                yield word[end : match.start()]
            end = match.end()
            name = match.group(1)
            if name in args:
                yield args[name]
            elif name is not None:
                hint = nearest(name, args)
                self._problems.append(f"argv uses {match.group()}, which args does not declare; {hint}")
            elif len(match.group()) == 2:
                yield match.group()[0]
            else:
                self._problems.append(f"{word!r} has a single brace; write {{{{ or }}}} for a literal one")
        if end < len(word) or not word:
            yield word[end:]

    def _argument(self, name: str, raw: object) -> Argument | None:
        label = f"args.{name}"
        fields = self._mapping(raw, label)
        if not _NAME.fullmatch(name):
            self._problems.append(f"{label} is not a name of letters, digits, '_' and '-'")
        self._known(f"{label}.", fields, _ARGUMENT_KEYS)
        kind = fields.get("type", "string")
        if kind not in get_args(ArgumentType):
            self._problems.append(f"{label}.type must be one of {', '.join(get_args(ArgumentType))}")
            return None
        for key in ("required", "allow_dash"):
            if not isinstance(fields.get(key, False), bool):
                self._problems.append(f"{label}.{key} must be true or false")
        default = fields.get("default")
        if fields.get("required") is True and default is not None:
            self._problems.append(f"{label} is required and has a default: leave out one")
        if fields.get("required") is False and default is None:
            self._problems.append(f"{label} is not required, so it needs a default")
        choices = fields.get("choices", [])
        if not isinstance(choices, list | tuple):
            self._problems.append(f"{label}.choices must be a list")
            choices = []
        argument = Argument(
            name=name,
            type=kind,
            default=default,
            choices=tuple(choices),
            pattern=self._pattern(label, fields.get("pattern")),
            allow_dash=fields.get("allow_dash") is True,
            description=str(fields.get("description", "")),
        )
        for value in (*argument.choices, *(() if default is None else (default,))):
            try:
                argument.text(value)
            except BadInput as error:
                self._problems.append(f"{label} declares {value!r}, but {error}")
        return argument

    def _pattern(self, label: str, raw: object) -> str | None:
        if raw is None:
            return None
        try:
            return re.compile(cast("str", raw)).pattern
        except (re.error, TypeError) as error:
            self._problems.append(f"{label}.pattern is not a regular expression: {error}")
            return None

    def _mapping(self, raw: object, label: str) -> Mapping[str, Any]:
        if isinstance(raw, Mapping):
            return raw
        self._problems.append(f"{label} must be an object")
        return {}

    def _known(self, prefix: str, raw: Mapping[str, Any], known: frozenset[str]) -> None:
        unknown = [str(key) for key in raw if key not in known]
        self._problems += [f"{prefix}{key} is unknown; {nearest(key, known)}" for key in unknown]

    def _number(
        self, raw: Mapping[str, Any], key: str, least: float, most: float, *, whole: bool = False
    ) -> float | None:
        value = raw.get(key)
        if value is None:
            return None
        kind = int if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kind) or not least <= value <= most:
            number = "a whole number" if whole else "a number"
            self._problems.append(f"{key} must be {number} from {least:g} to {most:g}")
            return None
        return float(value)
