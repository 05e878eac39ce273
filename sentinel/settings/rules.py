"""The types of settings: pydantic types with the rules of the house and sentences of our own.

Numbers, switches and texts are strict: ``true`` is no number and ``"5"`` no 5. Text from the environment is
converted before it gets here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, AllowInfNan, BaseModel, BeforeValidator, ConfigDict, Strict

from sentinel.model.ids import RULE, is_id

#: Longest text that a setting may hold, in characters.
MAX_TEXT = 2048
ID_RULE = f"an id: {RULE}"

_INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
_LEVELS = {"warn": "warning", "critical": "error", "fatal": "error"}


def _plain_text(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    if len(text) > MAX_TEXT:
        raise ValueError(f"must not be longer than {MAX_TEXT} characters")
    if any(unicodedata.category(character) in _INVISIBLE for character in text):
        raise ValueError("must not hold control characters or direction marks")
    return text


def _id(text: str) -> str:
    if not is_id(text):
        raise ValueError(f"must be {ID_RULE}")
    return text


def _without_password(text: str) -> str:
    if "://" not in text:
        return text
    try:
        password = urlsplit(text).password
    except ValueError as error:
        raise ValueError(f"is not a URL: {error}") from None
    if password is not None:
        raise ValueError(
            "holds a password, which would end up in logs and process lists; "
            "use ssh keys or a Git credential helper"
        )
    return text


def _folder(path: Path) -> Path:
    if _plain_text(str(path)).startswith("~"):
        raise ValueError("begins with ~, which only shells expand; write the whole path")
    return path


def _variable(name: str) -> str:
    if not (name.isascii() and name.isidentifier()):
        raise ValueError("must be the name of an environment variable, such as LANG")
    return name


def _level(value: object) -> object:
    if not isinstance(value, str):
        return value
    word = value.strip().lower()
    return _LEVELS.get(word, word)


def _command(value: Mapping[str, Any]) -> Mapping[str, Any]:
    argv = value.get("argv")
    if not isinstance(argv, list | tuple) or not argv or not all(isinstance(word, str) for word in argv):
        raise ValueError('must have "argv", a list of texts that begins with the program')
    return value


Number = Annotated[float, Strict(), AllowInfNan(False)]
Whole = Annotated[int, Strict()]
Switch = Annotated[bool, Strict()]
#: Free text for people: no control characters, nothing invisible.
Text = Annotated[str, AfterValidator(_plain_text)]
Id = Annotated[str, AfterValidator(_id)]
#: A store: path or URL, without a password in it.
StorePlace = Annotated[str, AfterValidator(_plain_text), AfterValidator(_without_password)]
Folder = Annotated[Path, AfterValidator(_folder)]
Variable = Annotated[str, AfterValidator(_variable)]
#: Also accepts what other programs call these: ``WARN``, ``CRITICAL``.
Level = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_level)]
#: A command template as the file has it; whoever runs commands checks the rest of it.
Command = Annotated[Mapping[str, Any], AfterValidator(_command)]


class Section(BaseModel):
    """A branch of the settings tree: frozen, and a name that it does not have is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
