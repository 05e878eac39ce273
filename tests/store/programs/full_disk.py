"""Does to a store what a full disk would make fail: nothing in this process can write to a file any more."""

import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from sentinel.errors import SentinelError
from sentinel.store.base import ABSENT
from sentinel.store.local import LocalStore
from sentinel.store.opener import StoreOptions, create_store
from sentinel.testing.workbench import attempt, transaction

path = Path(sys.argv[1])
store = LocalStore(path, fsync=False)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
acts: list[Callable[[], object]] = [
    lambda: attempt(store, transaction({"tasks/a": ABSENT}, {"tasks/a": {}})),
    lambda: store.publish("ab", {"seq": 1}, ABSENT),
    lambda: store.keep([b"a log"]),
    lambda: create_store(str(path.parent / "other.git"), StoreOptions(fsync=False)),
]
for act in acts:
    try:
        sys.stdout.write(f"{act()}\n")
    except SentinelError as error:
        sys.stdout.write(f"{type(error).__name__}: {error}\n")
