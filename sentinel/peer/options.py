"""What does not change during one incarnation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from sentinel.fleet.balancers import Balancer
from sentinel.model.lease import POLL, LeaseTimes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PeerOptions:
    """Who this peer is, how it beats, and how it takes work."""

    worker: str
    times: LeaseTimes
    max_tasks: int
    types: frozenset[str]
    balancer: Balancer
    balancer_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    #: Longest pause between two looks, in seconds.
    poll: float = POLL
    #: Seconds after which a task that another peer should have claimed may be taken by anyone.
    claim_grace: float = 1.0
    #: Seconds between SIGTERM and SIGKILL for a task that is cancelled or drained.
    stop_grace: float = 5.0
    #: Whether peers recover the work of silent ones at all (the guide's ``recoveryEnabled``).
    recovery: bool = True
    #: Seconds between two looks for values of shared memory that have expired.
    expiry_interval: float = 5.0
    #: Remove the worker's registration when it leaves (``--ephemeral``).
    forget: bool = False
