"""Who takes which task: a pure function of the snapshot, the same on every peer.

Each peer computes the whole assignment and claims only its own share, so identical peers mostly agree
without talking; compare-and-swap is the referee where they do not. `assign` filters first (a balancer
only ever sees workers that may take the task), then the strategy chooses among them.
"""

from __future__ import annotations

from sentinel.fleet.balancers.assignment import assign
from sentinel.fleet.balancers.catalogue import configured, find
from sentinel.fleet.balancers.port import Balancer, Candidate, Homing

__all__ = ["Balancer", "Candidate", "Homing", "assign", "configured", "find"]
