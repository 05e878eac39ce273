"""What does not change during one incarnation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from sentinel.fleet.balancers import Balancer
from sentinel.fleet.health import Limits
from sentinel.fleet.pacing import ALONE, Pacing, Rhythm, Seen
from sentinel.fleet.patterns import GroupBy, Pattern
from sentinel.model.lease import POLL, LeaseTimes
from sentinel.model.redaction import Redactor
from sentinel.model.retention import Terms


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PeerOptions:
    """Who this peer is, how it beats, and how it takes work."""

    worker: str
    times: LeaseTimes
    max_tasks: int
    types: frozenset[str]
    balancer: Balancer
    balancer_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    #: Longest pause between two looks, in seconds; see `LeaseTimes.poll`.
    poll: float = POLL
    #: What stretches ``times`` and ``poll`` on a store with limits; None where they hold as they are.
    pacing: Pacing | None = None
    #: Seconds after which a task that another peer should have claimed may be taken by others; never less
    #: than that peer needs to look, see `Tempo.patience`.
    claim_grace: float = 1.0
    #: Who assigns tasks: every peer for itself, one for all, or leaders for their own.
    pattern: Pattern = "peer_to_peer"
    #: What makes a group with a leader of its own.
    group_by: GroupBy = "region"
    #: Seconds between two looks of a coordinator for a better distribution of what it has assigned.
    rebalance: float = 60.0
    #: Seconds between SIGTERM and SIGKILL for a task that is cancelled or drained.
    stop_grace: float = 5.0
    #: Whether peers recover the work of silent ones at all (the guide's ``recoveryEnabled``).
    recovery: bool = True
    #: Seconds between two looks for values of shared memory that have expired.
    expiry_interval: float = 5.0
    #: From where on a number of the fleet is an alert; None where this peer does not look for any.
    alerts: Limits | None = None
    #: Seconds between two looks for alerts.
    watch_every: float = 30.0
    #: How long ended tasks are kept; None where this peer prunes nothing.
    retention: Terms | None = None
    #: Remove the worker's registration when it leaves (``--ephemeral``).
    forget: bool = False
    #: Takes secrets out of what tasks print, say and return, before it is stored.
    redactor: Redactor = dataclasses.field(default_factory=Redactor)

    def rhythm(self, seen: Seen = ALONE) -> Rhythm:
        """How this peer goes on in a fleet that looks like this."""
        if self.pacing is None:
            return Rhythm(times=self.times, poll=self.poll)
        return self.pacing.rhythm(seen)
