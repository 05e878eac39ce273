"""What registered workers say of the task types that they run, for submitters that do not know them."""

from __future__ import annotations

from collections.abc import Iterable

from sentinel.fleet.submission import Declared
from sentinel.fleet.view import load
from sentinel.model import layout
from sentinel.model.worker import Worker
from sentinel.store.base import Snapshot


def registered(snapshot: Snapshot) -> list[Worker]:
    """All workers whose records can be read, by id; whoever only wants them need not read all the tasks."""
    found = (load(snapshot, key, Worker.load) for key in sorted(snapshot.list(layout.WORKERS)))
    return [record for record in found if isinstance(record, Worker)]


def registered_limits(workers: Iterable[Worker], name: str) -> Declared | None:
    """What the first registered worker that runs the type ``name`` says of its time-out and retries."""
    for worker in sorted(workers, key=lambda worker: worker.id):
        limits = worker.limits.get(name)
        if limits is not None:
            retries = limits.get("retries")
            return Declared(
                origin=f"worker {worker.id}",
                timeout=limits.get("timeout"),
                retries=None if retries is None else int(retries),
            )
    return None


def unimplemented_types(workers: Iterable[Worker]) -> dict[str, str]:
    """Task types that workers are to take and have no code for → the first of those workers, by id."""
    return {
        name: f"worker {worker.id}"
        for worker in sorted(workers, key=lambda worker: worker.id, reverse=True)
        for name in worker.unimplemented
    }


def registered_types(workers: Iterable[Worker]) -> dict[str, str]:
    """Task types of registered workers → the first of them, by id."""
    return {
        name: f"worker {worker.id}"
        for worker in sorted(workers, key=lambda worker: worker.id, reverse=True)
        for name in worker.types
    }
