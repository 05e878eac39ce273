"""Finds, opens and makes the bare repository that a local store lives in."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

import pygit2

from sentinel.clock import SystemClock, rfc3339
from sentinel.entropy import system_random
from sentinel.errors import BadInput, BadRecord, NotAStore, StoreError, Unavailable
from sentinel.model.codec import Document, encode_document
from sentinel.model.ids import IdSource
from sentinel.model.layout import ARTIFACT_REFS, FLEET, STATE_REF
from sentinel.store import durability
from sentinel.store.base import ABSENT, Expected, Transaction, message
from sentinel.store.objects import Objects
from sentinel.store.opener import StoreOptions
from sentinel.store.refs import Refs, take_flock
from sentinel.store.tree import PATHS, GitSnapshot, path_of, write_tree

#: The folder inside the repository that holds what is private to this host.
PRIVATE = "sentinel"
#: In it, the folder of the proof-of-death files.
ALIVE = "alive"
#: In it, the file that is locked while packs of objects go.
TIDYING = "tidying"
#: Where the peers of a fleet beat, as its record says: in files beside the repository, or in refs that
#: other hosts see. Peers that look into different places would take each other for dead.
FILES = "files"
REFS = "refs"

#: Longest wait, in seconds, for another process that makes the same store.
_INIT_SECONDS = 10.0
_SETTINGS = {"receive.autogc": "false", "gc.auto": "0"}
_SKELETON = {"HEAD", "config", "description", "hooks", "info", "objects", "refs", "branches"}
_NETWORK = re.compile(
    r"nfs4?|cifs|smb\d?|smbfs|ncpfs|afs|9p|ceph|glusterfs|lustre|beegfs|gpfs|davfs|"
    r"fuse\.(sshfs|glusterfs|s3fs|rclone|gcsfuse|ceph|juicefs|davfs2?)"
)


def path_of_url(url: str) -> Path:
    """The absolute path that a ``file://`` URL or plain path names. Raises `BadInput` for another host's."""
    if not url.startswith("file://"):
        return Path(url).expanduser().absolute()
    host, slash, rest = url.removeprefix("file://").partition("/")
    if host not in ("", "localhost") or not slash:
        raise BadInput(
            f"the store {url!r} names a host; write file:///PATH, or git+ssh:// for another machine"
        )
    return Path("/" + unquote(rest))


