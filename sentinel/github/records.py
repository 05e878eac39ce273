"""What is kept about issues and files, in the state, so that any peer can go on where another one died.

An *issue record* says what was taken in: which body was judged, which comment was the last whose command
counted. An *outbox entry* says what is out: which comment is ours, and what it says. What *should* be out
follows from the task and the issue record alone, so nothing has to be written down twice, a crash loses
nothing, and whatever happened meanwhile is said in one go.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any, Self

from sentinel.model import layout
from sentinel.model.codec import Document, Fields, flat
from sentinel.model.line import one_line
from sentinel.model.record import Stored, stamp

#: Answers to commands and refusals that a comment shows, the newest last.
MAX_NOTICES = 5
#: Longest notice in characters.
MAX_NOTICE = 500
#: Comments of an issue whose commands are remembered one by one.
MAX_COMMANDS = 200


def digest(text: str) -> str:
    """SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class IssueRecord(Stored):
    """What is known of an issue that asks, or asked, for a task."""

    number: int
    author: int | None = None
    #: For people.
    login: str | None = None
    #: `digest` of the body that was judged last.
    body: str = ""
    #: Hash of what that body asks for; None when it asks for nothing that can be run.
    spec: str | None = None
    #: Why it asks for nothing that can be run.
    problem: str | None = None
    #: Whether it was open when it was looked at last, and when it was closed last, by GitHub's clock.
    open: bool = True
    closed_at: str = ""
    #: Number of the event in which it was opened again last, as far as that was heeded or refused.
    reopened: int = 0
    #: When what was looked at last was changed last, by GitHub's clock: what is older comes from a copy of
    #: GitHub's that lags behind.
    updated_at: str = ""
    #: Comments whose commands were heeded or refused, in ascending order: each counts once, in whatever order
    #: GitHub lists them.
    commands: tuple[int, ...] = ()
    #: The highest number that `commands` has no room for any more; it and all below it count as heeded.
    heeded: int = 0
    #: ``at`` and ``text`` of the last answers to commands, and of refusals.
    notices: tuple[Mapping[str, str], ...] = ()

    def has_heeded(self, comment: int) -> bool:
        """Whether the command in a comment counts no more."""
        return comment <= self.heeded or comment in self.commands

    def heed(self, comment: int) -> Self:
        """The record after the command in a comment was heeded, or refused."""
        commands = sorted({*self.commands, comment})
        heeded = max(commands[:-MAX_COMMANDS], default=self.heeded)
        return dataclasses.replace(self, commands=tuple(commands[-MAX_COMMANDS:]), heeded=heeded)

    def noticed(self, at: str, text: str) -> Self:
        """The record with one more notice; the same one again is none."""
        text = one_line(text, MAX_NOTICE)
        if self.notices and self.notices[-1]["text"] == text:
            return self
        notices = (*self.notices, {"at": at, "text": text})[-MAX_NOTICES:]
        return dataclasses.replace(self, notices=notices)

    def document(self) -> Document:
        notices = [dict(notice) for notice in self.notices]
        return {**flat(self), "commands": list(self.commands), "notices": notices}

    @classmethod
    def load(cls, key: str, document: Mapping[str, Any]) -> IssueRecord:
        """The record stored under ``key``. Raises `BadRecord` when it is not one, or is another's."""
        fields = Fields(key, document)
        record = cls(
            number=fields.count("number"),
            author=fields.maybe_count("author"),
            login=fields.maybe_text("login"),
            body=fields.text("body", ""),
            spec=fields.maybe_text("spec"),
            problem=fields.maybe_text("problem"),
            open=fields.take("open", bool, True),
            closed_at=fields.text("closed_at", ""),
            reopened=fields.count("reopened", 0),
            updated_at=fields.text("updated_at", ""),
            commands=fields.numbers("commands"),
            heeded=fields.count("heeded", 0),
            notices=tuple(_notice(fields, item) for item in fields.items("notices")),
            **stamp(fields),
        )
        if key != layout.issue_key(record.number):
            raise fields.bad(f"it says it is issue {record.number}")
        return record


