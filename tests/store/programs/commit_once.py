"""Commits one record, and prints the ids of all objects that this needed."""

import sys
from pathlib import Path

import pygit2

from sentinel.store.base import ABSENT
from sentinel.store.local import LocalStore
from sentinel.store.tree import path_of
from sentinel.testing.workbench import landed, transaction

path, fsync = Path(sys.argv[1]), sys.argv[2] == "1"
store = LocalStore(path, fsync=fsync)
revision = landed(store, transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))
print(revision)
at: pygit2.Object = pygit2.Repository(str(path))[revision].peel(pygit2.Tree)
print(at.id)
for name in path_of("tasks/a"):
    assert isinstance(at, pygit2.Tree)
    at = at[name]
    print(at.id)
