"""Makes a store when it is told to go, and prints its root commit."""

import sys

import pygit2

from sentinel.model.layout import STATE_REF
from sentinel.store.opener import StoreOptions, create_store

print("ready", flush=True)
sys.stdin.readline()
create_store(sys.argv[1], StoreOptions(fsync=False))
print(pygit2.Repository(sys.argv[1]).lookup_reference(STATE_REF).target)
