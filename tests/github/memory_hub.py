"""GitHub's issues in memory, for tests of what is decided about them: quick, and wrong on demand.

It knows nothing of tokens, limits or pages; those are the client's, and tested on the emulator. Its time is a
counter that every change moves, in GitHub's own format.
"""

from __future__ import annotations

import base64
import copy
import dataclasses
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from sentinel.clock import rfc3339
from sentinel.errors import OutcomeUnknown, StoreError
from sentinel.github.errors import Declined, Missing, Unauthorised

REPOSITORY = "repos/acme/fleet"
#: Login → number and permission.
PEOPLE: Mapping[str, tuple[int, str]] = {
    "acme": (1, "admin"),
    "robot": (2, "write"),
    "alice": (3, "write"),
    "triager": (4, "triage"),
    "reader": (5, "read"),
    "mallory": (6, "none"),
    "helper[bot]": (7, "write"),
}
_START = 1_795_000_000


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """An answer."""

    body: Any


class MemoryHub:
    """The repository acme/fleet, as ``login`` sees it."""

    def __init__(self, login: str = "robot") -> None:
        self.login = login
        self.issues: dict[int, dict[str, Any]] = {}
        self.comments: dict[int, dict[str, Any]] = {}
        self.events: dict[int, list[dict[str, Any]]] = {}
        #: Numbers of comments, and of events, that happened and are not listed yet.
        self.late: set[int] = set()
        #: What is on the default branch; each look at it makes a commit of what changed.
        self.files: dict[str, bytes] = {}
        #: The commits of the default branch, and others that were on it: name → its parent and its files.
        self.commits: dict[str, tuple[str, dict[str, bytes]]] = {}
        self.head = ""
        #: The newest commit that a copy shows which lags behind; empty: none does.
        self.lagging = ""
        #: Whether trees are listed in part only.
        self.truncated = False
        #: Whether no content is shown yet, and the mode of every file.
        self.unshown = False
        self.mode = "100644"
        self.permissions = {name: permission for name, (_, permission) in PEOPLE.items()}
        #: Whether the credentials may not ask for permissions.
        self.secret_permissions = False
        #: Every mutation that was sent, as ``METHOD path``.
        self.sent: list[str] = []
        #: Every read.
        self.read: list[str] = []
        #: Called with method and path before and after each mutation; may raise.
        self.before: Callable[[str, str], None] = lambda method, path: None
        self.after: Callable[[str, str], None] = lambda method, path: None
        self._seconds = 0
        self._numbers = 0
        self._ids = 100

    # -- what people do ---------------------------------------------------------------------------------

    def open(
        self, body: str, *, by: str = "alice", title: str = "please", labels: tuple[str, ...] = ("sentinel",)
    ) -> int:
        """Somebody opens an issue; its number."""
        self._numbers += 1
        number = self._numbers
        self.issues[number] = {
            "number": number,
            "title": title,
            "body": body,
            "state": "open",
            "user": user(by),
            "labels": [{"name": name} for name in labels],
            "created_at": self._now(),
            "updated_at": self._now(),
            "closed_at": None,
        }
        self.events[number] = []
        for name in labels:
            self._event(number, "labeled", by, label={"name": name})
        return number

    def label(self, number: int, name: str, *, by: str) -> None:
        """Somebody puts a label on an issue."""
        self._touch(number)["labels"].append({"name": name})
        self._event(number, "labeled", by, label={"name": name})

    def unlabel(self, number: int, name: str, *, by: str = "alice") -> None:
        """Somebody takes a label away."""
        issue = self._touch(number)
        issue["labels"] = [label for label in issue["labels"] if label["name"] != name]
        self._event(number, "unlabeled", by, label={"name": name})

    def edit(self, number: int, body: str) -> None:
        """Somebody edits the body; GitHub does not tell who."""
        self._touch(number)["body"] = body

    def close(self, number: int, *, by: str = "alice") -> None:
        """Somebody closes an issue."""
        self._touch(number).update(state="closed", closed_at=self.issues[number]["updated_at"])
        self._event(number, "closed", by)

    def reopen(self, number: int, *, by: str = "alice") -> None:
        """Somebody opens an issue again."""
        self._touch(number).update(state="open", closed_at=None)
        self._event(number, "reopened", by)

    def say(self, number: int, body: str, *, by: str = "alice") -> int:
        """Somebody comments; the number of the comment."""
        self._touch(number)
        self._ids += 1
        self.comments[self._ids] = {
            "id": self._ids,
            "issue_url": f"https://api/{REPOSITORY}/issues/{number}",
            "body": body,
            "user": user(by),
            "created_at": self._now(),
            "updated_at": self._now(),
        }
        return self._ids

    def pass_time(self, seconds: int) -> None:
        """Let GitHub's clock go on."""
        self._seconds += seconds

    # -- what can be seen -------------------------------------------------------------------------------

    def answers(self, number: int) -> list[str]:
        """The comments of the fleet on an issue, without their markers."""
        return [
            comment["body"].partition("\n")[2].strip()
            for comment in self.on(number)
            if comment["body"].startswith("<!-- sentinel ")
        ]

    def on(self, number: int) -> list[dict[str, Any]]:
        """All comments on an issue."""
        return [
            comment
            for _, comment in sorted(self.comments.items())
            if comment["issue_url"].endswith(f"/{number}")
        ]

    def labels(self, number: int) -> set[str]:
        """The labels of an issue."""
        return {label["name"] for label in self.issues[number]["labels"]}

    def state(self, number: int) -> str:
        """``open`` or ``closed``."""
        return str(self.issues[number]["state"])

    # -- the API ----------------------------------------------------------------------------------------

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Reply:
        self.read.append(path)
        if "per_page" in (params or {}):
            assert params is not None
            if (found := re.fullmatch(rf"{REPOSITORY}/compare/(\w+)\.\.\.(\w+)", path)) is not None:
                return Reply({"status": self._compare(found[1], found[2], path)})
            size, page = int(params["per_page"]), int(params.get("page", 1))
            return Reply(copy.deepcopy(self._list(path, params)[(page - 1) * size : page * size]))
        return Reply(copy.deepcopy(self._get(path, params or {})))

    def pages(self, path: str, params: Mapping[str, str | int] | None = None) -> Iterator[Any]:
        self.read.append(path)
        yield from copy.deepcopy(self._list(path, params or {}))

    def send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, content: bool = False
    ) -> Reply:
        self.before(method, path)
        self.sent.append(f"{method} {path}")
        answer = copy.deepcopy(self._send(method, path.removeprefix(REPOSITORY), body or {}))
        self.after(method, path)
        return Reply(answer)

    def _get(self, path: str, params: Mapping[str, str | int]) -> Any:
        if path == "user":
            if self.login.endswith("[bot]"):
                raise Declined("not for Apps", 422, "")
            return user(self.login)
        if (found := re.fullmatch(rf"{REPOSITORY}/collaborators/(.+)/permission", path)) is not None:
            name = unquote(found[1])
            if self.secret_permissions:
                raise Unauthorised("GitHub does not let the token ask", status=403)
            if self.permissions.get(name, "none") == "none":
                raise Missing("no such person", path)
            permission = self.permissions[name]
            plain = permission if permission in ("admin", "write") else "read"
            return {"permission": plain, "role_name": permission, "user": user(name)}
        if (found := re.fullmatch(rf"{REPOSITORY}/issues/(\d+)", path)) is not None:
            return self._issue(int(found[1]), path)
        if (found := re.fullmatch(rf"{REPOSITORY}/git/commits/(\w+)", path)) is not None:
            if found[1] not in self.commits:
                raise Missing("no such commit", path)
            return {"sha": found[1], "tree": {"sha": _tree(found[1], "")}}
        if (found := re.fullmatch(rf"{REPOSITORY}/git/trees/(\w+)", path)) is not None:
            return self._entries(found[1], path)
        if (found := re.fullmatch(rf"{REPOSITORY}/git/blobs/(\w+)", path)) is not None:
            for data in (
                []
                if self.unshown
                else [data for _, files in self.commits.values() for data in files.values()]
            ):
                if blob(data) == found[1]:
                    text = base64.encodebytes(data).decode()
                    return {"encoding": "base64", "content": text, "size": len(data)}
            raise Missing("no such blob", path)
        raise AssertionError(f"nobody reads {path}")

    def commit(self) -> str:
        """The newest commit of the default branch, made of what is in `files`; empty for an empty one."""
        if self.files != (self.commits[self.head][1] if self.head else {}):
            self.reset_branch(self.head)
        return self.head

    def reset_branch(self, parent: str) -> str:
        """Let a commit with what is in `files` follow ``parent``, and be the newest."""
        self._ids += 1
        self.head = hashlib.sha1(f"{parent} {self._ids}".encode()).hexdigest()
        self.commits[self.head] = (parent, dict(self.files))
        return self.head

    def _back(self, commit: str) -> list[str]:
        found = []
        while commit:
            found.append(commit)
            commit = self.commits[commit][0]
        return found

    def _compare(self, base: str, head: str, path: str) -> str:
        if base not in self.commits or head not in self.commits:
            raise Missing("no such commit", path)
        if base == head:
            return "identical"
        if base in self._back(head):
            return "ahead"
        return "behind" if head in self._back(base) else "diverged"

    def _entries(self, tree: str, path: str) -> dict[str, Any]:
        for commit, (_, files) in self.commits.items():
            for folder in ("", ".sentinel", ".sentinel/tasks"):
                if _tree(commit, folder) == tree:
                    prefix = f"{folder}/" if folder else ""
                    below = {name.removeprefix(prefix) for name in files if name.startswith(prefix)}
                    entries = [
                        self._file(name, files[f"{folder}/{name}".lstrip("/")])
                        if "/" not in name
                        else {
                            "path": name.partition("/")[0],
                            "mode": "040000",
                            "type": "tree",
                            "sha": _tree(commit, f"{folder}/{name.partition('/')[0]}".strip("/")),
                        }
                        for name in sorted(below)
                    ]
                    return {"sha": tree, "tree": entries, "truncated": self.truncated}
        raise Missing("no such tree", path)

    def _file(self, name: str, data: bytes) -> dict[str, Any]:
        return {"path": name, "mode": self.mode, "type": "blob", "sha": blob(data)}

    def _list(self, path: str, params: Mapping[str, str | int]) -> list[dict[str, Any]]:
        since = str(params.get("since", ""))
        if path == f"{REPOSITORY}/commits":
            head = self.commit()
            return [
                {"sha": commit, "commit": {"tree": {"sha": _tree(commit, "")}}}
                for commit in self._back(self.lagging or head)
            ]
        if path == f"{REPOSITORY}/issues":
            found = [issue for issue in self.issues.values() if issue["updated_at"] >= since]
            if params.get("state") == "open":
                found = [issue for issue in found if issue["state"] == "open"]
            if "labels" in params:
                found = [issue for issue in found if params["labels"] in self.labels(issue["number"])]
            return sorted(found, key=lambda issue: issue["updated_at"])
        if path == f"{REPOSITORY}/issues/comments":
            return sorted(
                (
                    comment
                    for comment in self.comments.values()
                    if comment["updated_at"] >= since and comment["id"] not in self.late
                ),
                key=lambda comment: comment["updated_at"],
            )
        found_one = re.fullmatch(rf"{REPOSITORY}/issues/(\d+)/(comments|events|labels)", path)
        if found_one is None:
            raise AssertionError(f"nobody lists {path}")
        number = int(found_one[1])
        issue = self._issue(number, path)
        if found_one[2] == "comments":
            return self.on(number)
        if found_one[2] == "events":
            return [event for event in self.events[number] if event["id"] not in self.late]
        labels: list[dict[str, Any]] = issue["labels"]
        return labels

    def _send(self, method: str, path: str, body: Mapping[str, Any]) -> Any:
        match (method, *path.strip("/").split("/")):
            case ("POST", "issues", number, "comments"):
                self._issue(int(number), path)
                return self.comments[self.say(int(number), body["body"], by=self.login)]
            case ("PATCH", "issues", "comments", number):
                comment = self._comment(int(number), path)
                comment.update(body=body["body"], updated_at=self._now())
                return comment
            case ("DELETE", "issues", "comments", number):
                self._comment(int(number), path)
                del self.comments[int(number)]
                return None
            case ("POST", "issues", number, "labels"):
                self._issue(int(number), path)
                for name in body["labels"]:
                    if name not in self.labels(int(number)):
                        self.label(int(number), name, by=self.login)
                return self.issues[int(number)]["labels"]
            case ("DELETE", "issues", number, "labels", name):
                self._issue(int(number), path)
                if unquote(name) not in self.labels(int(number)):
                    raise Missing("no such label", path)
                self.unlabel(int(number), unquote(name))
                return self.issues[int(number)]["labels"]
            case ("PATCH", "issues", number):
                assert body == {"state": "closed", "state_reason": "completed"}
                self.close(int(number), by=self.login)
                return self.issues[int(number)]
        raise AssertionError(f"nobody sends {method} {path}")

    def _issue(self, number: int, path: str) -> dict[str, Any]:
        if number not in self.issues:
            raise Missing("no such issue", path)
        return self.issues[number]

    def _comment(self, number: int, path: str) -> dict[str, Any]:
        if number not in self.comments:
            raise Missing("no such comment", path)
        return self.comments[number]

    def _touch(self, number: int) -> dict[str, Any]:
        self.issues[number]["updated_at"] = self._now()
        return self.issues[number]

    def _event(self, number: int, event: str, by: str, **more: Any) -> None:
        self._ids += 1
        at = self.issues[number]["updated_at"]
        told = {"id": self._ids, "event": event, "actor": user(by), "created_at": at, **more}
        self.events[number].append(told)

    def _now(self) -> str:
        self._seconds += 1
        return f"{rfc3339(_START + self._seconds)[:19]}Z"


def user(login: str) -> dict[str, Any] | None:
    """An account as GitHub shows it; None for one that is gone."""
    if login == "ghost":
        return None
    kind = "Bot" if login.endswith("[bot]") else "User"
    return {"login": login, "id": PEOPLE[login][0], "type": kind}


def blob(data: bytes) -> str:
    """Git's name of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _tree(commit: str, folder: str) -> str:
    """Names a folder in a commit."""
    return hashlib.sha1(f"tree {commit} {folder}".encode()).hexdigest()


class Lossy:
    """Loses the reply to the next mutation that matches, after or before it took effect."""

    def __init__(self, hub: MemoryHub, pattern: str, *, after: bool = True, times: int = 1) -> None:
        self._pattern = pattern
        self._times = times
        if after:
            hub.after = self._lose
        else:
            hub.before = self._lose

    def _lose(self, method: str, path: str) -> None:
        if self._times and re.search(self._pattern, f"{method} {path}"):
            self._times -= 1
            raise OutcomeUnknown(f"{method} {path} got no answer")


class Down:
    """Refuses everything."""

    def __call__(self, method: str, path: str) -> None:
        raise StoreError(f"{method} {path}: down")
