"""Moves one register so many times, against others that do the same; prints the versions that it used up."""

import sys

from sentinel.store.base import ABSENT, Committed, Expected
from sentinel.store.opener import StoreOptions, open_store

url, times = sys.argv[1], int(sys.argv[2])
store = open_store(url, StoreOptions(fsync=False))
won = 0
while won < times:
    register = store.published().get("ab")
    seq = 0 if register is None else (register.document or {})["seq"]
    expect: Expected = ABSENT if register is None else register.version
    if isinstance(store.publish("ab", {"seq": seq + 1}, expect), Committed):
        won += 1
        print(expect)
