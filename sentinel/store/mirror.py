"""What goes between a `MirrorFolder` and the repository far away: fetches, looks and pushes."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Iterator, Sequence
from typing import NoReturn

import pygit2

from sentinel.errors import Unavailable
from sentinel.model.layout import SESSION_REFS, STATE_REF
from sentinel.store.git_answers import (
    Answer,
    Pushed,
    damaged_here,
    explain,
    explain_page,
    hidden_object,
    judge_push,
    missing_object,
    missing_ref,
    one_line,
    speaks_git,
)
from sentinel.store.git_process import Ran
from sentinel.store.mirror_folder import MirrorFolder

log = logging.getLogger(__name__)

FETCHED = "refs/fetched/state"
_FETCHED_ARTIFACTS = "refs/fetched/artifacts"

#: Commits of history that the first fetch of a mirror brings; every later one brings all that is new.
FIRST_DEPTH = 50
_DEEPER = (200, 2_000, 20_000)
#: A mirror with about so many loose objects is made anew: beats that were replaced are never needed again.
MANY_OBJECTS = 30_000
#: Fetches between two looks at that number.
_LOOK_EVERY = 200
#: A read that was cut off gets twice the time at its next try, up to so many times the usual.
_MOST_PATIENT = 16
#: The first fetch may take so many times as long as a later one.
_FIRST_FACTOR = 4
#: The slowest link, in bytes a second, that a push of large blobs is given time for.
SLOWEST_LINK = 4_000


@dataclasses.dataclass(frozen=True, slots=True)
class Update:
    """What one ref on the server is to become."""

    ref: str
    #: None: the ref is to be no longer.
    commit: pygit2.Oid | None
    #: Where it has to be before; None: it must be absent.
    expected: pygit2.Oid | str | None


class Mirror(MirrorFolder):
    """A mirror, and git calls between it and its location."""

    #: How much more time reads get, since some were cut off.
    _patience = 1
    _fetches = 0

    @property
    def crowded(self) -> bool:
        """Whether it is time to begin with an empty mirror, because most of this one is out of date."""
        if self._fetches % _LOOK_EVERY:
            return False
        try:
            return len(os.listdir(self.path / "objects" / "17")) * 256 > MANY_OBJECTS  # noqa: PTH208 - a count
        except OSError:
            return False

    # -- reading --------------------------------------------------------------------------------------

    def fetch(self, *, state: bool, sessions: bool) -> pygit2.Oid | None:
        """Bring the state branch, the sessions, or both, in one call; the head of the state.

        None when ``state`` was asked for and the server has no such branch. Raises `Unavailable`.
        """
        # Over HTTP the state, which is there, is always asked for: to git, a web page that says something
        # else looks like an old server without any refs, and so like a fleet without any sessions.
        refspecs = [f"+{STATE_REF}:{FETCHED}"] if state or self._is_http else []
        if sessions:
            refspecs.append(f"+{SESSION_REFS}*:{SESSION_REFS}*")
        self.ensure()
        self._fetches += 1
        first = len(refspecs) > sessions and self._reference(FETCHED) is None
        ran = self._first_fetch(refspecs) if first else self._fetch(refspecs, factor=int(state))
        if damaged_here(ran):
            self.renew(one_line(ran.err))
            ran = self._first_fetch(refspecs)
        if missing_ref(ran):
            self._make_sure_of_the_server()
            return None
        self._succeed(ran, "read")
        return self._reference(FETCHED) if state else None

    @property
    def _is_http(self) -> bool:
        return self.location.transport in ("http", "https")

    def _make_sure_of_the_server(self) -> None:
        """Raise `Unavailable` unless what answers speaks git's protocol."""
        if self._is_http:
            ran = self._read("ls-remote", "--refs", self.location.url, STATE_REF, trace=True, factor=0)
            self._succeed(ran, "read")
            if not speaks_git(ran):
                raise Unavailable(explain_page(self.location))

    def _first_fetch(self, refspecs: Sequence[str]) -> Ran:
        return self._fetch(refspecs, f"--depth={FIRST_DEPTH}", factor=_FIRST_FACTOR)

    def _fetch(self, refspecs: Sequence[str], *options: str, factor: int = 1) -> Ran:
        return self._read(*_QUIET_FETCH, "--prune", *options, self.location.url, *refspecs, factor=factor)

    def deepen(self) -> Iterator[None]:
        """Bring more of the history each time that the next item is asked for, until all of it is there."""
        for more in _DEEPER:
            if not self.shallow:
                return
            self._succeed(
                self._fetch([f"+{STATE_REF}:{FETCHED}"], f"--deepen={more}", factor=_FIRST_FACTOR), "read"
            )
            yield
        if self.shallow:
            ran = self._fetch([f"+{STATE_REF}:{FETCHED}"], "--unshallow", factor=_MOST_PATIENT)
            self._succeed(ran, "read")
            yield

    def fetch_first_of_artifacts(self, ref: str) -> pygit2.Oid | None:
        """The newest commit of an artifact ref, without those before it; None when there is no such ref."""
        self.ensure()
        ran = self._read(
            *_QUIET_FETCH,
            "--depth=1",
            self.location.url,
            f"+{ref}:{_FETCHED_ARTIFACTS}",
            factor=_FIRST_FACTOR,
        )
        if missing_ref(ran):
            self._make_sure_of_the_server()
            return None
        self._succeed(ran, "read")
        return self._reference(_FETCHED_ARTIFACTS)

    def fetch_object(self, oid: str, fallback: str) -> None:
        """Bring one object by its id, if the server has it, else all that is below the refs ``fallback``."""
        self.ensure()
        factor = _FIRST_FACTOR
        ran = self._read(*_QUIET_FETCH, self.location.url, oid, factor=factor)
        if hidden_object(ran):
            ran = self._read(
                *_QUIET_FETCH, self.location.url, f"+{fallback}*:{fallback}*", factor=_MOST_PATIENT
            )
        if not missing_object(ran):
            self._succeed(ran, "read")

    def look(self, ref: str) -> str | None:
        """The object id that ``ref`` has on the server, or None. Brings no objects. Raises `Unavailable`."""
        self.ensure()
        ran = self._read("ls-remote", "--refs", self.location.url, ref, factor=0)
        self._succeed(ran, "read")
        for line in ran.out.decode("utf-8", "replace").splitlines():
            oid, _, name = line.partition("\t")
            if name == ref:
                return oid
        return None

    def list_refs(self, prefix: str) -> dict[str, str]:
        """All refs on the server that begin with ``prefix`` → object id, without it. Raises `Unavailable`."""
        self.ensure()
        ran = self._read("ls-remote", "--refs", self.location.url, f"{prefix}*", factor=0)
        self._succeed(ran, "read")
        found = {}
        for line in ran.out.decode("utf-8", "replace").splitlines():
            oid, _, name = line.partition("\t")
            if name.startswith(prefix):
                found[name.removeprefix(prefix)] = oid
        return found

    def _read(self, *args: str, factor: int = 1, trace: bool = False) -> Ran:
        """Run a command that reads, with ``factor`` times the time that reads get now; 0: what is small."""
        patience = min(factor * self._patience, _MOST_PATIENT) if factor else 1
        ran = self._git(self.path, *args, timeout=self.timeout * patience, trace=trace)
        if ran.status is None or ".lock': File exists" in ran.err:
            self._sweep_locks()
        if ran.status is None and factor:
            self._patience = min(self._patience * 2, _MOST_PATIENT)
        elif ran.ok:
            self._patience = 1
        return ran

    def _succeed(self, ran: Ran, doing: str) -> None:
        if not ran.ok:
            self.fail(ran, doing)

    def fail(self, ran: Ran, doing: str) -> NoReturn:
        """Raise `Unavailable` for a call that failed."""
        raise Unavailable(explain(self.location, ran, doing, self.credentials))

    # -- writing --------------------------------------------------------------------------------------

    def send(
        self, ref: str, commit: pygit2.Oid | None, expected: pygit2.Oid | str | None, *, size: int = 0
    ) -> Answer:
        """Let ``ref`` (None: no longer) be ``commit`` if it is at ``expected`` (None: absent) on the server.

        ``size`` is about how many bytes go over the wire beyond a few thousand.
        """
        (answer,) = self.send_each([Update(ref, commit, expected)], size=size)
        return answer

    def send_each(self, updates: Sequence[Update], *, size: int = 0) -> list[Answer]:
        """`send` several on one way, each with its own expectation and answer: never all or nothing."""
        self.ensure()
        timeout = self.timeout + size / SLOWEST_LINK
        ran = self._git(
            self.path,
            "push",
            "--porcelain",
            "--no-verify",
            *(f"--force-with-lease={update.ref}:{update.expected or ''}" for update in updates),
            self.location.url,
            *(f"{update.commit or ''}:{update.ref}" for update in updates),
            timeout=timeout,
        )
        if ran.status is None:
            self._sweep_locks()
        answers = [self._judge(ran, update.ref) for update in updates]
        told = ", ".join(
            f"{update.ref} {answer.pushed.value}" for update, answer in zip(updates, answers, strict=True)
        )
        log.debug("pushed %s", told)
        return answers

    def _judge(self, ran: Ran, ref: str) -> Answer:
        answer = judge_push(ran, ref, repeated=self._is_http)
        if answer.pushed is Pushed.FAILED and damaged_here(ran):
            self.objects.broken = True
        if answer.pushed in (Pushed.FAILED, Pushed.UNKNOWN):
            return Answer(answer.pushed, explain(self.location, ran, "write to", self.credentials))
        return answer


_QUIET_FETCH = (
    "fetch",
    "--quiet",
    "--no-tags",
    "--no-write-fetch-head",
    "--no-auto-maintenance",
    "--no-recurse-submodules",
)
