"""What a client knows besides its store."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from sentinel.fleet.shared_memory import MemoryOptions
from sentinel.fleet.submission import DEFAULT_TIMEOUT, SHELL, Declared

#: Largest result in bytes that is read back from a blob.
MAX_RESULT_BYTES = 64 * 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """Settings of a client; all have defaults."""

    #: Task types that this side knows; those of registered workers are found in the store.
    types: Mapping[str, Declared] = dataclasses.field(default_factory=lambda: {"shell": SHELL})
    #: Seconds one attempt may take, where neither the submission nor its type says.
    timeout: float = DEFAULT_TIMEOUT
    #: Automatic retries, where neither the submission nor its type says.
    retries: int = 0
    #: Seconds of silence before the holder of a lock may be taken for dead, unless it announced more.
    stale: float = 10.0
    #: Whether proof of death on this host may shorten that.
    local_proof: bool = True
    #: Wait for the disk on every commit.
    fsync: bool = True
    #: Name and options of the fleet's balancer, and whether labelled tasks have a home: `Client.why` tells
    #: whose turn it is.
    strategy: str = "least_loaded"
    #: Policy, cache and write-behind of `Client.memory`.
    memory: MemoryOptions = dataclasses.field(default_factory=MemoryOptions)
    balancer_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    affinity: bool = True
