"""Issues that people with bad intentions, bad luck or bad tools open. None of them may run anything.

Each has a title, a body, and a part of the answer that it must get.
"""

from __future__ import annotations

import dataclasses
import json


@dataclasses.dataclass(frozen=True, slots=True)
class Hostile:
    """One issue, and what its answer must say."""

    name: str
    body: str
    answer: str
    title: str = "Please run this"


def block(text: str, info: str = "sentinel", fence: str = "```") -> str:
    """A fenced block around a text."""
    return f"{fence}{info}\n{text}\n{fence}"


def fields(**values: object) -> str:
    """A block of these fields."""
    return block(json.dumps(values))


def args(**values: object) -> str:
    """A block that is right but for its arguments."""
    return fields(type="word-count", args=values)


_DEEP = "[" * 100_000
_NO_BLOCK = "it has no fenced block"
_NO_TYPE = "no worker knows the task type"
_BAD_ID = "is not valid"

#: For `$(...)`, quotes and the like in a title: the body has no block, so the title is all there is.
_TITLES = (
    "$(touch /tmp/owned)",
    "`reboot`",
    "'; DROP TABLE tasks; --",
    '```sentinel\n{"type": "shell"}\n```',
    '```sentinel {"type": "word-count", "args": {"path": "x"}} ```',
    "<script>alert(1)</script>",
    "@everyone look",
    "\u202etxt.exe",
    "a\x00b",
    "-oProxyCommand=x",
    "../../etc/passwd",
    "x" * 256,
)

