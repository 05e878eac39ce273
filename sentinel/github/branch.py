"""The default branch as it was read: from one commit, and never from an older one than before.

GitHub answers reads from copies that may lag behind what it has shown already, and an older commit has texts
of files that were changed since, and lacks files that were added. So the newest commit that was read is kept
in the state, as a mark, and what is read are the trees of a commit, which are the same in every copy:

=====================================  ===============================================================
the newest commit shown                what is read
=====================================  ===============================================================
the mark, or one that it is behind     that commit; it is the mark from then on
one that is behind the mark            the mark: it is a copy that lags, or the branch was set back
neither: the branch was rewritten      the mark, until each look for `REWRITTEN` seconds showed no other
                                       than such commits; then the newest of them is the mark
=====================================  ===============================================================

A branch that was set back on purpose looks like a copy that lags, so it takes a new commit on it to be read.
"""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Mapping
from typing import Any

from sentinel.clock import Clock
from sentinel.errors import Unavailable
from sentinel.github.errors import Declined, Missing
from sentinel.github.hub import Hub

log = logging.getLogger(__name__)

#: The folder of files that ask for tasks.
FOLDER = (".sentinel", "tasks")
#: Seconds for which a branch must be shown as rewritten, or set back, before that is believed, or told.
REWRITTEN = 600.0

_SHA = re.compile(r"[0-9a-f]{40,64}")
#: Modes of what git calls a file; others are links and submodules.
_FILES = frozenset({"100644", "100755"})


@dataclasses.dataclass(frozen=True, slots=True)
class Listing:
    """The files of the folder in one commit."""

    commit: str
    #: Path → git's name of the content.
    files: Mapping[str, str]
    #: Whether these are all, so that a file that is not among them is gone.
    whole: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class _Shown:
    """A commit and its tree."""

    commit: str
    tree: str


class Branch:
    """What one peer knows of the default branch."""

    def __init__(self, hub: Hub, repository: str, clock: Clock) -> None:
        self._hub = hub
        self._path = repository
        self._clock = clock
        self._listing: Listing | None = None
        #: How the last two commits that were compared lie to each other; that never changes.
        self._compared: tuple[str, str, str] = ("", "", "")
        #: Since when every look showed a branch that does not go on from the mark, and whether that was told.
        self._odd_since: float | None = None
        self._told = False

    def read(self, mark: str) -> Listing | None:
        """The folder in the commit that counts now, where ``mark`` counted before (empty: none did).

        None when there is no branch, or its newest commit cannot be had yet. Raises store errors.
        """
        shown = self._newest()
        if shown is None:
            return None
        commit, tree = shown.commit, shown.tree
        if mark and commit != mark and not self._follows(mark, commit):
            commit, tree = mark, ""
        if self._listing is None or self._listing.commit != commit:
            try:
                self._listing = self._list(commit, tree or self._tree_of(commit))
            except Missing as error:
                # There is such a commit, and so there is all that is in it.
                log.debug("a copy of GitHub's lags behind: %s", error)
                return None
        return self._listing

    def _newest(self) -> _Shown | None:
        try:
            body = self._hub.get(f"{self._path}/commits", {"per_page": 1}).body
        except Missing:
            return None
        except Declined as error:
            if error.status == 409:
                # The repository is empty.
                return None
            raise
        item = body[0] if isinstance(body, list) and body else None
        return None if item is None else _Shown(_sha(item), _sha(_field(_field(item, "commit"), "tree")))

    def _follows(self, mark: str, commit: str) -> bool:
        """Whether ``commit`` is to be read where ``mark`` was before."""
        how = self._relation(mark, commit)
        if how == "ahead":
            self._odd_since, self._told = None, False
            return True
        now = self._clock.now()
        self._odd_since = now if self._odd_since is None else self._odd_since
        if now - self._odd_since < REWRITTEN:
            return False
        if how == "behind":
            if not self._told:
                log.warning(
                    "the default branch is at %s, older than what was read of it, and passed over; if "
                    "it was set back on purpose, put a commit on it",
                    commit,
                )
            self._told = True
            return False
        log.warning("the default branch was rewritten: from %s on it is read from %s", mark, commit)
        self._odd_since = None
        return True

    def _relation(self, mark: str, commit: str) -> str:
        """``ahead`` when ``commit`` comes after ``mark``; ``behind``; or anything else."""
        if self._compared[:2] != (mark, commit):
            path = f"{self._path}/compare/{mark}...{commit}"
            try:
                how = _field(self._hub.get(path, {"per_page": 1}).body, "status")
            except Missing:
                # They have nothing in common; or one of them is not known, to this copy or at all.
                return "apart"
            self._compared = (mark, commit, str(how))
        return self._compared[2]

    def _tree_of(self, commit: str) -> str:
        return _sha(_field(self._hub.get(f"{self._path}/git/commits/{commit}").body, "tree"))

    def _list(self, commit: str, tree: str) -> Listing:
        for name in FOLDER:
            entries, whole = self._entries(tree)
            found = [entry for entry in entries if entry.get("path") == name and entry.get("type") == "tree"]
            if not found:
                return Listing(commit, {}, whole=whole)
            tree = _sha(found[0])
        entries, whole = self._entries(tree)
        names = {
            str(entry.get("path")): _sha(entry)
            for entry in entries
            if entry.get("type") == "blob" and entry.get("mode") in _FILES
        }
        folder = "/".join(FOLDER)
        files = {f"{folder}/{name}": sha for name, sha in names.items() if name.endswith(".json")}
        return Listing(commit, files, whole=whole)

    def _entries(self, tree: str) -> tuple[list[Mapping[str, Any]], bool]:
        body = self._hub.get(f"{self._path}/git/trees/{tree}").body
        entries = [entry for entry in _field(body, "tree") if isinstance(entry, Mapping)]
        return entries, not _field(body, "truncated")


def _field(body: Any, name: str) -> Any:
    if not isinstance(body, Mapping) or name not in body:
        raise Unavailable(f"GitHub's answer has no {name!r}")
    return body[name]


def _sha(body: Any) -> str:
    sha = _field(body, "sha")
    if not isinstance(sha, str) or not _SHA.fullmatch(sha):
        raise Unavailable("GitHub's answer names no object id")
    return sha
