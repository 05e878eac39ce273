"""What one look at an issue comes to: a pure decision over what is stored and what GitHub shows.

Issue N becomes the task ``issue-N``: whoever decides this, and how often, the task is written once, for its
record expects that there was none. Everything that is decided of one issue in one look lands in one
transaction: the task, what is known of the issue, and the entry of the outbox from which the answer follows.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping

from sentinel.clock import from_rfc3339, rfc3339
from sentinel.errors import BadInput, NotFound
from sentinel.fleet.dependencies import failed_dependency
from sentinel.fleet.submission import Declared
from sentinel.fleet.tasks import write_task
from sentinel.fleet.view import load_task
from sentinel.github.block import draft, read_body
from sentinel.github.commands import Command, command
from sentinel.github.hub import UNTOLD, Comment, Enquiry, Issue, earlier
from sentinel.github.past import is_past
from sentinel.github.records import IssueRecord, OutboxEntry, digest
from sentinel.github.trust import Policy, Verdict, may_command, may_run, may_start
from sentinel.model import approval, layout
from sentinel.model import task as transitions
from sentinel.model.line import one_line
from sentinel.model.origin import Source, spec_hash
from sentinel.model.task import MAX_NOTE, WAITING, Task
from sentinel.store.base import Snapshot, Transaction
from sentinel.store.transact import Change

#: Commands that the author of an issue may give, who could close it just as well.
_AUTHORS: frozenset[str] = frozenset({"cancel", "why"})


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
    """One issue, in one snapshot. Asks GitHub for facts only where a decision turns on them."""

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
        self._snapshot = snapshot
        self._look = look
        self._ask = ask
        self._rules = rules
        self._explain = explain
        self._nonce = nonce
        self._wall = wall
        #: Tasks of issues that are decided on the same snapshot.
        self._undecided = undecided
        #: Whether what GitHub does not tell yet may still be waited for.
        self._patient = patient
        self._id = layout.issue_task(look.number)
        key = layout.issue_key(look.number)
        stored = snapshot.get(key)
        self._stored = None if stored is None else IssueRecord.load(key, stored)
        self._record = self._stored or IssueRecord(number=look.number)
        self._before = load_task(snapshot, self._id)
        self._task = self._before
        self._notes: list[str] = []

    def decide(self) -> Decision:
        """What to write. Raises `Later`, `NotYet`, `BadRecord` for what cannot be read, and store errors."""
        issue = self._look.issue
        if self._stored is None and (issue is None or not issue.labelled or not issue.open):
            return Decision(transaction=None)
        if self._stored is None and is_past(self._snapshot, self._look.number):
            return Decision(transaction=None)
        if issue is not None:
            if self._patient and earlier(issue.updated_at, self._record.updated_at):
                raise NotYet
            # What is closed, or has no label any more, asks for nothing new; it is judged when it asks again.
            asks = issue.open and issue.labelled
            if digest(issue.body) != self._record.body and (self._task is not None or asks):
                self._judge(issue)
            if issue.open != self._record.open:
                self._turned(issue)
                self._record = dataclasses.replace(
                    self._record, open=issue.open, closed_at=issue.closed_at or self._record.closed_at
                )
        again = self._heed_all()
        return Decision(transaction=self._transaction(), again=again)

    def refused(self, reason: str) -> Transaction | None:
        """What to write when the store does not take what was decided of a new issue; None for another."""
        issue = self._look.issue
        if self._stored is not None or self._task is not None or issue is None:
            return None
        self._known(issue)
        self._malformed(f"the store does not take it: {reason}")
        return self._transaction()

    # -- the text --------------------------------------------------------------------------------------

    def _judge(self, issue: Issue) -> None:
        """The body is new, or was edited."""
        self._known(issue)
        try:
            if self._task is not None and not self._ours(self._task):
                raise BadInput(f"the id {self._id} was given to another task already")
            wanted = self._draft(issue)
        except (BadInput, NotFound) as error:
            self._malformed(str(error))
            return
        self._record = dataclasses.replace(self._record, spec=spec_hash(wanted))
        if self._task is None:
            self._take_in(issue, wanted)
        elif self._record.spec == spec_hash(self._task):
            return
        elif self._task.state in WAITING and issue.open:
            why = "its issue was edited, and GitHub does not tell by whom"
            self._become(approval.respecify(self._task, wanted, wall=self._wall, why=why))
            self._note(f"void the approval of {self._id}: {why}")
        elif not self._task.ended:
            self._notice(
                "The issue was edited. What runs is what was approved; an edit counts from the next run on"
            )

    def _known(self, issue: Issue) -> None:
        author = issue.author
        self._record = dataclasses.replace(
            self._record,
            body=digest(issue.body),
            author=None if author is None else author.id,
            login=None if author is None else author.login,
            spec=None,
            problem=None,
        )

    def _malformed(self, problem: str) -> None:
        self._record = dataclasses.replace(self._record, problem=problem)
        self._note(f"refuse {self._id}: {problem}")
        if self._task is None or self._task.ended or not self._ours(self._task):
            return
        if self._task.state in WAITING:
            reason = "its issue was edited, and asks for nothing that can be run any more"
            self._become(transitions.cancel(self._task, wall=self._wall, reason=reason))
        else:
            self._notice("The issue was edited. What runs is what was approved")

    def _draft(self, issue: Issue) -> Task:
        wanted = draft(
            read_body(issue.body),
            task_id=self._id,
            created_at=rfc3339(self._wall),
            submitted_by=f"issue {issue.number}",
            types=self._rules.types,
            registered=self._rules.registered(self._snapshot),
            default_timeout=self._rules.timeout,
            default_retries=self._rules.retries,
        )
        for dependency in wanted.after:
            if load_task(self._snapshot, dependency) is None:
                if dependency in self._undecided:
                    raise Later
                raise NotFound(f"it is to run after {dependency}, and there is no such task")
        return wanted

    def _take_in(self, issue: Issue, wanted: Task) -> None:
        author = issue.author
        source = Source(
            kind="issue",
            name=str(issue.number),
            author=None if author is None else author.id,
            login=None if author is None else author.login,
        )
        verdict = self._may_start(issue)
        task = approval.take_in(wanted, source, wall=self._wall, why=None if verdict.allowed else verdict.why)
        if verdict.allowed and author is not None:
            task = approval.approve(
                task, by=author.login, by_id=author.id, wall=self._wall, note=f"{verdict.why}"
            )
            self._note(f"take in {self._id} of {author}")
        else:
            self._note(f"take in {self._id}, not approved: {verdict.why}")
        self._become(task)
        for dependency in wanted.after:
            for key in (layout.task_key(dependency), layout.done_key(dependency)):
                if self._change.holds(key):
                    self._change.expect(key)

    def _may_start(self, issue: Issue) -> Verdict:
        author = may_run(issue.author, self._ask.permission(issue.author), self._rules.policy)
        if not author.allowed:
            return author
        by = self._ask.labelled_by(issue)
        if by is UNTOLD:
            self._wait()
            return may_start(author, None)
        return may_start(author, may_run(by, self._ask.permission(by), self._rules.policy))

    def _wait(self) -> None:
        """What GitHub does not tell is waited for, as long as that is allowed."""
        if self._patient:
            raise NotYet

    def _ours(self, task: Task) -> bool:
        source = task.source
        return source is not None and source.kind == "issue" and source.name == str(self._look.number)

    # -- closing and opening ----------------------------------------------------------------------------

    def _turned(self, issue: Issue) -> None:
        """The issue was closed, or opened again, since it was looked at last."""
        task = self._task
        if task is None or not self._ours(task) or self._before is None:
            return
        if not issue.open:
            if not task.ended:
                self._become(transitions.cancel(task, wall=self._wall, reason="its issue was closed"))
                self._note(f"cancel {self._id}: its issue was closed")
            return
        record = self._record
        opening = self._ask.reopened_by(issue.number, after=record.reopened, closed_at=record.closed_at)
        if opening is UNTOLD:
            self._wait()
            why = "GitHub does not tell by whom; comment /retry"
            self._refuse(f"The issue was opened again, which starts nothing: {why}")
            return
        self._record = dataclasses.replace(record, reopened=opening.id)
        verdict = may_command(opening.by, self._ask.permission(opening.by), self._rules.policy)
        if verdict.allowed:
            self._again(f"{opening.by} opened the issue again")
        else:
            self._refuse(f"The issue was opened again, which starts nothing: {verdict.why}")

    # -- commands ---------------------------------------------------------------------------------------

    def _heed_all(self) -> bool:
        """Heed each new command; True when one has to wait until what was decided has landed."""
        if self._stored is None and self._task is not None:
            return any(command(comment.body) is not None for comment in self._look.comments)
        for comment in self._look.comments:
            wanted = command(comment.body)
            if wanted is None or self._record.has_heeded(comment.id):
                continue
            if self._task is not self._before:
                # One step of a task at a time: each of them is a record that others may have seen.
                return True
            self._record = self._record.heed(comment.id)
            self._heed(comment, wanted)
        return False

    def _heed(self, comment: Comment, wanted: Command) -> None:
        person = comment.author
        verdict = may_command(person, self._ask.permission(person), self._rules.policy)
        own = person is not None and person.id == self._record.author and wanted.name in _AUTHORS
        if not (verdict.allowed or own):
            self._refuse(f"{wanted} is refused: {verdict.why}", approving=wanted.name == "approve")
            return
        who = str(person)
        if self._task is None or not self._ours(self._task):
            self._notice(
                f"{wanted} by {who}: there is no task yet; {self._record.problem or 'none was asked for'}"
            )
            return
        match wanted.name:
            case "approve":
                self._approve(comment, wanted, who)
            case "cancel":
                self._cancel(self._task, who)
            case "retry":
                self._again(f"/retry by {who}")
            case "why":
                self._notice(f"/why by {who}: {self._explain(self._task)}")

    def _approve(self, comment: Comment, wanted: Command, who: str) -> None:
        task, person = self._task, comment.author
        assert task is not None
        assert person is not None
        if task.state != "awaiting_approval":
            self._notice(f"/approve by {who}: it is {task.state} and waits for no approval")
            return
        spec = spec_hash(task)
        if wanted.spec is not None and not spec.startswith(wanted.spec):
            self._refuse(
                f"/approve {wanted.spec[:12]} by {who} is not heeded: it is {spec[:12]} by now",
                approving=True,
            )
        elif wanted.spec != spec and not self._was_shown(spec, comment):
            # Whoever writes the issue can find two texts whose hashes begin alike; only all of it says which.
            self._refuse(
                f"/approve by {who} is not heeded: it was not written after this comment showed what is to "
                f"be run; read it again, and write /approve {spec}",
                approving=True,
            )
        else:
            self._become(approval.approve(task, by=person.login, by_id=person.id, wall=self._wall))
            self._note(f"approve {self._id} ({spec[:12]}) by {who}")

    def _was_shown(self, spec: str, comment: Comment) -> bool:
        """Whether our comment showed this specification before somebody wrote theirs, by GitHub's clock.

        That counts whole seconds, so what was written in the same one may have been written before.
        """
        key = layout.outbox_key(self._look.number)
        stored = self._snapshot.get(key)
        if stored is None:
            return False
        entry = OutboxEntry.load(key, stored)
        try:
            shown, written = (math.floor(from_rfc3339(at)) for at in (entry.shown_at, comment.created_at))
            return entry.shown == spec and shown < written
        except ValueError:
            return False

    def _cancel(self, task: Task, who: str) -> None:
        if task.ended or task.cancel_requested is not None:
            state = "being cancelled" if not task.ended else task.state
            self._notice(f"/cancel by {who}: it is {state} already")
            return
        self._become(transitions.cancel(task, wall=self._wall, reason=f"/cancel by {who}"))
        self._note(f"cancel {self._id}: /cancel by {who}")

    def _again(self, why: str) -> None:
        """A new run, of the same bytes while the text is the same, and else of what it asks for now."""
        task, issue = self._task, self._look.issue
        assert task is not None
        if task.state == "done":
            self._notice(f"{why}: the task is done, and done is final; open another issue")
        elif not task.ended:
            state = "being cancelled; ask again when it has ended" if task.cancel_requested else task.state
            self._notice(f"{why}: no new run, for it is {state}")
        elif self._record.problem is not None:
            self._notice(f"{why}: no new run, for the issue was edited: {self._record.problem}")
        elif self._record.spec == spec_hash(task):
            failed = failed_dependency(task, functools.partial(load_task, self._snapshot))
            if failed is not None:
                self._notice(
                    f"{why}: no new run, for it is to run after {failed.id}, which is {failed.state}; "
                    "retry that one first"
                )
                return
            self._become(transitions.retry(task, wall=self._wall, note=why))
            self._note(f"retry {self._id}: {why}")
        elif issue is not None:
            try:
                wanted = self._draft(issue)
            except (BadInput, NotFound) as error:
                self._notice(f"{why}: no new run: {error}")
                return
            self._become(approval.respecify(task, wanted, wall=self._wall, why=f"{why}, of an edited text"))
            self._note(f"retry {self._id} with an edited text, not approved: {why}")

    # -- the end ----------------------------------------------------------------------------------------

    def _become(self, task: Task) -> None:
        self._task = task

    def _note(self, text: str) -> None:
        self._notes.append(text)

    def _notice(self, text: str) -> None:
        self._record = self._record.noticed(rfc3339(self._wall), text)

    def _refuse(self, text: str, *, approving: bool = False) -> None:
        """Say it on the issue, in the audit, and in the task's history where that has a word for it."""
        self._notice(text)
        self._note(f"refused on {self._id}: {text}")
        if approving and self._task is not None and self._task.state == "awaiting_approval":
            self._become(approval.refuse(self._task, wall=self._wall, why=one_line(text, MAX_NOTE)))

    def _transaction(self) -> Transaction | None:
        if self._record == self._stored and self._task is self._before:
            return None
        issue = self._look.issue
        if issue is not None and earlier(self._record.updated_at, issue.updated_at):
            self._record = dataclasses.replace(self._record, updated_at=issue.updated_at)
        self._change.put(layout.issue_key(self._look.number), self._record)
        if self._task is not self._before and self._task is not None:
            write_task(self._change, self._task)
        key = layout.outbox_key(self._look.number)
        if not self._change.holds(key):
            label = None if issue is None or issue.state_labels else ""
            entry = OutboxEntry(number=self._look.number, nonce=self._nonce, label=label)
            self._change.put(key, entry)
        note = "; ".join(self._notes) or f"take note of issue {self._look.number}"
        return self._change.transaction(note)
