"""Commits one record, and is killed inside the move of the ref, with libgit2's lock file left as told."""

import os
import signal
import sys
from pathlib import Path

from sentinel.model.layout import STATE_REF
from sentinel.store.base import ABSENT
from sentinel.store.local import LocalStore
from sentinel.testing.workbench import attempt, transaction

path, left = Path(sys.argv[1]), sys.argv[2]
store = LocalStore(path, fsync=False)


def die(name: str, _base: object, target: object) -> bool:
    lock = path / f"{name}.lock"
    if left != "nothing":
        lock.write_text("" if left == "empty" else f"{target}\n")
    if left == "renamed":
        lock.rename(path / STATE_REF)
    os.kill(os.getpid(), signal.SIGKILL)
    return False


store._refs._swap = die  # type: ignore[method-assign, assignment]  # the kill must hit in this one call
attempt(store, transaction({"tasks/mine": ABSENT}, {"tasks/mine": {}}))
