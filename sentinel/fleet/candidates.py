"""Which workers take tasks now, and which tasks are ready to be taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from sentinel.fleet.balancers.port import Candidate
from sentinel.fleet.dependencies import waiting_for
from sentinel.fleet.observer import Observer
from sentinel.fleet.view import View, load_session
from sentinel.model import layout
from sentinel.model.task import Task
from sentinel.store.base import Register


def candidates(view: View, registers: Mapping[str, Register], observer: Observer) -> Iterator[Candidate]:
    """Live workers that beat and take tasks. One that has been silent for its stated TTL is left out:
    giving it work would only make the work wait for the failover."""
    owned = Counter(task.owner for task in view.running.values())
    lonely = {task.owner for task in view.running.values() if task.alone}
    for worker in view.workers.values():
        name = layout.session_register(worker.incarnation)
        register = registers.get(name)
        session = load_session(name, register)
        if register is None or session is None or not view.live(worker.incarnation):
            continue
        if session.sealed_by is not None or session.status != "online":
            continue
        if observer.silence(name, register.version) >= session.ttl:
            continue
        candidate = Candidate(
            id=worker.id,
            types=frozenset(worker.types),
            active=owned[worker.id],
            max_tasks=worker.max_tasks,
            region=worker.region,
        )
        yield candidate.full() if worker.id in lonely else candidate


def ready(view: View, waited: Callable[[Task], float]) -> list[Task]:
    """Tasks that may start now: pending, done backing off, and all that they run after is done.

    ``waited`` gives the seconds for which this peer has seen a task's record unchanged.
    """
    return [
        task
        for task in view.pending.values()
        if waited(task) >= task.backoff and not waiting_for(task, view.task)
    ]
