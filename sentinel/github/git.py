"""GitHub's git data, call by call: refs, commits, trees and blobs, with what each answer says of a change.

Nothing here is tried again, and nothing is remembered but what `Api` keeps of reads.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import enum
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import pygit2

from sentinel.clock import from_rfc3339, rfc3339
from sentinel.errors import Unavailable
from sentinel.github.api import Api, Reply
from sentinel.github.errors import Declined, Missing
from sentinel.store.objects import BLOB_MODE, TREE_MODE, Entry

_OBJECT_ID = re.compile(r"[0-9a-f]{40}")
#: Files that a comparison lists at most.
_MOST_FILES = 300


class Moved(enum.Enum):
    """What became of a change of a ref."""

    DONE = "done"
    #: The ref is elsewhere: not done, and a change like this one never will be.
    ELSEWHERE = "elsewhere"
    #: Not done, for competition or for good.
    DECLINED = "declined"


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """A judged change of a ref; ``reason`` has GitHub's words."""

    moved: Moved
    reason: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What is used of a commit."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    message: str
    author: str
    #: Seconds since 1970, by the committer's clock; None when it says none.
    at: float | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One file of a comparison."""

    path: str
    #: The blob there now; None when it is gone.
    sha: str | None
    #: What its only line became, where the comparison shows that.
    line: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How one commit came from another."""

    #: ``ahead``, ``behind``, ``diverged`` or ``identical``.
    status: str
    #: Those past the base, oldest first; all of them.
    commits: tuple[Commit, ...]
    #: None when there are more than GitHub lists.
    changes: tuple[Change, ...] | None


