"""Task Sentinel turns a Git repository into a worker fleet: identical peers, no broker, no coordinator.

The public face. Everything is loaded on first use, so that ``import sentinel`` costs next to nothing in
a task or in ``sentinel --help``::

    import sentinel

    @sentinel.task("word-count", timeout=60, retries=2)
    def word_count(path: str) -> dict[str, int]: ...

    client = sentinel.Client("/srv/fleet.git")
    task = client.submit("word-count", {"path": "docs"})
"""

from __future__ import annotations

from importlib import import_module

#: Type checkers take this name for true. `typing` itself would cost more than all the rest of this module.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sentinel.client import Client
    from sentinel.errors import (
        BadInput,
        ClaimLost,
        ConfigurationError,
        Conflict,
        LockHeld,
        LockLost,
        NotFound,
        OutcomeUnknown,
        SentinelError,
        StoreError,
        TaskFailed,
        Unavailable,
        WaitTimeout,
    )
    from sentinel.peer.run.context import CurrentTask, current_task
    from sentinel.peer.run.memory import memory
    from sentinel.peer.run.registered import task

__version__ = "0.1.0"

__all__ = [
    "BadInput",
    "ClaimLost",
    "Client",
    "ConfigurationError",
    "Conflict",
    "CurrentTask",
    "LockHeld",
    "LockLost",
    "NotFound",
    "OutcomeUnknown",
    "SentinelError",
    "StoreError",
    "TaskFailed",
    "Unavailable",
    "WaitTimeout",
    "__version__",
    "current_task",
    "memory",
    "task",
]

_HOMES = {
    "Client": "sentinel.client",
    "CurrentTask": "sentinel.peer.run.context",
    "current_task": "sentinel.peer.run.context",
    "memory": "sentinel.peer.run.memory",
    "task": "sentinel.peer.run.registered",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'sentinel' has no attribute {name!r}")
    value = getattr(import_module(_HOMES.get(name, "sentinel.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
