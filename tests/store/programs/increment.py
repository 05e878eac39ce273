"""Adds 1 to ``counter`` in a store, so many times, each by compare-and-swap; prints how often it tried."""

import sys

from sentinel.store.base import ABSENT, Committed
from sentinel.store.opener import StoreOptions, open_store
from sentinel.testing.workbench import attempt, transaction

url, name, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = open_store(url, StoreOptions(actor=name, fsync=False))
won = tried = 0
while won < times:
    snapshot = store.read()
    document = snapshot.get("counter") or {"value": 0}
    change = transaction(
        {"counter": snapshot.version("counter"), f"tasks/{name}-{won}": ABSENT},
        {"counter": {"value": document["value"] + 1, "by": name, "tried": tried}, f"tasks/{name}-{won}": {}},
        identifier=f"{name}-{tried}",
    )
    tried += 1
    won += isinstance(attempt(store, change), Committed)
print(tried)