class GitData:
    """The git data of one repository; with ``urgent``, changes go before what waits for its turn."""

    def __init__(self, api: Api, *, urgent: bool = False) -> None:
        self._api = api
        self._urgent = urgent
        self._at = f"{api.place.path}/git"

    # -- reading --------------------------------------------------------------------------------------

    def ref(self, name: str) -> str | None:
        """The object id at ``refs/...``, or None."""
        try:
            reply = self._api.get(f"{self._at}/ref/{quote(name.removeprefix('refs/'))}")
        except Missing:
            return None
        found = _field(reply, "ref")
        if found != name:
            # GitHub once answered with a list of those that begin so; it is not there then.
            return None
        return _sha(_field(reply, "object"), "sha")

    def refs(self, prefix: str) -> dict[str, str]:
        """All refs that begin with ``prefix`` (``refs/.../``) → object id, without the prefix."""
        path = f"{self._at}/matching-refs/{quote(prefix.removeprefix('refs/'))}"
        found = {}
        # This list has no pages.
        reply = self._api.get(path)
        if not isinstance(reply.body, list):
            raise Unavailable("GitHub's answer is no list of refs")
        for item in reply.body:
            name = item.get("ref", "") if isinstance(item, dict) else ""
            if name.startswith(prefix):
                found[name.removeprefix(prefix)] = _sha(item.get("object"), "sha")
        return found

    def commit(self, sha: str) -> Commit:
        """The commit. Raises `Missing`."""
        return _commit(self._api.get(f"{self._at}/commits/{sha}", keep=False).body)

    def knows(self, sha: str) -> bool:
        """Whether there is such a commit."""
        try:
            self.commit(sha)
        except Missing:
            return False
        return True

    def compare(self, base: str, head: str) -> Comparison:
        """How ``head`` came from ``base``. Raises `Missing` when they have nothing in common."""
        path = f"{self._api.place.path}/compare/{base}...{head}"
        reply = self._api.get(path, keep=False)
        total, status = _field(reply, "total_commits"), _field(reply, "status")
        commits = [_listed(item) for item in _field(reply, "commits")]
        if len(commits) < total:
            commits = [_listed(item) for item in self._api.pages_of(path, "commits")]
        if len(commits) != total:
            raise Unavailable(f"GitHub lists {len(commits)} of {total} commits since {base}; try again")
        files = _field(reply, "files")
        whole = isinstance(files, list) and len(files) < _MOST_FILES and status == "ahead"
        changes = tuple(change for file in files for change in _changes(file)) if whole else None
        return Comparison(status=str(status), commits=tuple(commits), changes=changes)

    def commits(self, ref: str) -> Iterator[Commit]:
        """The commits from ``ref`` (a branch or an object id) back, newest first."""
        for item in self._api.pages(f"{self._api.place.path}/commits", {"sha": ref}):
            yield _listed(item)

    def tree(self, sha: str, *, recursive: bool = False) -> dict[str, Entry] | None:
        """The entries of a tree by path; None when there are more than GitHub lists. Raises `Missing`."""
        reply = self._api.get(
            f"{self._at}/trees/{sha}", {"recursive": "1"} if recursive else None, keep=False
        )
        if _field(reply, "truncated"):
            return None
        return {str(item["path"]): _entry(item) for item in _field(reply, "tree")}

    def blob(self, sha: str) -> bytes:
        """The content of a blob. Raises `Missing`."""
        reply = self._api.get(f"{self._at}/blobs/{sha}", keep=False)
        if _field(reply, "encoding") != "base64":
            raise Unavailable("GitHub gave a blob in an encoding that is not base64")
        try:
            return base64.b64decode(_field(reply, "content"))
        except (binascii.Error, ValueError, TypeError) as error:
            raise Unavailable("GitHub gave a blob that is not base64") from error

    # -- making objects -------------------------------------------------------------------------------
    # Objects are named by what they hold and are seen by nobody until a ref leads to them: one that may or
    # may not have been made is made again.

    def make_blob(self, data: bytes) -> str:
        """Store a blob; its id."""
        body = {"content": base64.b64encode(data).decode("ascii"), "encoding": "base64"}
        return _sha(self._api.send("POST", f"{self._at}/blobs", body).body, "sha")

    def make_tree(self, base: str | None, files: Mapping[str, bytes | str | None]) -> str:
        """Store the tree ``base`` with ``files`` put into it; its id.

        A file is its content, which must be UTF-8 text, or the id of a blob, or None to take it away.
        """
        tree = [
            {"path": path, "mode": f"{BLOB_MODE:06o}", "type": "blob", **_content(file)}
            for path, file in sorted(files.items())
        ]
        body = {"tree": tree} if base is None else {"base_tree": base, "tree": tree}
        return _sha(self._api.send("POST", f"{self._at}/trees", body, urgent=self._urgent).body, "sha")

    def make_commit(self, text: str, tree: str, parents: Sequence[str], author: pygit2.Signature) -> str:
        """Store a commit; its id."""
        date = rfc3339(float(author.time)).partition(".")[0] + "Z"
        who = {"name": author.name, "email": author.email, "date": date}
        body = {"message": text, "tree": tree, "parents": list(parents), "author": who, "committer": who}
        return _sha(self._api.send("POST", f"{self._at}/commits", body, urgent=self._urgent).body, "sha")

    # -- moving refs ----------------------------------------------------------------------------------

    def create(self, ref: str, sha: str) -> Verdict:
        """Make a ref that must not be there. Raises `OutcomeUnknown` when there is no clear answer."""
        try:
            self._api.send("POST", f"{self._at}/refs", {"ref": ref, "sha": sha}, urgent=self._urgent)
        except Declined as error:
            there = "already exists" in error.reason.lower()
            return Verdict(Moved.ELSEWHERE if there else Moved.DECLINED, error.reason)
        return Verdict(Moved.DONE)

    def advance(self, ref: str, sha: str) -> Verdict:
        """Move a ref to a commit, provided that it is at one of those behind it now.

        GitHub compares under its own lock: with a commit whose parent is what we expect this is the
        compare-and-swap. Raises `OutcomeUnknown` when there is no clear answer.
        """
        path = f"{self._at}/refs/{quote(ref.removeprefix('refs/'))}"
        try:
            self._api.send("PATCH", path, {"sha": sha, "force": False}, urgent=self._urgent)
        except Missing as error:
            return Verdict(Moved.ELSEWHERE, str(error))
        except Declined as error:
            words = error.reason.lower()
            elsewhere = "fast forward" in words or "fast-forward" in words or "does not exist" in words
            return Verdict(Moved.ELSEWHERE if elsewhere else Moved.DECLINED, error.reason)
        return Verdict(Moved.DONE)

    def delete(self, ref: str) -> Verdict:
        """Remove a ref, wherever it is: GitHub compares nothing here. Raises `OutcomeUnknown`."""
        try:
            self._api.send(
                "DELETE", f"{self._at}/refs/{quote(ref.removeprefix('refs/'))}", urgent=self._urgent
            )
        except Missing as error:
            return Verdict(Moved.ELSEWHERE, str(error))
        except Declined as error:
            gone = "does not exist" in error.reason.lower()
            return Verdict(Moved.ELSEWHERE if gone else Moved.DECLINED, error.reason)
        return Verdict(Moved.DONE)


