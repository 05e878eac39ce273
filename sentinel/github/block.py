"""The one fenced block of an issue, or the one file, that asks for a task: found, checked, and read.

Whoever may open an issue can write anything here, so sizes come before parsing, and depth before values. What
is wrong is said in one sentence that names the exact problem. Nothing but the block counts: no title, no
template, no other text.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from sentinel.errors import BadInput
from sentinel.fleet import submission
from sentinel.fleet.submission import SHELL_TYPE, Declared, Submission, nearest
from sentinel.model.codec import decode
from sentinel.model.ids import check_id
from sentinel.model.task import Task

#: The info string of the block.
MARK = "sentinel"
#: Longest body that is looked at, in characters; GitHub's own limit for one.
MAX_BODY = 65_536
#: Largest block in bytes.
MAX_BLOCK = 32 * 1024

EXAMPLE = """```sentinel
{"type": "word-count", "args": {"path": "docs"}, "priority": "high", "timeout": 120}
```"""

#: Field → its type and what to say when it is another.
_FIELDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "type": ((str,), "a text, the name of a task type"),
    "args": ((dict,), "an object of names and values"),
    "priority": ((str,), "one of low, normal, high, critical"),
    "timeout": ((int, float), "a number of seconds"),
    "retries": ((int,), "a whole number"),
    "after": ((list,), "a list of task ids"),
    "affinity": ((dict,), "an object of texts"),
}
_IN_FILES = {"id": ((str,), "a text, the id of the task"), **_FIELDS}

_LINE_END = re.compile(r"\r\n|\r|\n")
_OPENING = re.compile(r"(?P<indent> {0,3})(?P<fence>`{3,}|~{3,})[ \t]*(?P<info>[^`]*)")
_RAW = re.compile(r" {0,3}<(pre|script|style|textarea)(?=[\s>]|$)", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """What a block or a file asks for, its shape checked."""

    submission: Submission


def read_body(body: str) -> Asked:
    """What the body of an issue asks for. Raises `BadInput`, one sentence."""
    if len(body) > MAX_BODY:
        raise BadInput(f"its text has {len(body):,} characters, and {MAX_BODY:,} are the limit")
    found = list(_blocks(body))
    if not found:
        raise BadInput(f"it has no fenced block that begins with ```{MARK}")
    if len(found) > 1:
        raise BadInput(f"it has {len(found)} blocks that begin with ```{MARK}; open an issue for each")
    text = found[0]
    if text is None:
        raise BadInput(f"its block ```{MARK} is never closed; put ``` on a line of its own after it")
    return Asked(_submission(_object(text, "its block"), _FIELDS))


def read_file(data: bytes) -> Asked:
    """What a file asks for. Raises `BadInput`, one sentence."""
    value = _decoded(data, "it")
    wanted = _submission(value, _IN_FILES)
    if wanted.id is None:
        raise BadInput('it has no "id"; a file names its task itself')
    check_id(wanted.id, "task id")
    return Asked(wanted)


def draft(
    asked: Asked,
    *,
    task_id: str,
    created_at: str,
    submitted_by: str,
    types: Mapping[str, Declared],
    registered: Mapping[str, Declared],
    default_timeout: float,
    default_retries: int,
) -> Task:
    """The task that is asked for, everything checked that can be.

    ``types`` are those that this machine knows, with their arguments; ``registered`` those of workers. Raises
    `BadInput`, naming the nearest valid thing.
    """
    wanted = asked.submission
    check_id(wanted.type, "task type")
    known = {**registered, **types}
    if wanted.type == SHELL_TYPE:
        raise BadInput(
            "the type shell never runs from here: name a function that a worker registers, or a command "
            "that the configuration declares"
        )
    names = known.keys() - {SHELL_TYPE}
    if wanted.type not in names:
        near = nearest(wanted.type, names)
        hint = f"; the nearest is {near}" if near else ""
        raise BadInput(f"no worker knows the task type {_shown(wanted.type)}{hint}")
    task = submission.draft(
        wanted,
        task_id=task_id,
        created_at=created_at,
        submitted_by=submitted_by,
        declared=known[wanted.type],
        default_timeout=default_timeout,
        default_retries=default_retries,
    )
    check = known[wanted.type].check
    if check is not None:
        check(task.args, task.positional)
    return task


def _blocks(body: str) -> Iterator[str | None]:
    """The text of each block that is marked as ours; None for one that is never closed.

    What stands in another block, in a comment that nobody sees, or in raw HTML, is no block.
    """
    lines = iter(_LINE_END.split(body))
    for line in lines:
        if line.lstrip(" ").startswith("<!--") and len(line) - len(line.lstrip(" ")) <= 3:
            _skip(line.partition("<!--")[2], lines, "-->")
        elif (raw := _RAW.match(line)) is not None:
            _skip(line, lines, f"</{raw[1].lower()}>")
        elif (opening := _OPENING.fullmatch(line)) is not None:
            ours = opening["info"].strip() == MARK
            inside: list[str] = []
            closed = False
            for inner in lines:
                if _closes(inner, opening["fence"]):
                    closed = True
                    break
                inside.append(inner)
            if ours:
                yield "\n".join(inside) if closed else None


def _skip(line: str, lines: Iterator[str], end: str) -> None:
    while end not in line.lower():
        following = next(lines, None)
        if following is None:
            return
        line = following


def _closes(line: str, fence: str) -> bool:
    word = line.strip(" \t")
    indented = len(line) - len(line.lstrip(" ")) > 3
    return not indented and len(word) >= len(fence) and not word.strip(fence[0])


def _object(text: str, what: str) -> dict[str, Any]:
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError:
        raise BadInput(f"{what} holds half of a surrogate pair, which UTF-8 cannot carry") from None
    return _decoded(data, what)


def _decoded(data: bytes, what: str) -> dict[str, Any]:
    if not data.strip():
        raise BadInput(f"{what} is empty")
    try:
        value = decode(data, limit=MAX_BLOCK)
    except ValueError as error:
        raise BadInput(f"{what} is no JSON that can be used: {error}") from None
    if not isinstance(value, dict):
        raise BadInput(f"{what} is JSON, but no object in braces")
    return value


def _submission(value: dict[str, Any], fields: Mapping[str, tuple[tuple[type, ...], str]]) -> Submission:
    _known(value, fields.keys())
    for name, (kinds, expected) in fields.items():
        if name in value and (not isinstance(value[name], kinds) or isinstance(value[name], bool)):
            raise BadInput(f'"{name}" must be {expected}, not {_shown(value[name])}')
    if "type" not in value:
        raise BadInput('it has no "type", the name of a task type')
    if not all(isinstance(item, str) for item in value.get("after", ())):
        raise BadInput('"after" must be a list of task ids, each a text')
    return Submission(**value)


def _known(value: Mapping[str, Any], names: Collection[str]) -> None:
    for name in value:
        if name not in names:
            raise BadInput(
                f"it has the field {_shown(name)}, which there is not; the nearest is "
                f'"{nearest(name, names)}", and all are {", ".join(names)}'
            )


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 40 else text[:39] + "…"
