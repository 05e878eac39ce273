"""One issue in one snapshot: what is known of it, and what becomes of it, for one transaction."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from sentinel.clock import rfc3339
from sentinel.fleet.submission import Declared
from sentinel.fleet.tasks import write_task
from sentinel.fleet.view import load_task
from sentinel.github.hub import Comment, Enquiry, Issue, earlier
from sentinel.github.records import IssueRecord, OutboxEntry
from sentinel.github.trust import Policy
from sentinel.model import approval, layout
from sentinel.model.line import one_line
from sentinel.model.task import MAX_NOTE, Task
from sentinel.store.base import Snapshot, Transaction
from sentinel.store.transact import Change


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """By what an issue is judged on this machine."""

    policy: Policy
    types: Mapping[str, Declared]
    #: Types of registered workers in a snapshot.
    registered: Callable[[Snapshot], Mapping[str, Declared]]
    timeout: float
    retries: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What GitHub shows of one issue: itself, and its comments with commands, the oldest first."""

    number: int
    issue: Issue | None
    comments: tuple[Comment, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What becomes of a look."""

    #: None when nothing changes.
    transaction: Transaction | None
    #: Whether some of its commands are left for another look, after this has landed.
    again: bool = False


class Later(Exception):
    """An issue can only be judged when another one of the same look was: its task runs after that one's."""


class NotYet(Exception):
    """GitHub does not tell yet what the decision turns on: it is to be looked at again."""


class Case:
    """What a look at one issue comes to, so far. GitHub is asked only for what a decision turns on."""

    def __init__(
        self,
        change: Change,
        snapshot: Snapshot,
        look: Look,
        *,
        ask: Enquiry,
        rules: Rules,
        explain: Callable[[Task], str],
        nonce: str,
        wall: float,
        undecided: frozenset[str] = frozenset(),
        patient: bool = False,
    ) -> None:
        self._change = change
        self.snapshot = snapshot
        self.look = look
        self.ask = ask
        self.rules = rules
        self.explain = explain
        self._nonce = nonce
        self.wall = wall
        #: Tasks of issues that are decided on the same snapshot.
        self.undecided = undecided
        #: Whether what GitHub does not tell yet may still be waited for.
        self._patient = patient
        self.id = layout.issue_task(look.number)
        key = layout.issue_key(look.number)
        stored = snapshot.get(key)
        self.stored = None if stored is None else IssueRecord.load(key, stored)
        self.record = self.stored or IssueRecord(number=look.number)
        self.before = load_task(snapshot, self.id)
        self.task = self.before
        self._notes: list[str] = []

    def wait(self) -> None:
        """What GitHub does not tell is waited for, as long as that is allowed."""
        if self._patient:
            raise NotYet

    def ours(self, task: Task) -> bool:
        """Whether a task was asked for by this issue."""
        source = task.source
        return source is not None and source.kind == "issue" and source.name == str(self.look.number)

    def expect(self, task_id: str) -> None:
        """Have all of it written only while that task is as it is now."""
        for key in (layout.task_key(task_id), layout.done_key(task_id)):
            if self._change.holds(key):
                self._change.expect(key)

    def become(self, task: Task) -> None:
        """Have the task be this one, once it is written."""
        self.task = task

    def note(self, text: str) -> None:
        """Tell the audit."""
        self._notes.append(text)

    def notice(self, text: str) -> None:
        """Tell the people on the issue."""
        self.record = self.record.noticed(rfc3339(self.wall), text)

    def refuse(self, text: str, *, approving: bool = False) -> None:
        """Say it on the issue, in the audit, and in the task's history where that has a word for it."""
        self.notice(text)
        self.note(f"refused on {self.id}: {text}")
        if approving and self.task is not None and self.task.state == "awaiting_approval":
            self.become(approval.refuse(self.task, wall=self.wall, why=one_line(text, MAX_NOTE)))

    def transaction(self) -> Transaction | None:
        """All of it, to be written at once; None when nothing changes."""
        if self.record == self.stored and self.task is self.before:
            return None
        issue = self.look.issue
        if issue is not None and earlier(self.record.updated_at, issue.updated_at):
            self.record = dataclasses.replace(self.record, updated_at=issue.updated_at)
        self._change.put(layout.issue_key(self.look.number), self.record)
        if self.task is not self.before and self.task is not None:
            write_task(self._change, self.task)
        key = layout.outbox_key(self.look.number)
        if not self._change.holds(key):
            label = None if issue is None or issue.state_labels else ""
            entry = OutboxEntry(number=self.look.number, nonce=self._nonce, label=label)
            self._change.put(key, entry)
        note = "; ".join(self._notes) or f"take note of issue {self.look.number}"
        return self._change.transaction(note)
