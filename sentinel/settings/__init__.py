"""Settings: one frozen tree from flags, environment, `.env` and two JSON files.

`load` merges the sources (flag > environment > `.env` > worker file > shared file > default) and reports
every problem at once. pydantic is slow to import, so nothing but this package imports it, and whoever needs
settings imports this package only then.
"""

from __future__ import annotations

from sentinel.settings.catalogue import Effective, KeyDoc, documented_keys, effective
from sentinel.settings.fleet_wide import (
    Alerts,
    GitHub,
    Heartbeat,
    LoadBalancer,
    Locking,
    MemorySync,
    Retention,
)
from sentinel.settings.loading import load
from sentinel.settings.per_worker import Execution, Failover, Local, Log, State, TaskDefaults, Tasks, Worker
from sentinel.settings.scaling import AutoScaling
from sentinel.settings.tree import DEFAULT_LEASE, Settings, StoreKind, store_kind

__all__ = [
    "DEFAULT_LEASE",
    "Alerts",
    "AutoScaling",
    "Effective",
    "Execution",
    "Failover",
    "GitHub",
    "Heartbeat",
    "KeyDoc",
    "LoadBalancer",
    "Local",
    "Locking",
    "Log",
    "MemorySync",
    "Retention",
    "Settings",
    "State",
    "StoreKind",
    "TaskDefaults",
    "Tasks",
    "Worker",
    "documented_keys",
    "effective",
    "load",
    "store_kind",
]
