"""Makes GitHub show what is stored: one comment an issue, edited; one label of its state; closed when done.

A projection, and never a source: whatever is missing or wrong out there is made right from what is stored,
and nothing out there decides anything. A comment is looked for by its marker before one is written, so a peer
that died between writing and taking note leaves no second one. What happened between two passes is said once.
"""

from __future__ import annotations

import dataclasses
import logging
from urllib.parse import quote

from sentinel.errors import OutcomeUnknown, Rejected
from sentinel.fleet.view import load_task
from sentinel.github.comment import LABELS, Material, compose, shown_whole
from sentinel.github.errors import Missing
from sentinel.github.hub import STATE_LABEL, Comment, Hub, comment_of
from sentinel.github.outbox import Recognition, versions
from sentinel.github.records import IssueRecord, OutboxEntry, digest
from sentinel.model import layout
from sentinel.model.origin import spec_hash
from sentinel.model.task import Task
from sentinel.store.base import Snapshot

log = logging.getLogger(__name__)


class Mirror:
    """One issue, made to show what a snapshot holds of it."""

    def __init__(self, hub: Hub, repository: str, recognition: Recognition, entry: OutboxEntry) -> None:
        self._hub = hub
        self._path = repository
        self._recognition = recognition
        #: What is known to be out; kept up to date by every step, so that it also holds after an error.
        self.entry = entry

    def show(self, snapshot: Snapshot, record: IssueRecord, task: Task | None, material: Material) -> None:
        """Say what is to be said, put up the label, close the issue. Raises store errors."""
        body = compose(self.entry.marker, record, task, material)
        spec = ""
        if task is not None and task.state == "awaiting_approval" and shown_whole(task, material.redactor):
            spec = spec_hash(task)
        try:
            self._say(body, spec)
            self._put_label("" if task is None else LABELS.get(task.state, ""))
            if task is not None and task.state == "done":
                self._close(task, record)
        except (Missing, Rejected) as error:
            # The issue is gone, moved or locked; nothing changes that until something changes here.
            log.warning("issue %d: %s", self.entry.number, error)
            self._become(label=self.entry.label or "")
        self._become(settled=versions(snapshot, self.entry.number))

    def _say(self, body: str, spec: str) -> None:
        entry = self.entry
        if entry.comment is None:
            found = self._find()
            if found is not None:
                self._become(comment=found.id, author=None if found.author is None else found.author.id)
        if self.entry.comment is not None and self.entry.said == digest(body):
            return
        stamp = None
        if self.entry.comment is not None:
            stamp = self._edit(self.entry.comment, body)
        if stamp is None:
            stamp = self._write(body)
        shown_at = entry.shown_at if spec and spec == entry.shown and entry.shown_at else stamp
        self._become(said=digest(body), shown=spec, shown_at=shown_at if spec else "")

    def _edit(self, number: int, body: str) -> str | None:
        """When our comment said so, by GitHub's clock; None when somebody has deleted it."""
        try:
            answer = self._hub.send("PATCH", f"{self._path}/issues/comments/{number}", {"body": body})
        except OutcomeUnknown:
            # It says the one or the other; what it says is written again at the next pass, and until then
            # nobody can be taken to have read the one.
            self._become(said="", shown="", shown_at="")
            raise
        except Missing:
            self._become(comment=None, said="", shown="", shown_at="")
            return None
        return _stamp(answer.body)

    def _write(self, body: str) -> str:
        path = f"{self._path}/issues/{self.entry.number}/comments"
        answer = self._hub.send("POST", path, {"body": body}, content=True)
        made = answer.body if isinstance(answer.body, dict) else {}
        user = made.get("user")
        author = user.get("id") if isinstance(user, dict) else None
        self._become(comment=made.get("id"), author=author)
        return _stamp(answer.body)

    def _find(self) -> Comment | None:
        found = [
            comment
            for raw in self._hub.pages(f"{self._path}/issues/{self.entry.number}/comments")
            if (comment := comment_of(raw)) is not None and self._recognition.ours(self.entry, comment)
        ]
        return min(found, key=lambda comment: comment.id, default=None)

    def _put_label(self, wanted: str) -> None:
        entry = self.entry
        if entry.label == wanted:
            return
        path = f"{self._path}/issues/{entry.number}/labels"
        there = {entry.label} if entry.label else set()
        if entry.label is None:
            names = [item.get("name") for item in self._hub.pages(path) if isinstance(item, dict)]
            there = {
                name.removeprefix(STATE_LABEL)
                for name in names
                if isinstance(name, str) and name.startswith(STATE_LABEL)
            }
        self._become(label=None)
        if wanted and wanted not in there:
            # One by one: a list that is set as a whole takes away what people add meanwhile.
            self._hub.send("POST", path, {"labels": [STATE_LABEL + wanted]})
        for name in sorted(there - {wanted}):
            try:
                self._hub.send("DELETE", f"{path}/{quote(STATE_LABEL + name, safe='')}")
            except Missing:
                continue
        self._become(label=wanted)

    def _close(self, task: Task, record: IssueRecord) -> None:
        if self.entry.closed >= task.run:
            return
        if record.open:
            body = {"state": "closed", "state_reason": "completed"}
            self._hub.send("PATCH", f"{self._path}/issues/{task.id.removeprefix('issue-')}", body)
        self._become(closed=task.run)

    def _become(self, **changes: object) -> None:
        self.entry = dataclasses.replace(self.entry, **changes)  # type: ignore[arg-type]  # by name


def records_of(snapshot: Snapshot, number: int) -> tuple[IssueRecord, Task | None]:
    """What is stored of an issue: its record, and its task if it has one. Raises `BadRecord`."""
    key = layout.issue_key(number)
    document = snapshot.get(key)
    record = IssueRecord(number=number) if document is None else IssueRecord.load(key, document)
    task = load_task(snapshot, layout.issue_task(number))
    if task is not None and (task.source is None or task.source.name != str(number)):
        task = None
    return record, task


def _stamp(answer: object) -> str:
    stamp = answer.get("updated_at") if isinstance(answer, dict) else None
    return stamp if isinstance(stamp, str) else ""
