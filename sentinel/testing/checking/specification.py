"""What a stored task is to do, and its hash, worked out from the document alone."""

from __future__ import annotations

import hashlib
from typing import Any

from sentinel.model.codec import Document, encode

#: What a stored task has where it leaves a field out, as far as it is judged.
_ABSENT: Document = {
    **dict.fromkeys(("owner", "incarnation", "source", "approval", "result")),
    "args": {},
    "positional": [],
    "after": [],
    "affinity": {},
}
_FIELDS = ("type", "args", "positional", "priority", "timeout", "retries", "after", "affinity")


def whole(document: Document) -> Document:
    """A stored task with the fields that it leaves out."""
    return {**_ABSENT, **document}


def spec_of(document: Document) -> dict[str, Any]:
    """The fields of a stored task that an approval is for."""
    return {name: whole(document).get(name) for name in _FIELDS}


def spec_hash(document: Document) -> str:
    """What the approval of a stored task must name."""
    return hashlib.sha256(encode(spec_of(document))).hexdigest()
