"""What is still to be said on GitHub, and comments of ours that stand there twice.

There is no list of messages: an entry of the outbox says what is out, and what should be out follows from the
records. An entry is due while the two may differ. A late reply can still make a second comment; each shows up
in the list of new comments, and then the lowest number stays, whoever removes the other.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import re
from collections.abc import Iterable

from sentinel.errors import BadRecord
from sentinel.github.errors import Missing
from sentinel.github.hub import Comment, Enquiry, Hub, Issue
from sentinel.github.records import OutboxEntry, digest
from sentinel.github.trust import Policy, may_run
from sentinel.model import layout
from sentinel.store.base import ABSENT, Snapshot

log = logging.getLogger(__name__)

_MARKER = re.compile(r"<!-- sentinel issue-(?P<number>[0-9]{1,15}) (?P<nonce>[0-9a-f]{32}) -->")


def marked(body: str) -> tuple[int, str] | None:
    """Issue and nonce of a comment that begins like one of ours."""
    found = _MARKER.match(body)
    return None if found is None else (int(found["number"]), found["nonce"])


def versions(snapshot: Snapshot, number: int) -> str:
    """Names the state of all that the comment on an issue is made of."""
    task = layout.issue_task(number)
    keys = (layout.task_key(task), layout.done_key(task), layout.issue_key(number))
    found = [snapshot.version(key) for key in keys]
    text = " ".join("-" if version is ABSENT else str(version) for version in found)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Recognition:
    """Tells comments of the fleet from those of others who copied a marker."""

    def __init__(self, hub: Hub, repository: str, me: int | None) -> None:
        self._hub = hub
        self._path = repository
        self._me = me

    def ours(self, entry: OutboxEntry, comment: Comment) -> bool:
        """Whether it has the marker of ``entry``, and is by an account that may write here. Asks GitHub."""
        if marked(comment.body) != (entry.number, entry.nonce) or comment.issue != entry.number:
            return False
        author = comment.author
        if author is None:
            return False
        if author.id in (entry.author, self._me) or (self._me is None and author.bot):
            return True
        # Another peer may have another account.
        ask = Enquiry(self._hub, self._path)
        return may_run(author, ask.permission(author), Policy()).allowed


@dataclasses.dataclass(frozen=True, slots=True)
class Amiss:
    """An entry on whose issue something stands that should not, and the comment that may be a double."""

    entry: OutboxEntry
    other: Comment | None = None


class Notes:
    """Entries that are newer than the store's, until a commit takes them along.

    Where pushes are counted, not each thing said is one. What is lost of these is found again by its marker.
    """

    def __init__(self) -> None:
        self._kept: dict[int, OutboxEntry] = {}
        #: Those for which no commit needs to be made.
        self._patient: set[int] = set()

    def keep(self, entries: Iterable[OutboxEntry], *, patient: bool = False) -> None:
        """These are the newest; each has the revision of the stored one that it follows.

        ``patient`` ones wait for a commit that is made for something else: all that is lost with them is how
        far a running task was.
        """
        for entry in entries:
            if not patient:
                self._patient.discard(entry.number)
            elif entry.number not in self._kept:
                self._patient.add(entry.number)
            self._kept[entry.number] = entry

    @property
    def pressing(self) -> bool:
        """Whether any of them is worth a commit of its own."""
        return bool(self._kept.keys() - self._patient)

    def newest(self, stored: OutboxEntry) -> OutboxEntry:
        """The entry that follows the stored one, or that itself where somebody else has written it since."""
        kept = self._kept.get(stored.number)
        return kept if kept is not None and kept.rev == stored.rev else stored

    def unstored(self, snapshot: Snapshot) -> list[OutboxEntry]:
        """What the store has not; entries that do not follow what it has are forgotten."""
        for number in list(self._kept):
            stored = load_entry(snapshot, layout.outbox_key(number))
            if stored is None or stored.rev != self._kept[number].rev:
                del self._kept[number]
                self._patient.discard(number)
        return [self._kept[number] for number in sorted(self._kept)]

    def clear(self) -> None:
        """Forget everything: somebody else says things now."""
        self._kept.clear()
        self._patient.clear()


class Outbox:
    """The entries in the store, each version of one read once, with the notes that follow them."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._entries: dict[str, tuple[str, OutboxEntry]] = {}
        #: What was found instead of our words, once each: should GitHub keep them in other words than we
        #: sent, they are not sent again and again.
        self._otherwise: set[tuple[int, str]] = set()

    def due(self, snapshot: Snapshot) -> list[OutboxEntry]:
        """Entries of issues on which something else stands, or may stand, than what is stored."""
        return [
            entry
            for entry in self.newest(snapshot)
            if entry.label is None or entry.settled != versions(snapshot, entry.number)
        ]

    def amiss(self, snapshot: Snapshot, issues: Iterable[Issue], comments: Iterable[Comment]) -> list[Amiss]:
        """What of a look differs from what the entries say is out. Pure but for what it remembers."""
        entries: dict[int, OutboxEntry] = {}
        others: list[Amiss] = []
        for issue in issues:
            entry = self._load(snapshot, issue.number)
            expected = frozenset() if entry is None or not entry.label else frozenset({entry.label})
            if entry is not None and entry.label is not None and issue.state_labels != expected:
                entries[issue.number] = dataclasses.replace(entry, label=None)
        for comment in comments:
            named = marked(comment.body)
            if named is None or named[0] != comment.issue:
                continue
            entry = entries.get(named[0]) or self._load(snapshot, named[0])
            if entry is None or entry.nonce != named[1]:
                continue
            if comment.id != entry.comment:
                others.append(Amiss(entry, comment))
            elif self._says_otherwise(entry, comment):
                unsaid = dataclasses.replace(entry, said="", shown="", shown_at="", settled="")
                entries[entry.number] = unsaid
        return [*(Amiss(entry) for entry in entries.values()), *others]

    def _says_otherwise(self, entry: OutboxEntry, comment: Comment) -> bool:
        found = digest(comment.body)
        if not entry.said or found == entry.said or (entry.number, found) in self._otherwise:
            return False
        self._otherwise.add((entry.number, found))
        return True

    def newest(self, snapshot: Snapshot) -> list[OutboxEntry]:
        """All entries, as they are known now."""
        known: dict[str, tuple[str, OutboxEntry]] = {}
        for key in snapshot.list(layout.OUTBOX):
            version = snapshot.version(key)
            if version is ABSENT:
                continue
            before = self._entries.get(key)
            if before is not None and before[0] == version:
                known[key] = before
                continue
            entry = load_entry(snapshot, key)
            if entry is not None:
                known[key] = (version, entry)
        self._entries = known
        return [self._notes.newest(entry) for _, entry in known.values()]

    def _load(self, snapshot: Snapshot, number: int) -> OutboxEntry | None:
        stored = load_entry(snapshot, layout.outbox_key(number))
        return None if stored is None else self._notes.newest(stored)


