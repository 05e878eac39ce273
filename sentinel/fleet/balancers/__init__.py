"""Strategies that choose a worker for a task, found by name: pure functions, the same on every peer.

`sentinel.fleet.assigning` asks them for one task after the other: a balancer only ever sees workers that may
take the task.
"""

from __future__ import annotations

from sentinel.fleet.balancers.catalogue import configured, find
from sentinel.fleet.balancers.port import Balancer, Candidate, Homing

__all__ = ["Balancer", "Candidate", "Homing", "configured", "find"]
