"""`Client`: submit work, wait for it, read its result, and change what the fleet does."""

from __future__ import annotations

from sentinel.client.failing_over import FailoverCalls
from sentinel.client.fleetwide import FleetCalls
from sentinel.client.following import TaskCalls
from sentinel.client.membership import WorkerCalls
from sentinel.client.rebalancing import RebalanceCalls
from sentinel.client.remembering import MemoryCalls
from sentinel.client.submitting import SubmitCalls


class Client(SubmitCalls, TaskCalls, WorkerCalls, MemoryCalls, FailoverCalls, FleetCalls, RebalanceCalls):
    """A connection to one fleet. Not shared between threads: each opens its own.

    ``store`` is a store URL or path (``memory:`` is a fleet of its own, for tests), or an open store, which
    stays the caller's to close. Every method raises `StoreError` when the store cannot serve, and those that
    change something take ``dry_run``: then all is checked and decided, and nothing is written.
    """
