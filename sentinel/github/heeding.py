"""What people do to an issue whose task is there: they close it, open it again, and write commands."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable

from sentinel.clock import from_rfc3339
from sentinel.errors import BadInput, NotFound
from sentinel.fleet.dependencies import failed_dependency
from sentinel.fleet.view import load_task
from sentinel.github.case import Case
from sentinel.github.commands import Command, command
from sentinel.github.hub import UNTOLD, Comment, Issue
from sentinel.github.records import OutboxEntry
from sentinel.github.trust import may_command
from sentinel.model import approval, layout
from sentinel.model import task as transitions
from sentinel.model.origin import spec_hash
from sentinel.model.task import Task

#: Commands that the author of an issue may give, who could close it just as well.
_AUTHORS: frozenset[str] = frozenset({"cancel", "why"})


class Heeding:
    """Heeds what was done to one issue since the last look; ``draft`` gives what its text asks for now."""

    def __init__(self, case: Case, draft: Callable[[Issue], Task]) -> None:
        self._case = case
        self._draft = draft

    def turned(self, issue: Issue) -> None:
        """The issue was closed, or opened again, since it was looked at last."""
        task = self._case.task
        if task is None or not self._case.ours(task) or self._case.before is None:
            return
        if not issue.open:
            if not task.ended:
                self._case.become(
                    transitions.cancel(task, wall=self._case.wall, reason="its issue was closed")
                )
                self._case.note(f"cancel {self._case.id}: its issue was closed")
            return
        record = self._case.record
        opening = self._case.ask.reopened_by(issue.number, after=record.reopened, closed_at=record.closed_at)
        if opening is UNTOLD:
            self._case.wait()
            why = "GitHub does not tell by whom; comment /retry"
            self._case.refuse(f"The issue was opened again, which starts nothing: {why}")
            return
        self._case.record = dataclasses.replace(record, reopened=opening.id)
        verdict = may_command(opening.by, self._case.ask.permission(opening.by), self._case.rules.policy)
        if verdict.allowed:
            self._again(f"{opening.by} opened the issue again")
        else:
            self._case.refuse(f"The issue was opened again, which starts nothing: {verdict.why}")

    def heed_all(self) -> bool:
        """Heed each new command; True when one has to wait until what was decided has landed."""
        if self._case.stored is None and self._case.task is not None:
            return any(command(comment.body) is not None for comment in self._case.look.comments)
        for comment in self._case.look.comments:
            wanted = command(comment.body)
            if wanted is None or self._case.record.has_heeded(comment.id):
                continue
            if self._case.task is not self._case.before:
                # One step of a task at a time: each of them is a record that others may have seen.
                return True
            self._case.record = self._case.record.heed(comment.id)
            self._heed(comment, wanted)
        return False

    def _heed(self, comment: Comment, wanted: Command) -> None:
        person = comment.author
        verdict = may_command(person, self._case.ask.permission(person), self._case.rules.policy)
        own = person is not None and person.id == self._case.record.author and wanted.name in _AUTHORS
        if not (verdict.allowed or own):
            self._case.refuse(f"{wanted} is refused: {verdict.why}", approving=wanted.name == "approve")
            return
        who = str(person)
        if self._case.task is None or not self._case.ours(self._case.task):
            self._case.notice(
                f"{wanted} by {who}: there is no task yet; "
                f"{self._case.record.problem or 'none was asked for'}"
            )
            return
        match wanted.name:
            case "approve":
                self._approve(comment, wanted, who)
            case "cancel":
                self._cancel(self._case.task, who)
            case "retry":
                self._again(f"/retry by {who}")
            case "why":
                self._case.notice(f"/why by {who}: {self._case.explain(self._case.task)}")

    def _approve(self, comment: Comment, wanted: Command, who: str) -> None:
        task, person = self._case.task, comment.author
        assert task is not None
        assert person is not None
        if task.state != "awaiting_approval":
            self._case.notice(f"/approve by {who}: it is {task.state} and waits for no approval")
            return
        spec = spec_hash(task)
        if wanted.spec is not None and not spec.startswith(wanted.spec):
            self._case.refuse(
                f"/approve {wanted.spec[:12]} by {who} is not heeded: it is {spec[:12]} by now",
                approving=True,
            )
        elif wanted.spec != spec and not self._was_shown(spec, comment):
            # Whoever writes the issue can find two texts whose hashes begin alike; only all of it says which.
            self._case.refuse(
                f"/approve by {who} is not heeded: it was not written after this comment showed what is to "
                f"be run; read it again, and write /approve {spec}",
                approving=True,
            )
        else:
            self._case.become(approval.approve(task, by=person.login, by_id=person.id, wall=self._case.wall))
            self._case.note(f"approve {self._case.id} ({spec[:12]}) by {who}")

    def _was_shown(self, spec: str, comment: Comment) -> bool:
        """Whether our comment showed this specification before somebody wrote theirs, by GitHub's clock.

        That counts whole seconds, so what was written in the same one may have been written before.
        """
        key = layout.outbox_key(self._case.look.number)
        stored = self._case.snapshot.get(key)
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
            self._case.notice(f"/cancel by {who}: it is {state} already")
            return
        self._case.become(transitions.cancel(task, wall=self._case.wall, reason=f"/cancel by {who}"))
        self._case.note(f"cancel {self._case.id}: /cancel by {who}")

    def _again(self, why: str) -> None:
        """A new run, of the same bytes while the text is the same, and else of what it asks for now."""
        task, issue = self._case.task, self._case.look.issue
        assert task is not None
        if task.state == "done":
            self._case.notice(f"{why}: the task is done, and done is final; open another issue")
        elif not task.ended:
            state = "being cancelled; ask again when it has ended" if task.cancel_requested else task.state
            self._case.notice(f"{why}: no new run, for it is {state}")
        elif self._case.record.problem is not None:
            self._case.notice(f"{why}: no new run, for the issue was edited: {self._case.record.problem}")
        elif self._case.record.spec == spec_hash(task):
            failed = failed_dependency(task, functools.partial(load_task, self._case.snapshot))
            if failed is not None:
                self._case.notice(
                    f"{why}: no new run, for it is to run after {failed.id}, which is {failed.state}; "
                    "retry that one first"
                )
                return
            self._case.become(transitions.retry(task, wall=self._case.wall, note=why))
            self._case.note(f"retry {self._case.id}: {why}")
        elif issue is not None:
            try:
                wanted = self._draft(issue)
            except (BadInput, NotFound) as error:
                self._case.notice(f"{why}: no new run: {error}")
                return
            self._case.become(
                approval.respecify(task, wanted, wall=self._case.wall, why=f"{why}, of an edited text")
            )
            self._case.note(f"retry {self._case.id} with an edited text, not approved: {why}")
