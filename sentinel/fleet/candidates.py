"""Which workers take tasks now, and which tasks are ready to be taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from sentinel.fleet.balancers.port import Candidate
from sentinel.fleet.dependencies import waiting_for
from sentinel.fleet.hints import hints
from sentinel.fleet.observer import Observer
from sentinel.fleet.view import View, load_session
from sentinel.model import layout
from sentinel.model.task import Task
from sentinel.model.worker import Session, Worker
from sentinel.store.base import Register


def candidates(
    view: View, registers: Mapping[str, Register], observer: Observer, *, cordoned: bool = False
) -> list[Candidate]:
    """Live workers that beat and take tasks, `placed`; those instead that would but for being ``cordoned``.

    One that has been silent for its stated TTL is left out: giving it work would only make the work wait for
    the failover.
    """
    owned = Counter(task.owner for task in view.running.values())
    lonely = {task.owner for task in view.running.values() if task.alone}
    meant = Counter(hints(view).values())
    found: list[tuple[Worker, Session]] = []
    for name in sorted(view.workers):
        worker = view.workers[name]
        session = beating(view, registers, observer, worker.incarnation)
        if session is not None and session.status == "online" and worker.cordoned is cordoned:
            found.append((worker, session))
    served = sum(session.counts.ended for _, session in found)
    # All at once: an assignment would have to copy each to tell it its place.
    listed = [
        Candidate(
            id=worker.id,
            types=frozenset(worker.types),
            active=owned[worker.id],
            max_tasks=worker.max_tasks,
            region=worker.region,
            role=worker.role,
            capabilities=frozenset(worker.capabilities),
            cpu_cores=worker.cpu_cores,
            memory_mb=worker.memory_mb,
            cpu_percent=session.cpu_percent,
            queue=meant[worker.id],
            served=session.counts.ended,
            place=place,
            fleet_size=len(found),
            fleet_served=served,
        )
        for place, (worker, session) in enumerate(found)
    ]
    return [candidate.full() if candidate.id in lonely else candidate for candidate in listed]


def beating(
    view: View, registers: Mapping[str, Register], observer: Observer, incarnation: str
) -> Session | None:
    """The session of a live incarnation that is neither sealed nor was silent for its stated TTL, or None."""
    name = layout.session_register(incarnation)
    register = registers.get(name)
    session = load_session(name, register)
    if register is None or session is None or not view.live(incarnation):
        return None
    if session.sealed_by is not None or observer.silence(name, register.version) >= session.ttl:
        return None
    return session


def ready(view: View, waited: Callable[[Task], float]) -> list[Task]:
    """Tasks that may start now: pending, done backing off, and all that they run after is done.

    ``waited`` gives the seconds for which this peer has seen a task's record unchanged.
    """
    return [
        task
        for task in view.tasks.values()
        if task.state == "pending" and waited(task) >= task.backoff and not waiting_for(task, view.task)
    ]
