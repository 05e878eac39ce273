"""A repository that stands on a server, and clients that reach it by a URL."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from pathlib import Path

import pygit2

from sentinel.clock import Clock, SystemClock
from sentinel.entropy import system_random
from sentinel.model.ids import IdSource
from sentinel.model.layout import SESSION_REFS, STATE_REF
from sentinel.store.location import locate
from sentinel.store.objects import Objects
from sentinel.store.opener import StoreOptions
from sentinel.store.remote import RemoteStore
from sentinel.store.remote_init import MARK
from sentinel.store.repository import root_commit
from sentinel.store.tree import path_of, write_tree
from sentinel.testing.workbench import StoreBench

WHO = pygit2.Signature("Somebody", "somebody@example.org")


class RemoteBench(StoreBench):
    """The repository ``path`` as ``url`` shows it; each client keeps its mirror in a folder of its own."""

    def __init__(
        self,
        path: Path,
        url: str,
        folder: Path,
        *,
        environ: Mapping[str, str] | None = None,
        timeout: float = 30.0,
    ) -> None:
        super().__init__()
        self.path = path
        self.url = url
        self.folder = folder
        self.environ = {**os.environ, **(environ or {})}
        self.timeout = timeout
        self._numbers = itertools.count(1)

    def create(self) -> None:
        """Make the repository and the fleet's state in it, as `sentinel init` would."""
        make_repository(self.path)
        ids = IdSource(system_random(), SystemClock().wall)
        root = root_commit(self.repository, "tester", ids, SystemClock().wall(), MARK)
        with self.repository.transaction() as transaction:
            transaction.lock_ref(STATE_REF)
            transaction.set_target(STATE_REF, root)

    def open(
        self, *, clock: Clock | None = None, folder: Path | None = None, timeout: float | None = None
    ) -> RemoteStore:
        options = StoreOptions(
            actor="tester",
            state_folder=folder or self.folder / f"client-{next(self._numbers)}",
            timeout=timeout or self.timeout,
        )
        return RemoteStore(locate(self.url), options, environ=self.environ, clock=clock)

    @property
    def repository(self) -> pygit2.Repository:
        """The repository as the server sees it."""
        return pygit2.Repository(str(self.path))

    def head(self) -> str:
        """Where the state branch is."""
        return str(self.repository.lookup_reference(STATE_REF).target)

    def subjects(self) -> list[str]:
        """The audit, newest first."""
        repository = self.repository
        return [commit.message.partition("\n")[0] for commit in repository.walk(self.head())]

    def plant(self, key: str, content: bytes) -> None:
        repository = self.repository
        reference = repository.lookup_reference(STATE_REF)
        base = reference.peel(pygit2.Commit)
        changes = {path_of(key): repository.create_blob(content)}
        tree = write_tree(Objects(repository), base.tree_id, changes)
        reference.set_target(repository.create_commit(None, WHO, WHO, "by hand", tree, [base.id]))

    def plant_register(self, name: str, content: bytes) -> None:
        repository = self.repository
        header = (
            f"tree {repository.TreeBuilder().write()}\nauthor a <a@b> 0 +0000\ncommitter a <a@b> 0 +0000\n\n"
        )
        oid = repository.odb.write(pygit2.enums.ObjectType.COMMIT, header.encode() + content)
        repository.lookup_reference(SESSION_REFS + name).set_target(oid)


def make_repository(path: Path) -> None:
    """A bare repository as an administrator makes it, which takes pushes over HTTP."""
    repository = pygit2.init_repository(str(path), bare=True)
    repository.config["http.receivepack"] = "true"
    repository.config["gc.auto"] = "0"
    repository.config["receive.autogc"] = "false"
