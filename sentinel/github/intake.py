"""What one look at an issue comes to: a pure decision over what is stored and what GitHub shows.

Issue N becomes the task ``issue-N``: whoever decides this, and how often, the task is written once, for its
record expects that there was none. Everything that is decided of one issue in one look lands in one
transaction: the task, what is known of the issue, and the entry of the outbox from which the answer follows.
"""

from __future__ import annotations

import dataclasses

from sentinel.clock import rfc3339
from sentinel.errors import BadInput, NotFound
from sentinel.fleet.view import load_task
from sentinel.github.block import draft, read_body
from sentinel.github.case import Case, Decision, Later
from sentinel.github.heeding import Heeding
from sentinel.github.hub import UNTOLD, Issue, earlier
from sentinel.github.past import is_past
from sentinel.github.records import digest
from sentinel.github.trust import Verdict, may_run, may_start
from sentinel.model import approval
from sentinel.model import task as transitions
from sentinel.model.origin import Source, spec_hash
from sentinel.model.task import WAITING, Task
from sentinel.store.base import Transaction


class Intake:
    """Decides one case: the text of the issue, whether it is open, and the commands in its comments."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._heeding = Heeding(case, self._draft)

    def decide(self) -> Decision:
        """What to write. Raises `Later`, `NotYet`, `BadRecord` for what cannot be read, and store errors."""
        issue = self._case.look.issue
        if self._case.stored is None and (issue is None or not issue.labelled or not issue.open):
            return Decision(transaction=None)
        if self._case.stored is None and is_past(self._case.snapshot, self._case.look.number):
            return Decision(transaction=None)
        if issue is not None:
            if earlier(issue.updated_at, self._case.record.updated_at):
                self._case.wait()
            # What is closed, or has no label any more, asks for nothing new; it is judged when it asks again.
            asks = issue.open and issue.labelled
            if digest(issue.body) != self._case.record.body and (self._case.task is not None or asks):
                self._judge(issue)
            if issue.open != self._case.record.open:
                self._heeding.turned(issue)
                self._case.record = dataclasses.replace(
                    self._case.record,
                    open=issue.open,
                    closed_at=issue.closed_at or self._case.record.closed_at,
                )
        again = self._heeding.heed_all()
        return Decision(transaction=self._case.transaction(), again=again)

    def refused(self, reason: str) -> Transaction | None:
        """What to write when the store does not take what was decided of a new issue; None for another."""
        issue = self._case.look.issue
        if self._case.stored is not None or self._case.task is not None or issue is None:
            return None
        self._known(issue)
        self._malformed(f"the store does not take it: {reason}")
        return self._case.transaction()

    # -- the text --------------------------------------------------------------------------------------

    def _judge(self, issue: Issue) -> None:
        """The body is new, or was edited."""
        self._known(issue)
        try:
            if self._case.task is not None and not self._case.ours(self._case.task):
                raise BadInput(f"the id {self._case.id} was given to another task already")
            wanted = self._draft(issue)
        except (BadInput, NotFound) as error:
            self._malformed(str(error))
            return
        self._case.record = dataclasses.replace(self._case.record, spec=spec_hash(wanted))
        if self._case.task is None:
            self._take_in(issue, wanted)
        elif self._case.record.spec == spec_hash(self._case.task):
            return
        elif self._case.task.state in WAITING and issue.open:
            why = "its issue was edited, and GitHub does not tell by whom"
            self._case.become(approval.respecify(self._case.task, wanted, wall=self._case.wall, why=why))
            self._case.note(f"void the approval of {self._case.id}: {why}")
        elif not self._case.task.ended:
            self._case.notice(
                "The issue was edited. What runs is what was approved; an edit counts from the next run on"
            )

    def _known(self, issue: Issue) -> None:
        author = issue.author
        self._case.record = dataclasses.replace(
            self._case.record,
            body=digest(issue.body),
            author=None if author is None else author.id,
            login=None if author is None else author.login,
            spec=None,
            problem=None,
        )

    def _malformed(self, problem: str) -> None:
        self._case.record = dataclasses.replace(self._case.record, problem=problem)
        self._case.note(f"refuse {self._case.id}: {problem}")
        if self._case.task is None or self._case.task.ended or not self._case.ours(self._case.task):
            return
        if self._case.task.state in WAITING:
            reason = "its issue was edited, and asks for nothing that can be run any more"
            self._case.become(transitions.cancel(self._case.task, wall=self._case.wall, reason=reason))
        else:
            self._case.notice("The issue was edited. What runs is what was approved")

    def _draft(self, issue: Issue) -> Task:
        wanted = draft(
            read_body(issue.body),
            task_id=self._case.id,
            created_at=rfc3339(self._case.wall),
            submitted_by=f"issue {issue.number}",
            types=self._case.rules.types,
            registered=self._case.rules.registered(self._case.snapshot),
            default_timeout=self._case.rules.timeout,
            default_retries=self._case.rules.retries,
        )
        for dependency in wanted.after:
            if load_task(self._case.snapshot, dependency) is None:
                if dependency in self._case.undecided:
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
        task = approval.take_in(
            wanted, source, wall=self._case.wall, why=None if verdict.allowed else verdict.why
        )
        if verdict.allowed and author is not None:
            task = approval.approve(
                task, by=author.login, by_id=author.id, wall=self._case.wall, note=f"{verdict.why}"
            )
            self._case.note(f"take in {self._case.id} of {author}")
        else:
            self._case.note(f"take in {self._case.id}, not approved: {verdict.why}")
        self._case.become(task)
        for dependency in wanted.after:
            self._case.expect(dependency)

    def _may_start(self, issue: Issue) -> Verdict:
        author = may_run(issue.author, self._case.ask.permission(issue.author), self._case.rules.policy)
        if not author.allowed:
            return author
        by = self._case.ask.labelled_by(issue)
        if by is UNTOLD:
            self._case.wait()
            return may_start(author, None)
        return may_start(author, may_run(by, self._case.ask.permission(by), self._case.rules.policy))
