"""A repository on the emulated GitHub, and stores that reach it by the API."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pygit2

from sentinel.clock import SystemClock
from sentinel.entropy import system_random
from sentinel.github.api import Api
from sentinel.github.git import GitData
from sentinel.github.opening import make_branch
from sentinel.github.store import ApiStore
from sentinel.model.layout import SESSION_REFS, STATE_REF
from sentinel.store.opener import StoreOptions
from sentinel.store.tree import path_of
from sentinel.testing.workbench import StoreBench

WHO = pygit2.Signature("Somebody", "somebody@example.org")


class ApiBench(StoreBench):
    """acme/fleet with a fleet in it; each client keeps what it read in a folder of its own."""

    def __init__(self, make_api: Callable[..., Api], folder: Path, **options: Any) -> None:
        super().__init__()
        self._make_api = make_api
        self._options = options
        self.folder = folder
        self._numbers = itertools.count(1)
        self._admin = GitData(make_api())
        self.api = make_api()
        make_branch(self._admin, self.api.place, "tester", clock=SystemClock(), rng=system_random())

    def open(self, *, folder: Path | None = None, clock: Any = None, **options: Any) -> ApiStore:
        given = {**self._options, **options}
        if clock is not None:
            given["clock"] = clock
        store_options = StoreOptions(
            actor="tester", state_folder=folder or self.folder / f"client-{next(self._numbers)}"
        )
        return ApiStore(self._make_api(**given), store_options, clock=clock)

    def head(self) -> str:
        """Where the state branch is."""
        head = self._admin.ref(STATE_REF)
        assert head is not None
        return head

    def subjects(self) -> list[str]:
        """The audit, newest first."""
        return [commit.message.partition("\n")[0] for commit in self._admin.commits(self.head())]

    def plant(self, key: str, content: bytes) -> None:
        head = self.head()
        base = self._admin.commit(head).tree
        tree = self._admin.make_tree(base, {"/".join(path_of(key)): self._admin.make_blob(content)})
        commit = self._admin.make_commit("by hand\n", tree, [head], WHO)
        self._force("heads/sentinel/state", commit)

    def plant_register(self, name: str, content: bytes) -> None:
        tree = self._admin.make_tree(None, {"x": b"x"})
        commit = self._admin.make_commit(content.decode("utf-8", "replace"), tree, [], WHO)
        self._force(SESSION_REFS.removeprefix("refs/") + name, commit)

    def _force(self, ref: str, commit: str) -> None:
        body: Mapping[str, Any] = {"sha": commit, "force": True}
        self.api.send("PATCH", f"{self.api.place.path}/git/refs/{ref}", body)
