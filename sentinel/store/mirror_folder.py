"""One connection's private mirror of a repository far away, as it lies on this machine's disk.

=============================  ==================================================================
``refs/fetched/state``         the state branch as the last fetch showed it
``refs/heads/sentinel/state``  the newest state that this connection accepted, for `git log`
``refs/sentinel/sessions/*``   the sessions as the last fetch showed them
=============================  ==================================================================

The mirror is a cache. When it is damaged it is set aside, and made anew from the server.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pygit2

from sentinel.errors import BadRecord, Unavailable
from sentinel.model.layout import SESSION_REFS, STATE_REF
from sentinel.store.credentials import credentials
from sentinel.store.git_process import Git
from sentinel.store.location import Location
from sentinel.store.objects import Objects
from sentinel.store.slots import Slot, take_slot

log = logging.getLogger(__name__)


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


class MirrorFolder:
    """A bare repository of our own in a folder that no other connection uses, and git to use there.

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
        self._slot: Slot | None = None
        self._move_in()

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
    def shallow(self) -> bool:
        """Whether older history is missing here."""
        return (self.path / "shallow").exists()

    def _sweep_locks(self) -> None:
        """Remove what a killed git left: nobody else works in here."""
        for lock in [*self.path.glob("*.lock"), *(self.path / "refs").rglob("*.lock")]:
            lock.unlink(missing_ok=True)

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
