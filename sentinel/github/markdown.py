"""Text of unknown origin in a comment: it shows as it is, and does nothing.

GitHub reads a comment for more than its looks: ``@name`` writes to somebody, ``#12`` and ``fixes #12`` link
and close, HTML renders in part, and a fence ends where its text says so. Nothing of that may come from a
task.
"""

from __future__ import annotations

import json
import re

from sentinel.model.line import one_line

#: What markup is made of in the middle of a line; nothing of ours puts such a text at its beginning.
_PUNCTUATION = re.compile(r"([\\`*_{}\[\]#|~<>&$])")
#: An invisible mark that takes a mention or reference apart and leaves it readable.
_APART = "\u200b"
_MENTION = re.compile(r"@(?=[A-Za-z0-9])")
_REFERENCE = re.compile(r"(?<![A-Za-z0-9])(#|GH-)(?=[0-9])")
_FENCE = re.compile(r"`{3,}")
#: Controls other than tab and line feed, and marks that turn the direction of reading.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def inert(text: str) -> str:
    """``text`` in which no mention or reference is left, and no control character."""
    text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))
    return _REFERENCE.sub(rf"\g<1>{_APART}", _MENTION.sub(f"@{_APART}", text))


def plain(text: str, limit: int = 300) -> str:
    """``text`` on one line of at most ``limit`` characters that no markup is read from."""
    escaped = _PUNCTUATION.sub(r"\\\1", inert(one_line(text, limit)))
    return escaped.replace("\\<", "&lt;").replace("\\>", "&gt;").replace("\\&", "&amp;")


def code(text: str, limit: int = 120) -> str:
    """``text`` on one line as code."""
    line = inert(one_line(text, limit)).replace("`", "'").replace("|", "\N{BROKEN BAR}")
    return f"`{line or ' '}`"


def block(text: str, info: str = "text") -> str:
    """``text`` as a fenced block that nothing in it can end."""
    text = inert(text).rstrip("\n")
    longest = max((len(found) for found in _FENCE.findall(text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{info}\n{text}\n{fence}"


def as_json(value: object, *, indent: int | None = 2) -> str:
    """A JSON value as a fenced block, for people; without ``indent`` on one line."""
    return block(json.dumps(value, indent=indent, ensure_ascii=False, sort_keys=True), "json")
