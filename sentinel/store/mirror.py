"""One connection's private mirror of a repository far away: fetches, pushes, and repair by renewal.

=============================  ==================================================================
``refs/fetched/state``         the state branch as the last fetch showed it
``refs/heads/sentinel/state``  the newest state that this connection accepted, for `git log`
``refs/sentinel/sessions/*``   the sessions as the last fetch showed them
=============================  ==================================================================

The mirror is a cache. When it is damaged it is set aside, and made anew from the server.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import pygit2

from sentinel.errors import BadRecord, Unavailable
from sentinel.model.layout import STATE_REF
from sentinel.store.credentials import credentials
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
from sentinel.store.git_process import Git, Ran
from sentinel.store.location import Location
from sentinel.store.objects import Objects
from sentinel.store.slots import Slot, take_slot

log = logging.getLogger(__name__)

#: Sessions are refs, each a parentless commit.
SESSION_REFS = "refs/sentinel/sessions/"
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


class _MirrorObjects(Objects):
    """Objects that can be had again from the server: what is damaged is no reason to lose a record."""

    broken = False

    def lost(self, key: str, oid: pygit2.Oid) -> BadRecord:  # noqa: ARG002 - the record is not at fault
        raise self.damaged(oid)

    def damaged(self, oid: pygit2.Oid) -> Unavailable:
        self.broken = True
        return Unavailable(
            f"the mirror {self.repository.path} is damaged at {oid}; it is set aside, and made anew at the "
            "next look"
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Update:
    """What one ref on the server is to become."""

    ref: str
    #: None: the ref is to be no longer.
    commit: pygit2.Oid | None
    #: Where it has to be before; None: it must be absent.
    expected: pygit2.Oid | str | None


class Mirror:
    """A bare repository of our own, and git calls between it and ``location``.

    Raises `ConfigurationError` without a usable git, and `Unavailable` when the state folder cannot be used.
    """

    def __init__(
        self,
        location: Location,
        *,
        state_folder: Path | None,
        environ: Mapping[str, str],
        timeout: float,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self.location = location
        #: Called before git is; for credentials that do not last.
        self._prepare = prepare
        self.timeout = timeout
        self._environ = environ
        self._parent = None if state_folder is None else state_folder / "mirrors"
        self._patience = 1
        self._fetches = 0
        self._slot: Slot | None = None
        self._move_in()

    # -- the folder -----------------------------------------------------------------------------------

    def _move_in(self) -> None:
        with self._using(self._parent or "the folder for temporary files"):
            self._slot = take_slot(self._parent)
            folder = self._slot.folder
            given = credentials(self.location, self._environ, folder)
            self._given = given
            self._git = Git(
                folder,
                environ=self._environ,
                transport=self.location.transport,
                timeout=self.timeout,
                more_environ=given.environ,
                more_config=given.config,
                own_credentials=given.own,
            )
            self.path = folder / "git"
            self._open()

    def _open(self) -> None:
        with self._using(self.path):
            if not (self.path / "complete").exists():
                shutil.rmtree(self.path, ignore_errors=True)
                pygit2.init_repository(str(self.path), bare=True, initial_head=STATE_REF)
                (self.path / "complete").touch()
            try:
                self.repository = pygit2.Repository(str(self.path), pygit2.enums.RepositoryOpenFlag.NO_SEARCH)
            except (pygit2.GitError, OSError, ValueError) as error:
                self._set_aside(str(error))
                self._open()
                return
        self._sweep_locks()
        self.objects = _MirrorObjects(self.repository)

    @contextlib.contextmanager
    def _using(self, place: object) -> Iterator[None]:
        try:
            yield
        except (OSError, pygit2.GitError) as error:
            self._leave()
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise Unavailable(
                f"cannot keep a mirror in {place}: {reason}; free space, or name another folder in "
                "SENTINEL_STATE_FOLDER"
            ) from error
        except BaseException:
            self._leave()
            raise

    def _set_aside(self, why: str) -> None:
        """Move the repository out of the way, for whoever wants to know what became of it; keep only one."""
        broken = self.path.with_name("git.broken")
        log.warning("the mirror %s is set aside as %s and made anew: %s", self.path, broken, why)
        shutil.rmtree(broken, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            self.path.rename(broken)

    def renew(self, why: str) -> None:
        """Set the repository aside and begin with an empty one. Raises `Unavailable`."""
        self.repository.free()
        with self._using(self.path):
            self._set_aside(why)
        self._open()

    def ensure(self) -> None:
        """See to it that the repository is ours, there, and sound, as far as is known."""
        if self._prepare is not None:
            self._prepare()
        self._given.remember()
        if self._slot is None or not self._slot.ours:
            log.warning("the mirror %s was deleted; another is made", self.path)
            self._leave()
            self._move_in()
        elif self.objects.broken:
            self.renew("an object could not be read")
        elif not (self.path / "HEAD").exists():
            self.renew("it was deleted, or a part of it")

    @property
    def credentials(self) -> str:
        """Where the credentials come from; never a value."""
        return self._given.described

    def unwritable(self, error: Exception) -> Unavailable:
        """The error for objects that could not be written here."""
        self.objects.broken = isinstance(error, KeyError)
        return Unavailable(f"cannot write to the mirror {self.path}: {error}; free space there")

    def _leave(self) -> None:
        if self._slot is not None:
            self._slot.close()
            self._slot = None

    def close(self) -> None:
        """Let the next connection have the folder. Idempotent."""
        if self._slot is not None:
            self.repository.free()
        self._leave()

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

    @property
    def shallow(self) -> bool:
        """Whether older history is missing here."""
        return (self.path / "shallow").exists()

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

    def _sweep_locks(self) -> None:
        """Remove what a killed git left: nobody else works in here."""
        for lock in [*self.path.glob("*.lock"), *(self.path / "refs").rglob("*.lock")]:
            lock.unlink(missing_ok=True)

    def _succeed(self, ran: Ran, doing: str) -> None:
        if not ran.ok:
            self.fail(ran, doing)

    def fail(self, ran: Ran, doing: str) -> NoReturn:
        """Raise `Unavailable` for a call that failed."""
        raise Unavailable(explain(self.location, ran, doing, self.credentials))

    def _reference(self, name: str) -> pygit2.Oid | None:
        try:
            target = self.repository.lookup_reference(name).target
        except KeyError:
            return None
        except (pygit2.GitError, OSError, ValueError) as error:
            self.objects.broken = True
            raise Unavailable(f"the mirror {self.path} is damaged: {error}; it is made anew") from error
        return target if isinstance(target, pygit2.Oid) else None

    def sessions(self) -> dict[str, pygit2.Oid]:
        """The refs below `SESSION_REFS` as last fetched, by what follows it."""
        found = {}
        for name in self.repository.listall_references():
            if name.startswith(SESSION_REFS):
                oid = self._reference(name)
                if oid is not None:
                    found[name.removeprefix(SESSION_REFS)] = oid
        return found

    def accept(self, head: pygit2.Oid) -> None:
        """Let the mirror's own branch follow, for people who look into it and for what is sent from it."""
        # Nobody else moves refs in here, so this is no compare-and-swap.
        with (
            contextlib.suppress(pygit2.GitError, OSError, ValueError),
            self.repository.transaction() as transaction,
        ):
            transaction.lock_ref(STATE_REF)
            transaction.set_target(STATE_REF, head)

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
