"""Makes the fleet's state on a Git server: one root commit, pushed on condition that there is none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

import pygit2

from sentinel.clock import SystemClock
from sentinel.entropy import system_random
from sentinel.errors import Conflict, NotAStore, OutcomeUnknown, Rejected, Unavailable
from sentinel.model.codec import encode_document
from sentinel.model.ids import IdSource
from sentinel.model.layout import FLEET, INCARNATIONS, STATE_REF
from sentinel.store.base import Transaction, message
from sentinel.store.git_answers import Pushed
from sentinel.store.location import Location, locate
from sentinel.store.mirror import Mirror
from sentinel.store.opener import StoreOptions
from sentinel.store.remote import warn_in_the_clear
from sentinel.store.repository import FILES, REFS, check_fleet, root_commit, signature
from sentinel.store.tree import GitSnapshot, path_of, write_tree

#: What the record of a fleet says whose peers beat in refs.
MARK = {"sessions": REFS}


def create_remote(url: str, options: StoreOptions, *, dry_run: bool = False) -> list[str]:
    """Make the fleet's state in a repository on a Git server, or do nothing where it is; safe to run at once.

    The repository itself must be there, except for ``git+file://``. One sentence for each thing that was, or
    with ``dry_run`` would be, done. Raises `BadInput` for the URL, `Unavailable` when the server cannot be
    reached, `NotAStore` for a branch of that name that is somebody else's, and `Rejected` when the server
    does not take the branch.
    """
    return create_at(locate(url), options, dry_run=dry_run)


def create_at(
    location: Location,
    options: StoreOptions,
    *,
    dry_run: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> list[str]:
    """The same at a location, with credentials from ``environ``. Raises the same, but for a wrong URL."""
    warn_in_the_clear(location)
    verb = "Would make" if dry_run else "Made"
    done = []
    if location.transport == "file":
        path = Path(unquote(location.url.removeprefix("file://")))
        if not path.exists():
            done.append(f"{verb} the bare repository {path}.")
            if dry_run:
                return [*done, f"{verb} the branch sentinel/state in it."]
            _make_repository(path)
    mirror = Mirror(location, state_folder=options.state_folder, environ=environ, timeout=options.timeout)
    try:
        head = mirror.fetch(state=True, sessions=False)
        if head is None:
            done.append(f"{verb} the branch sentinel/state in {location.store}.")
            if dry_run:
                return done
            head = _make_branch(mirror, options.actor)
        return done + _convert(location, mirror, head, options, dry_run=dry_run)
    finally:
        mirror.close()


def _make_repository(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        repository = pygit2.init_repository(str(path), bare=True, initial_head=STATE_REF)
        repository.config["receive.autogc"] = "false"
        repository.config["gc.auto"] = "0"
    except (OSError, pygit2.GitError) as error:
        raise Unavailable(
            f"cannot make a repository in {path}: {error}; put that right, and try again"
        ) from error


def _make_branch(mirror: Mirror, actor: str) -> pygit2.Oid:
    clock, rng = SystemClock(), system_random()
    root = root_commit(mirror.repository, actor, IdSource(rng, clock.wall), clock.wall(), MARK)
    answer = mirror.send(STATE_REF, root, None)
    if answer.pushed is Pushed.REFUSED:
        raise Rejected(f"{mirror.location.store} does not take the branch sentinel/state: {answer.reason}")
    if answer.pushed is Pushed.FAILED:
        raise Unavailable(answer.reason)
    # Ours or that of somebody who was at it at the same time.
    head = mirror.fetch(state=True, sessions=False)
    if head is None:
        raise OutcomeUnknown(
            f"whether the branch was made in {mirror.location.store} is open ({answer.reason}); run the same "
            "command again"
        )
    return head


def _convert(
    location: Location, mirror: Mirror, head: pygit2.Oid, options: StoreOptions, *, dry_run: bool
) -> list[str]:
    """Let a fleet whose peers beat in files beat in refs from now on, if none is there to miss it."""
    snapshot = GitSnapshot(mirror.objects, head)
    try:
        check_fleet(location.store, snapshot, sessions=REFS)
    except NotAStore:
        check_fleet(location.store, snapshot, sessions=FILES)
    else:
        return []
    if any(snapshot.list(INCARNATIONS)):
        raise Conflict(
            f"{location.store} was made for the peers of one host, and some are at work; stop every worker, "
            "then run the same command again"
        )
    if not dry_run:
        _mark(mirror, snapshot, options.actor)
    return [f"{'Would let' if dry_run else 'Let'} the peers of other hosts into {location.store}."]


def _mark(mirror: Mirror, base: GitSnapshot, actor: str) -> None:
    clock, rng = SystemClock(), system_random()
    ids = IdSource(rng, clock.wall)
    fleet = base.get(FLEET) or {}
    tx = ids.ulid()
    record = {**fleet, **MARK, "rev": fleet.get("rev", 0) + 1, "tx": tx}
    change = Transaction(tx, {FLEET: base.version(FLEET)}, {FLEET: record}, f"let other hosts in by {actor}")
    repository, author = mirror.repository, signature(actor, clock.wall())
    blob = repository.create_blob(encode_document(record))
    tree = write_tree(mirror.objects, base.root, {path_of(FLEET): blob})
    text = message([change], ids.nonce())
    commit = repository.create_commit(None, author, author, text, tree, [base.commit])
    answer = mirror.send(STATE_REF, commit, base.commit)
    if answer.pushed is not Pushed.LANDED:
        raise Conflict(
            f"{mirror.location.store} could not be opened to other hosts ({answer.reason}); run the same "
            "command again"
        )
