"""I12: at rest, one comment for each entry of the outbox, and none without an entry.

Both sides are shown: the entries as they are stored, and the comments as GitHub lists them. A fleet is at
rest when nothing is due any more and no reply can still arrive.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping

from sentinel.model.codec import Document
from sentinel.testing.checking.truth import Violation

_MARKER = re.compile(r"<!-- sentinel issue-(?P<number>[0-9]+) (?P<nonce>[0-9a-f]+) -->")


def one_comment_each(
    at: float, entries: Iterable[Document], comments: Mapping[int, Iterable[tuple[int, str]]]
) -> None:
    """Judge the outbox against the comments on each issue (number → id and text of each comment).

    ``at`` is the time for the message, in seconds. Raises `Violation`.
    """
    expected = {int(entry["number"]): entry for entry in entries}
    for number, listed in comments.items():
        entry = expected.get(number)
        ours = [
            (comment, text)
            for comment, text in listed
            if (found := _MARKER.match(text)) is not None
            and int(found["number"]) == number
            and (entry is None or found["nonce"] == entry["nonce"])
        ]
        if entry is None and ours:
            raise Violation("I12", at, f"issue {number} has a comment of ours, and no entry in the outbox")
        if entry is not None:
            _judge(at, number, entry, ours)
    for number in expected.keys() - comments.keys():
        raise Violation("I12", at, f"nothing was said on issue {number}, which has an entry in the outbox")


def _judge(at: float, number: int, entry: Document, ours: list[tuple[int, str]]) -> None:
    if len(ours) != 1:
        raise Violation("I12", at, f"issue {number} has {len(ours)} comments of ours: {[i for i, _ in ours]}")
    ((comment, text),) = ours
    if comment != entry["comment"]:
        raise Violation("I12", at, f"the comment on issue {number} is {comment}, not {entry['comment']}")
    if hashlib.sha256(text.encode()).hexdigest() != entry["said"]:
        raise Violation("I12", at, f"comment {comment} on issue {number} says something else than was said")