def _notice(fields: Fields, item: Mapping[str, Any]) -> Mapping[str, str]:
    at, text = item.get("at"), item.get("text")
    if not isinstance(at, str) or not isinstance(text, str):
        raise fields.bad("one of its notices has no time or no text")
    return {"at": at, "text": text}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OutboxEntry(Stored):
    """What is said on an issue: in one comment, by a label, and by closing it."""

    number: int
    #: Makes our comment recognisable, whoever wrote it for the fleet; random, so that nobody is ahead of us.
    nonce: str
    #: Number of our comment; None before it is known to be there.
    comment: int | None = None
    #: Number of the account that wrote it.
    author: int | None = None
    #: `digest` of what the comment says, as far as is known; empty when that is open.
    said: str = ""
    #: Hash of the specification that the comment shows, and when it did so first, by GitHub's own clock: what
    #: nobody could read, nobody approved.
    shown: str = ""
    shown_at: str = ""
    #: The label that stands there, without its prefix; empty for none; None when that is open.
    label: str | None = None
    #: The last run whose end closed the issue; each run closes it once, or people could not open it again.
    closed: int = 0
    #: The versions of task and issue record for which all of this is as it should be.
    settled: str = ""

    @property
    def marker(self) -> str:
        """The first line of our comment; nobody sees it."""
        return f"<!-- sentinel {layout.issue_task(self.number)} {self.nonce} -->"

    @classmethod
    def load(cls, key: str, document: Mapping[str, Any]) -> OutboxEntry:
        """The entry stored under ``key``. Raises `BadRecord` when it is not one, or is another's."""
        fields = Fields(key, document)
        entry = cls(
            number=fields.count("number"),
            nonce=fields.id("nonce"),
            comment=fields.maybe_count("comment"),
            author=fields.maybe_count("author"),
            said=fields.text("said", ""),
            shown=fields.text("shown", ""),
            shown_at=fields.text("shown_at", ""),
            label=fields.maybe_text("label"),
            closed=fields.count("closed", 0),
            settled=fields.text("settled", ""),
            **stamp(fields),
        )
        if key != layout.outbox_key(entry.number):
            raise fields.bad(f"it says it is of issue {entry.number}")
        return entry


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord(Stored):
    """What is known of a file that asks, or asked, for a task."""

    path: str
    #: Git's name of the content that was taken in, or refused, last; empty when the file is gone.
    blob: str = ""
    #: The task that it is for; None when it never was a valid one.
    task: str | None = None
    #: Why that content asks for nothing that can be run.
    problem: str | None = None

    @classmethod
    def load(cls, key: str, document: Mapping[str, Any]) -> FileRecord:
        """The record stored under ``key``. Raises `BadRecord` when it is not one, or is another's."""
        fields = Fields(key, document)
        record = cls(
            path=fields.text("path"),
            blob=fields.text("blob", ""),
            task=fields.maybe_id("task"),
            problem=fields.maybe_text("problem"),
            **stamp(fields),
        )
        if key != layout.file_key(record.path):
            raise fields.bad(f"it says it is of {record.path[:80]!r}")
        return record


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seen(Stored):
    """Up to when GitHub's lists were read, by its own clock. It saves reading; nothing depends on it."""

    issues: str | None = None
    comments: str | None = None

    @classmethod
    def load(cls, key: str, document: Mapping[str, Any]) -> Seen:
        """The record stored under ``key``. Raises `BadRecord` when it is not one."""
        fields = Fields(key, document)
        return cls(
            issues=fields.maybe_text("issues"),
            comments=fields.maybe_text("comments"),
            **stamp(fields),
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mark(Stored):
    """Which commit of the default branch was read last; no older one is read again."""

    commit: str = ""

    @classmethod
    def load(cls, key: str, document: Mapping[str, Any]) -> Mark:
        """The record stored under ``key``. Raises `BadRecord` when it is not one."""
        fields = Fields(key, document)
        return cls(
            commit=fields.text("commit"),
            **stamp(fields),
        )
