"""Where a task from outside the fleet came from, and the approval without which it never runs.

Who can write to the store submits tasks that need no approval. A task from an issue, or from a file on the
default branch, is somebody else's text: it carries its `Source`, and runs only under an `Approval`. An
approval names the SHA-256 of the canonical specification; whatever changes the specification leaves the
approval behind, whoever wrote it and however it got there.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any, Literal

from sentinel.model.codec import Document, Fields, encode, flat

#: What is approved, and what two submissions of one id must agree in to count as the same.
SPEC = ("type", "args", "positional", "priority", "timeout", "retries", "after", "affinity")

SourceKind = Literal["issue", "file"]
_KINDS = ("issue", "file")


def spec_of(task: object) -> Document:
    """The specification of a task as JSON: what it is to do, and nothing of what became of it."""
    return {name: getattr(task, name) for name in SPEC}


def spec_hash(task: object) -> str:
    """SHA-256, in hexadecimal, of the canonical specification."""
    return hashlib.sha256(encode(spec_of(task))).hexdigest()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The issue or file that a task was made from."""

    kind: SourceKind
    #: Number of the issue, or path of the file.
    name: str
    #: GitHub's number of the author: a login can be given away, this cannot. None when it is not known.
    author: int | None = None
    #: For people.
    login: str | None = None
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def document(self) -> Document:
        """The source as JSON."""
        return flat(self)

    @classmethod
    def load(cls, fields: Fields) -> Source:
        """The source in a record. Raises `BadRecord`."""
        kind = fields.text("kind")
        if kind not in _KINDS:
            raise fields.bad(f"it comes from a {kind!r}, which this version does not know")
        return cls(
            kind=kind,  # type: ignore[arg-type]  # checked above
            name=fields.text("name"),
            author=fields.maybe_count("author"),
            login=fields.maybe_text("login"),
            extra=fields.rest(),
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Somebody who may said that exactly this may run."""

    #: The `spec_hash` that it is for.
    spec: str
    #: For people: who approved.
    by: str
    #: GitHub's number of who approved; None for one who can write to the store.
    by_id: int | None = None
    at: str
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def document(self) -> Document:
        """The approval as JSON."""
        return flat(self)

    @classmethod
    def load(cls, fields: Fields) -> Approval:
        """The approval in a record. Raises `BadRecord`."""
        return cls(
            spec=fields.text("spec"),
            by=fields.text("by"),
            by_id=fields.maybe_count("by_id"),
            at=fields.text("at"),
            extra=fields.rest(),
        )