def load_entry(snapshot: Snapshot, key: str) -> OutboxEntry | None:
    """The entry at ``key``; None when there is none, or none that can be read."""
    try:
        document = snapshot.get(key)
        return None if document is None else OutboxEntry.load(key, document)
    except BadRecord as problem:
        log.warning("%s", problem)
        return None


def without_doubles(
    hub: Hub, repository: str, recognition: Recognition, found: Iterable[Amiss]
) -> list[OutboxEntry]:
    """Remove comments of ours that stand there twice; the entries that are to be kept after this.

    The lowest number stays. Raises store errors when GitHub cannot be reached, and is then called again.
    """
    entries: dict[int, OutboxEntry] = {}
    changed: set[int] = set()
    for item in found:
        entry = entries.setdefault(item.entry.number, item.entry)
        if item.other is None:
            changed.add(entry.number)
            continue
        if not recognition.ours(entry, item.other):
            continue
        stays = item.other.id
        if entry.comment is not None:
            stays, goes = sorted((entry.comment, item.other.id))
            try:
                hub.send("DELETE", f"{repository}/issues/comments/{goes}")
                log.warning("issue %d had our comment twice; %d is removed", entry.number, goes)
            except Missing:
                # Somebody removed it already, and the list showed it late; so nothing is known of the other.
                stays = entry.comment
        if stays != entry.comment:
            entries[entry.number] = dataclasses.replace(entry, comment=stays, said="", settled="")
            changed.add(entry.number)
    return [entries[number] for number in sorted(changed)]
