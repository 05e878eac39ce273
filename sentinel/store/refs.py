"""Moves the refs of a bare repository that several processes, and pushes from elsewhere, move too.

libgit2's `set_target` on the reference that was read is the compare-and-swap. An `flock` only keeps the
peers of this host from trying in vain: waiting for it is bounded, and whoever does not get it goes on
without, so that a stopped holder stops nobody.

A process that is killed inside `set_target` leaves ``<ref>.lock`` behind, which would block everybody for
ever. So the holder of the flock first notes in its file what it is about to do, and wipes the note after.
The next holder that finds a note removes that ref's lock if it is empty or holds the noted id. Any other
lock may belong to a push that is alive: it goes only after `FOREIGN_LOCK_SECONDS` without a change.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pygit2

from sentinel.clock import Clock
from sentinel.errors import OutcomeUnknown, Unavailable
from sentinel.store.history import is_near

#: How long a ``.lock`` that nobody here noted may stand unchanged before it is taken for a dead one's.
FOREIGN_LOCK_SECONDS = 10.0
#: How long to wait for the flock while its holder shows no sign of life, in seconds.
FLOCK_SECONDS = 1.0
#: How long to wait for it in all, while one holder follows another.
_FLOCK_SECONDS_IN_ALL = 5.0
#: An empty lock can be a live one's, between creating and writing it; that takes microseconds.
_EMPTY_LOCK_SECONDS = 0.02

#: So many commits back a head is looked for first.
_NEAR = 1_000

#: What no repetition within seconds will cure.
_LASTING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


def take_flock(descriptor: int, clock: Clock, rng: random.Random, *, silent_since: int = 0) -> int:
    """Try to get the exclusive `flock` of an open file; 0 when it was had.

    Every holder changes the file when it begins and ends. Where that does not happen for `FLOCK_SECONDS` the
    holder is stopped or stuck, and the time of the file's last change is returned; with that time as
    ``silent_since`` the next call does not wait for the same holder again.
    """
    last = os.fstat(descriptor).st_mtime_ns
    now = clock.now()
    limit, end = now + FLOCK_SECONDS, now + _FLOCK_SECONDS_IN_ALL
    pause = 0.0005
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            changed = os.fstat(descriptor).st_mtime_ns
            now = clock.now()
            if changed != last:
                last, limit = changed, now + FLOCK_SECONDS
            if last == silent_since or now >= min(limit, end):
                return last
            clock.sleep(rng.uniform(0.5, 1.0) * pause)
            pause = min(pause * 2, 0.01)
        else:
            with contextlib.suppress(OSError):
                os.utime(descriptor)
            return 0


class Refs:
    """One client's view of the refs of ``repository``; ``flock_file`` is shared by all on this host."""

    def __init__(
        self, repository: pygit2.Repository, flock_file: Path, clock: Clock, rng: random.Random
    ) -> None:
        self._repository = repository
        self._path = Path(repository.path)
        self._clock = clock
        self._rng = rng
        self._flock = os.open(flock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._silent_since = 0
        self._holding = False
        #: Ref → identity of its ``.lock``, and since when it is seen unchanged.
        self._foreign: dict[str, tuple[tuple[int, int], float]] = {}

    def use(self, repository: pygit2.Repository) -> None:
        """Go on with the same repository, opened anew."""
        self._repository = repository

    def close(self) -> None:
        """Let go of the flock file. Idempotent."""
        if self._flock >= 0:
            os.close(self._flock)
            self._flock = -1

    def head(self, name: str) -> pygit2.Oid | None:
        """Where ``name`` points now, or None. Raises `Unavailable` when its content is no object id."""
        reference = self._lookup(name)
        if reference is None:
            return None
        if not isinstance(reference.target, pygit2.Oid):
            raise self._garbage(name, "it points to another ref")
        return reference.target

    def _lookup(self, name: str) -> pygit2.Reference | None:
        try:
            return self._repository.lookup_reference(name)
        except KeyError:
            return None
        except (pygit2.GitError, OSError, ValueError) as error:
            raise self._garbage(name, str(error)) from error

    def _garbage(self, name: str, why: str) -> Unavailable:
        return Unavailable(
            f"{name} in {self._path} cannot be read ({why}); find the last good commit with "
            f"`git -C {self._path} fsck --lost-found` and put it back with `git update-ref {name} COMMIT`"
        )

    def contains(self, head: pygit2.Oid, commit: pygit2.Oid) -> bool:
        """Whether ``commit`` is ``head`` or in its history."""
        # It is near, as a rule. Git's own walk goes by the times of commits, and where somebody's clock was
        # wrong it goes through all of the history, and past where it begins.
        if is_near(self._repository, head, commit, _NEAR):
            return True
        try:
            return self._repository.descendant_of(head, commit)
        except (pygit2.GitError, KeyError):
            return False

    @contextlib.contextmanager
    def section(self) -> Iterator[None]:
        """Hold the flock, or after a bounded wait go on without it. Correctness never rests on it."""
        self._silent_since = take_flock(self._flock, self._clock, self._rng, silent_since=self._silent_since)
        self._holding = self._silent_since == 0
        try:
            if self._holding:
                self._finish_predecessor()
            yield
        finally:
            if self._holding:
                self._holding = False
                fcntl.flock(self._flock, fcntl.LOCK_UN)

    def _finish_predecessor(self) -> None:
        """If the last holder died while it moved a ref, remove the lock that it left."""
        note = os.pread(self._flock, 4096, 0).decode("ascii", "replace")
        if not note:
            return
        oid, _, name = note.strip().partition(" ")
        # A note that was not written to its end was never acted upon.
        if note.endswith("\n") and name.startswith("refs/") and pygit2.reference_is_valid_name(name):
            self._remove_lock_of(name, oid)
        os.ftruncate(self._flock, 0)

    def _remove_lock_of(self, name: str, oid: str) -> None:
        lock = self._lock_file(name)
        seen = _content(lock)
        if seen == "":
            self._clock.sleep(_EMPTY_LOCK_SECONDS)
            seen = _content(lock)
        if seen in ("", oid):
            lock.unlink(missing_ok=True)

    def _lock_file(self, name: str) -> Path:
        return self._path / f"{name}.lock"

    def move(self, name: str, base: pygit2.Oid | None, target: pygit2.Oid) -> bool:
        """Let ``name`` point to ``target``, a child of ``base``, if it is still at ``base`` (None: absent).

        To be called inside `section`. False: certainly not moved, by a competitor or a lock; look again.
        Raises `Unavailable` (certainly not moved, and no use in trying at once) or `OutcomeUnknown`.
        """
        failure: Exception | None = None
        with self._noted(f"{target} {name}\n"):
            try:
                if not self._swap(name, base, target):
                    return False
            except (pygit2.GitError, OSError, ValueError) as error:
                failure = error
        return self._landed(name, base, target, failure)

    def below(self, prefix: str) -> dict[str, pygit2.Oid]:
        """All refs that begin with ``prefix``, by the rest of their names. Raises `Unavailable`."""
        try:
            names = [name for name in self._repository.listall_references() if name.startswith(prefix)]
        except (pygit2.GitError, OSError) as error:
            raise Unavailable(f"the refs in {self._path} cannot be read: {error}") from error
        heads = {name.removeprefix(prefix): self.head(name) for name in names}
        return {name: head for name, head in heads.items() if head is not None}

    def remove(self, name: str, base: pygit2.Oid) -> bool:
        """Remove ``name`` if it is still at ``base``; False when it is not. To be called inside `section`.

        Raises `Unavailable`.
        """
        with self._noted(f"{base} {name}\n"):
            try:
                reference = self._lookup(name)
                if reference is None or reference.target != base:
                    return False
                # Goes only from the target that this very object was read with.
                reference.delete()
            except (pygit2.GitError, OSError, ValueError) as error:
                raise Unavailable(f"{name} in {self._path} cannot be removed: {error}") from error
        return True

    @contextlib.contextmanager
    def _noted(self, note: str) -> Iterator[None]:
        if not self._holding:
            yield
            return
        try:
            os.pwrite(self._flock, note.encode("ascii"), 0)
        except OSError as error:
            raise Unavailable(f"cannot write to {self._path}: {error.strerror}") from error
        try:
            yield
        finally:
            os.ftruncate(self._flock, 0)

    def _swap(self, name: str, base: pygit2.Oid | None, target: pygit2.Oid) -> bool:
        if base is not None:
            reference = self._lookup(name)
            if reference is None or reference.target != base:
                return False
            # Moves only from the target that this very object was read with.
            reference.set_target(target)
            return True
        with self._repository.transaction() as transaction:
            transaction.lock_ref(name)
            # The second read, under the lock, is what makes this a compare-and-swap.
            if self._lookup(name) is not None:
                return False
            transaction.set_target(name, target)
        return True

    def _landed(
        self, name: str, base: pygit2.Oid | None, target: pygit2.Oid, failure: Exception | None
    ) -> bool:
        # Even after success: whose lock was taken for a dead one's, and removed, may have renamed the
        # lock of another. Only what is in the history has landed.
        try:
            head = self.head(name)
        except Unavailable as error:
            raise OutcomeUnknown(f"whether {target} landed on {name} is open: {error}") from error
        if head is not None and self.contains(head, target):
            self._foreign.pop(name, None)
            return True
        if failure is not None and head == base and not self._examine_lock(name) and _is_lasting(failure):
            raise Unavailable(f"{name} in {self._path} cannot be moved: {failure}") from failure
        return False

    def _examine_lock(self, name: str) -> bool:
        """Whether ``<ref>.lock`` stands in the way; it is removed when it stood unchanged for long."""
        lock = self._lock_file(name)
        try:
            status = lock.stat()
        except FileNotFoundError:
            self._foreign.pop(name, None)
            return False
        # An inode number comes back at once after an unlink; the time of its last change does not.
        identity = (status.st_ino, status.st_ctime_ns)
        known, since = self._foreign.get(name, (None, 0.0))
        if known != identity:
            self._foreign[name] = (identity, self._clock.now())
        elif self._clock.now() - since >= FOREIGN_LOCK_SECONDS:
            lock.unlink(missing_ok=True)
            del self._foreign[name]
        return True

    def is_locked(self, name: str) -> bool:
        """Whether the last `move` of ``name`` met a lock file."""
        return name in self._foreign

    def obstacle(self, name: str) -> str:
        """What kept `move` from working, as the end of a sentence."""
        if self.is_locked(name):
            return (
                f"{self._lock_file(name)} stands in the way; it is removed when it stays unchanged for "
                f"{FOREIGN_LOCK_SECONDS:g} s"
            )
        return "others kept moving it first; try again"


def _content(file: Path) -> str | None:
    try:
        return file.read_text("ascii", "replace").strip()
    except FileNotFoundError:
        return None


def _is_lasting(error: Exception) -> bool:
    return any(os.strerror(code) in str(error) for code in _LASTING)
