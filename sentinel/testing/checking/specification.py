"""What a stored task is to do, and its hash, worked out from the document alone."""

from __future__ import annotations

import hashlib
from typing import Any

from sentinel.model.codec import Document, encode

_FIELDS = ("type", "args", "positional", "priority", "timeout", "retries", "after", "affinity")


def spec_of(document: Document) -> dict[str, Any]:
    """The fields of a stored task that an approval is for."""
    return {name: document.get(name) for name in _FIELDS}


def spec_hash(document: Document) -> str:
    """What the approval of a stored task must name."""
    return hashlib.sha256(encode(spec_of(document))).hexdigest()
