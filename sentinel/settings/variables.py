"""Environment variables: the process's own and those of a `.env` file, each with its place."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from dotenv.parser import parse_stream

from sentinel.settings.textfile import presence, read_text

#: Kept out of the settings, but nothing to warn about: given to tasks, or read by scripts.
OTHER_NAMES = frozenset(
    {
        "SENTINEL_CONFIG",
        "SENTINEL_TASK_ID",
        "SENTINEL_FENCING_TOKEN",
        "SENTINEL_IDEMPOTENCY_KEY",
        "SENTINEL_REQUIRE",
        "SENTINEL_TEST_LINT",
        "SENTINEL_CONFORMANCE",
        "SENTINEL_DEBUG",
        "SENTINEL_TOKEN_FILE",
        "SENTINEL_GITHUB_APP_ID",
        "SENTINEL_GITHUB_INSTALLATION_ID",
        "SENTINEL_GITHUB_PRIVATE_KEY_FILE",
        "SENTINEL_GITHUB_TOOLS",
        "SENTINEL_RECORD",
    }
)


@dataclasses.dataclass(frozen=True, slots=True)
class Variable:
    """One variable that is set. An empty one counts as not set and is never here."""

    name: str
    value: str
    #: Where it stands, for `origin_of`: ``environment WORKER_ID`` or ``.env:3``.
    origin: str

    @property
    def label(self) -> str:
        """Place and name, for messages."""
        return self.origin if self.origin.endswith(f" {self.name}") else f"{self.origin}: {self.name}"


#: The variables of one source by name.
Variables = Mapping[str, Variable]


def from_environment(environ: Mapping[str, str]) -> Variables:
    """The variables that are set in the environment."""
    return {name: Variable(name, value, f"environment {name}") for name, value in environ.items() if value}


def from_dotenv(path: Path, ours: Callable[[str], bool], report: Callable[[str], None]) -> Variables:
    """The variables of a `.env` file; none when there is no such file. Nothing in it is interpolated.

    A line that cannot be read is reported, and so is a variable that stands there twice with two values if
    it is one of ``ours``: which one counts would be a guess.
    """
    # A folder of that name is somebody's virtual environment.
    if presence(path) != "file":
        return {}
    shown = path.name
    text = read_text(path, lambda reason: report(f"{shown} {reason}"))
    if text is None:
        return {}
    found: dict[str, Variable] = {}
    for name, value, line in _bindings(text):
        if name is None:
            report(f"{shown}:{line} is not a line of the form NAME=value")
        elif value is None:
            if ours(name):
                report(f"{shown}:{line}: {name} has no value; write {name}=value")
        elif value:
            before = found.get(name)
            if before is not None and before.value != value and ours(name):
                report(f"{shown}:{line}: {name} was already set at {before.origin}, to another value")
            found[name] = Variable(name, value, f"{shown}:{line}")
    return found


def _bindings(text: str) -> Iterator[tuple[str | None, str | None, int]]:
    """Name, value and line of each variable; no name for a line that cannot be read."""
    for binding in parse_stream(io.StringIO(text)):
        # The parser counts the blank lines before a variable to it.
        original = binding.original.string
        line = binding.original.line + original[: len(original) - len(original.lstrip())].count("\n")
        if binding.error:
            yield None, None, line
        elif binding.key is not None:
            yield binding.key, binding.value, line