def signature(actor: str, wall: float) -> pygit2.Signature:
    """The author of a commit by ``actor`` at ``wall`` seconds since 1970."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", actor) or "client"
    return pygit2.Signature(name, f"{name}@sentinel.invalid", max(0, int(wall)), 0)


def network_file_system(path: Path, mounts: str) -> str | None:
    """The type of the network file system that ``path`` is on, by ``mounts`` in the form of /proc/mounts.

    A root file system of type 9p is not one: that is how sandboxes show a private disk.
    """
    best, kind = "", ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[1])
        if path.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, fields[2]
    if not _NETWORK.fullmatch(kind) or (kind == "9p" and best == "/"):
        return None
    return kind


def _refuse_network(path: Path) -> None:
    try:
        mounts = Path("/proc/mounts").read_text("utf-8", "surrogateescape")
    except OSError:
        return
    kind = network_file_system(path.resolve(), mounts)
    if kind is not None:
        raise NotAStore(
            f"{path} is on a network file system ({kind}), where locks and renames cannot be relied on; "
            f"keep the repository on one machine's disk and reach it by git+ssh://HOST{path}"
        )


def open_repository(path: Path) -> pygit2.Repository:
    """The bare repository at ``path``.

    Raises `NotAStore` when it is none or cannot be used as a store, and `Unavailable` when access is denied.
    """
    _refuse_network(path)
    try:
        if not path.is_dir():
            raise NotAStore(
                f"{path} is not a folder; name another place, where `sentinel init` can make a store"
                if path.exists()
                else f"{path} does not exist; make a store with `sentinel init --store {path}`"
            )
        empty = next(path.iterdir(), None) is None
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}; give this user access to it") from error
    try:
        repository = pygit2.Repository(str(path), pygit2.enums.RepositoryOpenFlag.NO_SEARCH)
    except (pygit2.GitError, OSError, ValueError) as error:
        raise _unusable(path, str(error), empty=empty) from error
    if not repository.is_bare:
        raise NotAStore(
            f"{path} is a repository with a working tree; a store is a bare one of its own, such as "
            f"`sentinel init --store {path}.git` makes"
        )
    return repository


def _unusable(path: Path, problem: str, *, empty: bool) -> StoreError:
    if "not owned" in problem:
        return Unavailable(
            f"{path} belongs to another user; to use it run `git config --global --add safe.directory {path}`"
        )
    if "extension" in problem or "object format" in problem or "format version" in problem:
        return NotAStore(
            f"{path} is a repository of a kind that cannot be a store ({problem}); a store has SHA-1 objects "
            "and refs in files: name a new folder"
        )
    if empty:
        return NotAStore(f"{path} is not a Git repository; make one with `sentinel init --store {path}`")
    return NotAStore(
        f"{path} is not a Git repository; name a new folder, where `sentinel init` makes a store"
    )


def check_fleet(place: object, snapshot: GitSnapshot, *, sessions: str) -> Expected:
    """The version of the record that marks a store whose peers beat in ``sessions`` (`FILES` or `REFS`).

    Raises `NotAStore` when this version cannot use the store, or not in this way.
    """
    try:
        fleet = snapshot.get(FLEET)
    except BadRecord as bad:
        raise NotAStore(f"{place} cannot be used: its record {bad}") from bad
    if fleet is None:
        raise NotAStore(
            f"the branch sentinel/state in {place} was not made by Sentinel, for it has no record {FLEET!r}; "
            "name another repository"
        )
    if fleet.get("paths") != PATHS:
        raise NotAStore(
            f"{place} was made by a Task Sentinel that laid its records out otherwise; make a new store, and "
            "hand in there what is still to be done"
        )
    found = fleet.get("sessions", FILES)
    if found == sessions:
        return snapshot.version(FLEET)
    if found == REFS:
        raise NotAStore(f"the peers of {place} reach it through git; use git+file://{place} here, too")
    raise NotAStore(
        f"{place} was made for the peers of one host; to let those of others in, stop its workers and run "
        f"`sentinel init --store {place}`"
    )


def create_local(url: str, options: StoreOptions, *, dry_run: bool = False) -> list[str]:
    """Make the bare repository and the fleet's state in it; what is there already is left as it is.

    One sentence for each thing that was, or with ``dry_run`` would be, done. Raises `NotAStore` for a place
    that cannot become a store, and `Unavailable`, with the path, when the disk or the permissions forbid it.
    """
    path = path_of_url(url)
    verb = "Would make" if dry_run else "Made"
    done: list[str] = []
    with _making(path), durability.syncing() if options.fsync else contextlib.nullcontext():
        _refuse_network(path)
        if not path.exists() or _is_unfinished(path):
            done.append(f"{verb} the bare repository {path}.")
            if dry_run:
                return [*done, f"{verb} the branch sentinel/state in it."]
        if not dry_run:
            path.mkdir(parents=True, exist_ok=True)
        with _alone(path):
            if not dry_run and _is_unfinished(path):
                pygit2.init_repository(str(path), bare=True, initial_head=STATE_REF)
            repository = open_repository(path)
            done += _configure(repository, dry_run=dry_run)
            done += _fill(path, repository, options, dry_run=dry_run)
    return done


def _is_unfinished(path: Path) -> bool:
    """Whether ``path`` is empty, or holds a part of what `git init` makes: somebody was killed in it."""
    if not path.is_dir() or any(entry.name not in _SKELETON for entry in path.iterdir()):
        return False
    return not (path / "HEAD").exists() or not (path / "config").exists()


@contextlib.contextmanager
def _making(path: Path) -> Iterator[None]:
    try:
        yield
    except StoreError:
        raise
    except (pygit2.GitError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise Unavailable(
            f"cannot make a store in {path}: {reason}; put that right and run the same command again"
        ) from error


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep out others that make the same store, if they are done in a reasonable time."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        take_flock(descriptor, SystemClock(), system_random())
        yield
    finally:
        os.close(descriptor)


def _configure(repository: pygit2.Repository, *, dry_run: bool) -> list[str]:
    done = []
    for name, value in _SETTINGS.items():
        if name not in repository.config or repository.config[name] != value:
            if not dry_run:
                repository.config[name] = value
            done.append(f"{'Would set' if dry_run else 'Set'} {name} to {value}.")
    return done


def _fill(path: Path, repository: pygit2.Repository, options: StoreOptions, *, dry_run: bool) -> list[str]:
    done = []
    private = path / PRIVATE
    if dry_run:
        return [] if STATE_REF in repository.references else ["Would make the branch sentinel/state in it."]
    (private / ALIVE).mkdir(parents=True, exist_ok=True)
    _make_folders(path, sync=options.fsync)
    clock, rng = SystemClock(), system_random()
    refs = Refs(repository, private / "flock", clock, rng)
    try:
        limit = clock.now() + _INIT_SECONDS
        while (head := refs.head(STATE_REF)) is None:
            root = root_commit(repository, options.actor, IdSource(rng, clock.wall), clock.wall(), {})
            with refs.section():
                if refs.move(STATE_REF, None, root):
                    done.append("Made the branch sentinel/state in it.")
            if clock.now() >= limit:
                raise Unavailable(f"cannot make {STATE_REF} in {path}: {refs.obstacle(STATE_REF)}")
        check_fleet(path, GitSnapshot(Objects(repository), head), sessions=FILES)
    finally:
        refs.close()
    return done


def _make_folders(path: Path, *, sync: bool) -> None:
    """The folders that objects and refs will need: libgit2 syncs what is in a new one, but not its entry."""
    objects = path / "objects"
    made = [objects / f"{number:02x}" for number in range(256)]
    for ref in (STATE_REF, ARTIFACT_REFS + "day"):
        folder = (path / ref).parent
        while folder != path:
            made.append(folder)
            folder = folder.parent
    for folder in made:
        folder.mkdir(parents=True, exist_ok=True)
    if sync:
        # Each one's entry in the folder above it is what counts.
        durability.sync_files(
            [folder for folder in dict.fromkeys(made) if folder.parent != objects] + made[:1]
        )


def root_commit(
    repository: pygit2.Repository, actor: str, ids: IdSource, wall: float, mark: Mapping[str, str]
) -> pygit2.Oid:
    """The first commit of a fleet made at ``wall``; ``mark`` goes into its record."""
    record, change = founding(actor, ids.ulid(), wall, mark)
    blob = repository.create_blob(encode_document(record))
    tree = write_tree(Objects(repository), None, {path_of(FLEET): blob})
    author = signature(actor, wall)
    return repository.create_commit(None, author, author, message([change], ids.nonce()), tree, [])


def founding(actor: str, tx: str, wall: float, mark: Mapping[str, str]) -> tuple[Document, Transaction]:
    """The record that makes a fleet, with ``mark`` in it, and the transaction ``tx`` that writes it."""
    made = {"created_at": rfc3339(wall), "created_by": actor, "paths": PATHS}
    record = {"rev": 1, "tx": tx, **made, **mark}
    return record, Transaction(tx, {FLEET: ABSENT}, {FLEET: record}, f"make the fleet by {actor}")