HOSTILE: tuple[Hostile, ...] = (
    *(Hostile(f"title {number}", "nothing here", _NO_BLOCK, title) for number, title in enumerate(_TITLES)),
    # No block, or not one.
    Hostile("empty body", "", _NO_BLOCK),
    Hostile("only prose", "Please run word-count on docs", _NO_BLOCK),
    Hostile("two blocks", f"{args(path='a')}\n\n{args(path='b')}", "it has 2 blocks"),
    Hostile("never closed", '```sentinel\n{"type": "word-count", "args": {"path": "docs"}}', "never closed"),
    Hostile("closed by fewer ticks", '````sentinel\n{"type": "word-count"}\n```', "never closed"),
    Hostile("block in a comment nobody sees", f"Hello\n<!--\n{args(path='x')}\n-->", _NO_BLOCK),
    Hostile("block in another block", f"````\n{args(path='x')}\n````", _NO_BLOCK),
    Hostile("block in raw html", f"<pre>\n{args(path='x')}\n</pre>", _NO_BLOCK),
    Hostile("block in a quotation", "> ```sentinel\n> {}\n> ```", _NO_BLOCK),
    Hostile("block as indented code", '    ```sentinel\n    {"type": "word-count"}\n    ```', _NO_BLOCK),
    Hostile("another language", block('{"type": "word-count"}', "json"), _NO_BLOCK),
    Hostile("info with more words", block('{"type": "word-count"}', "sentinel run"), _NO_BLOCK),
    Hostile("info in capitals", block('{"type": "word-count"}', "SENTINEL"), _NO_BLOCK),
    Hostile("body of 70,000 characters", "x" * 70_000, "are the limit"),
    # No JSON.
    Hostile("empty block", block(""), "its block is empty"),
    Hostile("a shell script", block("rm -rf /"), "is no JSON"),
    Hostile("YAML", block("type: word-count\nargs: {path: docs}"), "is no JSON"),
    Hostile("two values", block('{"type": "word-count"} {"type": "shell"}'), "is no JSON"),
    Hostile("a trailing comma", block('{"type": "word-count",}'), "is no JSON"),
    Hostile("a comment", block('{"type": "word-count"} // yes'), "is no JSON"),
    Hostile("single quotes", block("{'type': 'word-count'}"), "is no JSON"),
    Hostile("NaN", block('{"type": "word-count", "timeout": NaN}'), "NaN is not a JSON number"),
    Hostile(
        "Infinity", block('{"type": "word-count", "timeout": Infinity}'), "Infinity is not a JSON number"
    ),
    Hostile("1e999", block('{"type": "word-count", "timeout": 1e999}'), "too large"),
    Hostile("a number of 5,000 digits", block(f'{{"timeout": {"9" * 5000}}}'), "too large"),
    Hostile("a key twice", block('{"type": "word-count", "type": "shell"}'), "stands twice"),
    Hostile("a byte-order mark", block('\ufeff{"type": "word-count"}'), "byte-order mark"),
    Hostile("half a surrogate pair", block('{"type": "\ud800"}'), "surrogate"),
    Hostile("an escaped half", block('{"type": "\\ud800"}'), "surrogate"),
    Hostile("30,000 levels", block(_DEEP[:30_000]), "nests deeper"),
    Hostile("100,000 levels", block(_DEEP), "are the limit"),
    Hostile("60,000 bytes", fields(type="word-count", args={"path": "x" * 60_000}), "more than the limit"),
    Hostile("no object", block('["word-count"]'), "no object in braces"),
    Hostile("a text", block('"word-count"'), "no object in braces"),
    Hostile("null", block("null"), "no object in braces"),
    # Fields.
    Hostile("no type", fields(args={"path": "x"}), 'it has no "type"'),
    Hostile("a type that is a list", fields(type=["word-count"]), '"type" must be a text'),
    Hostile("arguments that are a list", fields(type="word-count", args=["x"]), '"args" must be an object'),
    Hostile("an unknown field", fields(type="word-count", argz={"path": "x"}), 'the nearest is "args"'),
    Hostile("a field of Python's", fields(type="word-count", __class__="x"), "which there is not"),
    Hostile("an id of its own", fields(type="word-count", id="build-42"), "which there is not"),
    Hostile("arguments by place", fields(type="word-count", positional=["x"]), "which there is not"),
    Hostile("an approval of its own", fields(type="word-count", approval={"by": "me"}), "which there is not"),
    Hostile("an owner of its own", fields(type="word-count", owner="w1", epoch=9), "which there is not"),
    Hostile("any type allowed", fields(type="x", allow_unknown_type=True), "which there is not"),
    # Types that do not run from here.
    Hostile("shell", fields(type="shell"), "the type shell never runs from here"),
    Hostile("shell with arguments", fields(type="shell", args={"argv": ["id"]}), "never runs from here"),
    Hostile("an unknown type", fields(type="word-cuont", args={"path": "x"}), "the nearest is word-count"),
    Hostile("a program", fields(type="/bin/sh"), _BAD_ID),
    Hostile("a path", fields(type="../../etc/passwd"), _BAD_ID),
    Hostile("an option", fields(type="-oProxyCommand=x"), _BAD_ID),
    Hostile("a command substitution", fields(type="$(id)"), _BAD_ID),
    Hostile("backticks", fields(type="`id`"), _BAD_ID),
    Hostile("a NUL", fields(type="word-count\0"), _BAD_ID),
    Hostile("a line end", fields(type="word-count\r\n"), _BAD_ID),
    Hostile("a mark of direction", fields(type="word-count\u202e"), _BAD_ID),
    Hostile("300 characters", fields(type="a" * 300), _BAD_ID),
    Hostile("an empty type", fields(type=""), _BAD_ID),
    Hostile("a look-alike", fields(type="w\u043erd-count"), _BAD_ID),
    # Arguments and ranges.
    Hostile("a missing argument", args(), "needs the argument 'path'"),
    Hostile("an unknown argument", args(path="x", pth="y"), "the nearest is 'path'"),
    Hostile("an argument of another type", args(path=7), "must be a text"),
    Hostile("a time-out of zero", fields(type="word-count", args={"path": "x"}, timeout=0), "from 0.1 to"),
    Hostile("a negative time-out", fields(type="word-count", args={"path": "x"}, timeout=-1), "from 0.1 to"),
    Hostile("1e9 seconds", fields(type="word-count", args={"path": "x"}, timeout=1e9), "from 0.1 to"),
    Hostile("soon", fields(type="word-count", timeout="soon"), '"timeout" must be a number'),
    Hostile("true seconds", fields(type="word-count", timeout=True), '"timeout" must be a number'),
    Hostile("urgent", fields(type="word-count", args={"path": "x"}, priority="urgent"), "use one of low"),
    Hostile("negative retries", fields(type="word-count", args={"path": "x"}, retries=-1), "from 0 to 100"),
    Hostile("retries of 1e6", fields(type="word-count", args={"path": "x"}, retries=10**6), "from 0 to 100"),
    Hostile("half a retry", fields(type="word-count", retries=1.5), '"retries" must be a whole number'),
    Hostile("after nothing", fields(type="word-count", args={"path": "x"}, after=["gone"]), "no such task"),
    Hostile(
        "after itself",
        fields(type="word-count", args={"path": "x"}, after=[]).replace("[]", "[7]"),
        "list of",
    ),
    Hostile("after a path", fields(type="word-count", args={"path": "x"}, after=["../x"]), _BAD_ID),
    Hostile("affinity of numbers", fields(type="word-count", args={"path": "x"}, affinity={"a": 1}), _BAD_ID),
    Hostile(
        "a label of a path", fields(type="word-count", args={"path": "x"}, affinity={"../a": "b"}), _BAD_ID
    ),
    # What is repeated in the answer.
    Hostile("markup in a type", fields(type="</code><img src=x onerror=alert(1)>@acme"), _BAD_ID),
    Hostile("a mention in a field", fields(**{"@acme": 1}), "which there is not"),
    Hostile("a fence in a field", fields(**{"```\n@acme": 1}), "which there is not"),
    Hostile("a marker in a field", fields(**{"<!-- sentinel issue-1 -->": 1}), "which there is not"),
)