def _content(file: bytes | str | None) -> dict[str, str | None]:
    return {"content": file.decode("utf-8")} if isinstance(file, bytes) else {"sha": file}


def _field(reply: Reply, name: str) -> Any:
    if not isinstance(reply.body, dict) or name not in reply.body:
        raise Unavailable(f"GitHub's answer has no {name!r}; is {name!r} what its API gives?")
    return reply.body[name]


def _sha(body: Any, name: str) -> str:
    sha = body.get(name) if isinstance(body, dict) else None
    if not isinstance(sha, str) or not _OBJECT_ID.fullmatch(sha):
        raise Unavailable("GitHub's answer names no object id; a store has SHA-1 objects")
    return sha


def _entry(item: Any) -> Entry:
    sha = _sha(item, "sha")
    try:
        mode = int(item["mode"], 8)
    except (KeyError, TypeError, ValueError) as error:
        raise Unavailable("GitHub's answer has a tree with an entry of no mode") from error
    return Entry(TREE_MODE if item.get("type") == "tree" else mode, pygit2.Oid(hex=sha))


def _commit(body: Any) -> Commit:
    """A commit as the git data shows it."""
    try:
        return Commit(
            sha=_sha(body, "sha"),
            tree=_sha(body["tree"], "sha"),
            parents=tuple(_sha(parent, "sha") for parent in body["parents"]),
            message=str(body["message"]),
            author=str((body.get("author") or {}).get("name", "")),
            at=_time((body.get("committer") or {}).get("date")),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise Unavailable("GitHub's answer is no commit") from error


def _listed(item: Any) -> Commit:
    """A commit as lists and comparisons show it."""
    try:
        return _commit({**item["commit"], "sha": item["sha"], "parents": item["parents"]})
    except (KeyError, TypeError) as error:
        raise Unavailable("GitHub's answer is no list of commits") from error


def _time(date: object) -> float | None:
    try:
        return from_rfc3339(str(date))
    except ValueError:
        return None


def _changes(file: Any) -> Iterator[Change]:
    try:
        path, status = str(file["filename"]), str(file["status"])
        if status == "removed":
            yield Change(path=path, sha=None, line=None)
            return
        if status == "renamed":
            yield Change(path=str(file["previous_filename"]), sha=None, line=None)
        yield Change(path=path, sha=_sha(file, "sha"), line=_only_line(str(file.get("patch", ""))))
    except (KeyError, TypeError) as error:
        raise Unavailable("GitHub's answer has a file that is none") from error


def _only_line(patch: str) -> str | None:
    """The new text of a file of one line: a document is one, so that its patch is all of it."""
    added = [line[1:] for line in patch.split("\n") if line.startswith("+")]
    return added[0] if len(added) == 1 else None
