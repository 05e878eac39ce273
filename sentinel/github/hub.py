"""What is asked of GitHub here, and how its answers read: issues, comments, people, events.

`Hub` is the part of `sentinel.github.api.Api` that issues need, so that tests can stand in for it. What comes
back was written by anybody: each value is read by type, and what is not as documented counts as absent.
"""

from __future__ import annotations

import dataclasses
import enum
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, Protocol

from sentinel.clock import from_rfc3339
from sentinel.github.errors import Declined, Missing, Unauthorised
from sentinel.github.trust import Person, permission_of, person_of

#: The label that makes an issue a request.
LABEL = "sentinel"
#: What the labels of states begin with.
STATE_LABEL = "sentinel:"
#: Events of an issue that are read; of one with more it is not told who did what.
_MOST_EVENTS = 2_000


class Untold(enum.Enum):
    """Stands where GitHub does not tell who did what is to be seen: it tells of events late."""

    UNTOLD = "untold"


UNTOLD: Final = Untold.UNTOLD


class Answer(Protocol):
    """GitHub's answer, as `sentinel.github.api.Reply`."""

    @property
    def body(self) -> Any: ...


class Hub(Protocol):
    """Reads and mutations; both raise as `sentinel.github.api.Api` does."""

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Answer: ...

    def pages(self, path: str, params: Mapping[str, str | int] | None = None) -> Iterator[Any]: ...

    def send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, content: bool = False
    ) -> Answer: ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """An issue as GitHub showed it."""

    number: int
    author: Person | None
    body: str
    open: bool
    labels: frozenset[str]
    created_at: str
    updated_at: str
    #: When it was closed; empty while it is open.
    closed_at: str = ""

    @property
    def labelled(self) -> bool:
        """Whether it asks to be taken for a task."""
        return LABEL in self.labels

    @property
    def state_labels(self) -> frozenset[str]:
        """The states that its labels tell of."""
        return frozenset(
            name.removeprefix(STATE_LABEL) for name in self.labels if name.startswith(STATE_LABEL)
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """A comment on an issue as GitHub showed it."""

    id: int
    issue: int
    author: Person | None
    body: str
    created_at: str
    updated_at: str


def issue_of(raw: object) -> Issue | None:
    """The issue in GitHub's JSON; None for a pull request, and for what is no issue."""
    if not isinstance(raw, Mapping) or type(raw.get("number")) is not int or raw.get("pull_request"):
        return None
    if raw.get("state") not in ("open", "closed"):
        # Taken for closed, it would be cancelled.
        return None
    labels = raw.get("labels")
    names = [
        item.get("name") if isinstance(item, Mapping) else item
        for item in (labels if isinstance(labels, list) else [])
    ]
    return Issue(
        number=raw["number"],
        author=person_of(raw.get("user")),
        body=_text(raw.get("body")),
        open=raw.get("state") == "open",
        # GitHub tells labels apart without regard to case.
        labels=frozenset(name.lower() for name in names if isinstance(name, str)),
        created_at=_text(raw.get("created_at")),
        updated_at=_text(raw.get("updated_at")),
        closed_at=_text(raw.get("closed_at")),
    )


def comment_of(raw: object) -> Comment | None:
    """The comment in GitHub's JSON; None for what is no comment on an issue."""
    if not isinstance(raw, Mapping) or type(raw.get("id")) is not int:
        return None
    number = _text(raw.get("issue_url")).rpartition("/")[2]
    if not (number.isascii() and number.isdigit() and len(number) < 16):
        return None
    return Comment(
        id=raw["id"],
        issue=int(number),
        author=person_of(raw.get("user")),
        body=_text(raw.get("body")),
        created_at=_text(raw.get("created_at")),
        updated_at=_text(raw.get("updated_at")),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


@dataclasses.dataclass(frozen=True, slots=True)
class Reopening:
    """An event in which an issue was opened again."""

    id: int
    #: None for an account that is gone.
    by: Person | None


class Enquiry:
    """Facts of one look, each asked for once. All raise store errors when GitHub cannot be asked."""

    def __init__(self, hub: Hub, repository: str) -> None:
        self._hub = hub
        self._path = repository
        self._permissions: dict[int, str] = {}
        self._events: dict[int, list[Mapping[str, Any]]] = {}

    def permission(self, person: Person | None) -> str:
        """What a person may do in the repository now; ``none`` for one who has nothing to do with it."""
        if person is None or person.bot:
            return "none"
        if person.id not in self._permissions:
            try:
                answer = self._hub.get(f"{self._path}/collaborators/{_quoted(person.login)}/permission")
                self._permissions[person.id] = permission_of(answer.body, person)
            except Missing:
                self._permissions[person.id] = "none"
            except Unauthorised as error:
                if error.status != 403:
                    raise
                # Nobody's issue is to keep those from being read that are by people on the list.
                self._permissions[person.id] = "unknown (these credentials may not ask for it)"
        return self._permissions[person.id]

    def labelled_by(self, issue: Issue) -> Person | Literal[Untold.UNTOLD] | None:
        """Who put our label on an issue that has it; None when that account is gone.

        `UNTOLD` while the events do not end in that: those of labels that an issue was opened with are told
        of, too, but as everything else they are told of late.
        """
        for event in reversed(self._of(issue.number)):
            label = event.get("label")
            name = label.get("name") if isinstance(label, Mapping) else None
            # GitHub tells labels apart without regard to case.
            if not isinstance(name, str) or name.lower() != LABEL:
                continue
            if event.get("event") == "labeled":
                return person_of(event.get("actor"))
            if event.get("event") == "unlabeled":
                break
        return UNTOLD

    def reopened_by(self, number: int, *, after: int, closed_at: str) -> Reopening | Literal[Untold.UNTOLD]:
        """Who opened an issue again that is open.

        It is an event past the one numbered ``after``, which was heeded, and no earlier than ``closed_at``,
        when the issue was seen closed last. `UNTOLD` while the events do not end in such a one.
        """
        for event in reversed(self._of(number)):
            if event.get("event") == "closed":
                break
            if event.get("event") == "reopened":
                at, found = _text(event.get("created_at")), event.get("id")
                if type(found) is int and found > after and not earlier(at, closed_at):
                    return Reopening(found, person_of(event.get("actor")))
                break
        return UNTOLD

    def issue(self, number: int) -> Issue | None:
        """An issue by its number; None when it is gone, or moved to another repository."""
        try:
            found = issue_of(self._hub.get(f"{self._path}/issues/{number}").body)
        except Missing:
            return None
        # GitHub leads on to where an issue was moved, which is another one.
        return found if found is not None and found.number == number else None

    def _of(self, number: int) -> list[Mapping[str, Any]]:
        if number not in self._events:
            listed = self._hub.pages(f"{self._path}/issues/{number}/events")
            events = list(itertools.islice(listed, _MOST_EVENTS + 1))
            # The newest are the last; without them, all others say nothing.
            told = events if len(events) <= _MOST_EVENTS else []
            self._events[number] = [event for event in told if isinstance(event, Mapping)]
        return self._events[number]


def earlier(stamp: str, other: str) -> bool:
    """Whether one time of GitHub's is before another; what is no time is before every one that is."""
    try:
        moment = from_rfc3339(other)
    except ValueError:
        return False
    try:
        return from_rfc3339(stamp) < moment
    except ValueError:
        return True


def myself(hub: Hub) -> int | None:
    """The number of the account that our credentials are of; None for an App, which cannot ask."""
    try:
        person = person_of(hub.get("user").body)
    except (Missing, Unauthorised, Declined):
        return None
    return None if person is None else person.id


def _quoted(login: str) -> str:
    return "".join(char for char in login if char.isascii() and (char.isalnum() or char in "-_")) or "-"
