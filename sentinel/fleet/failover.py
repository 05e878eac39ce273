"""Failover in two steps that any peer may take or complete, and the one path by which lost work is freed.

*Seal* the session register by compare-and-swap: from then on no beat of that incarnation can land, and a
failed seal means that it is alive. Then one transaction deletes the incarnation's record, and with it the
right to commit anything. Tasks and locks that name an absent incarnation are orphans; anyone frees them,
each in a transaction of its own.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping

from sentinel.clock import rfc3339
from sentinel.fleet.counting import end_of
from sentinel.fleet.locks import free_left_behind
from sentinel.fleet.observer import Observer
from sentinel.fleet.proof import DeathProof
from sentinel.fleet.tasks import free_orphan
from sentinel.fleet.view import View, load_session
from sentinel.model import layout
from sentinel.model.counts import Counts
from sentinel.model.worker import Incarnation, Session
from sentinel.store.base import ABSENT, Committed, Expected, Register, Store, Transaction
from sentinel.store.transact import Change, Transactor


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """An incarnation that may be failed over now, and the ground for it."""

    incarnation: str
    worker: str
    #: The register's version that the ground rests on; the seal expects it.
    version: Expected
    session: Session | None
    #: ``proven dead`` or ``silent for 10.2 s``, and who sealed it if that was done already.
    ground: str

    @property
    def sealed(self) -> bool:
        """Whether the first step was taken already, by whomever."""
        return self.session is not None and self.session.sealed_by is not None


def watched(view: View, registers: Mapping[str, Register]) -> dict[str, Expected]:
    """What an observer must look at: each live incarnation's register, and each ticket's record."""
    versions: dict[str, Expected] = {}
    for name in view.living.values():
        register = registers.get(name)
        versions[name] = ABSENT if register is None else register.version
    for lock in view.locks.values():
        if lock.ticket:
            key = layout.lock_key(lock.name)
            versions[key] = view.snapshot.version(key)
    return versions


def announced(view: View, registers: Mapping[str, Register]) -> dict[str, float]:
    """The TTLs, in seconds, of all sessions of live incarnations that can be read."""
    sessions = ((name, load_session(name, registers.get(name))) for name in view.living.values())
    return {name: session.ttl for name, session in sessions if session is not None}


def wait_limit(
    stale: float, incarnation: Incarnation | None, session: Session | None, *, last_readable: float = 0.0
) -> float:
    """W: seconds of silence after which an incarnation may be failed over.

    ``last_readable`` is what the last session that could be read announced; it counts without one.
    """
    announced = session.ttl if session is not None else last_readable
    return max(stale, announced, 0.0 if incarnation is None else incarnation.ttl)


def suspects(
    view: View, registers: Mapping[str, Register], observer: Observer, *, stale: float, proof: DeathProof
) -> Iterator[Suspect]:
    """Every incarnation that is sealed, proven dead, or was silent for W."""
    for name in view.living:
        found = suspect(view, registers, observer, name, stale=stale, proof=proof)
        if found is not None:
            yield found


def suspect(
    view: View,
    registers: Mapping[str, Register],
    observer: Observer,
    name: str,
    *,
    stale: float,
    proof: DeathProof,
) -> Suspect | None:
    """The same for the one live incarnation ``name``: a suspect, or None while it must be taken for alive."""
    incarnation = view.incarnations.get(name)
    register_name = layout.session_register(name)
    register = registers.get(register_name)
    version: Expected = ABSENT if register is None else register.version
    session = load_session(register_name, register)
    silence = observer.silence(register_name, version)
    if session is not None and session.sealed_by is not None:
        ground = f"{session.sealed_because or 'for a reason unknown'}, sealed by {session.sealed_by}"
    elif incarnation is not None and proof.proven(incarnation):
        ground = "proven dead"
    elif silence >= wait_limit(stale, incarnation, session, last_readable=observer.announced(register_name)):
        ground = f"silent for {silence:.1f} s"
    else:
        return None
    worker = incarnation.worker if incarnation is not None else (session.worker if session else "unreadable")
    return Suspect(incarnation=name, worker=worker, version=version, session=session, ground=ground)


def seal(store: Store, found: Suspect, *, by: str, sent_at: str) -> bool:
    """Step one: forbid every further beat. False when the register had moved: it is alive."""
    if found.sealed:
        return True
    before = found.session
    sealed = Session(
        incarnation=found.incarnation,
        worker=found.worker,
        seq=0 if before is None else before.seq,
        interval=0.0 if before is None else before.interval,
        ttl=0.0 if before is None else before.ttl,
        sent_at=sent_at,
        sealed_by=by,
        sealed_because=found.ground,
        counts=Counts() if before is None else before.counts,
    )
    outcome = store.publish(layout.session_register(found.incarnation), sealed.document(), found.version)
    return isinstance(outcome, Committed)


def count(change: Change, view: View, found: Suspect) -> Transaction | None:
    """Add what the suspect counted to its worker's totals; to stand before `bury` in a batch."""
    incarnation = view.incarnations.get(found.incarnation)
    if incarnation is None or incarnation.kind != "worker":
        return None
    return end_of(
        change,
        view.snapshot,
        worker=incarnation.worker,
        incarnation=found.incarnation,
        counts=Counts() if found.session is None else found.session.counts,
        crashed=True,
    )


def bury(change: Change, found: Suspect, *, by: str) -> Transaction:
    """Step two: delete the incarnation's record, and say why."""
    change.delete(layout.incarnation_key(found.incarnation))
    return change.transaction(f"fail over {found.worker} ({found.incarnation}): {found.ground}, by {by}")


def take_over(
    transactor: Transactor,
    view: View,
    registers: Mapping[str, Register],
    observer: Observer,
    name: str,
    *,
    stale: float,
    proof: DeathProof,
    by: str,
) -> Suspect | None:
    """Both steps for the one incarnation ``name``, for callers that wait for just that.

    The suspect that was failed over, or None while it must be taken for alive (or somebody else was
    faster). Raises store errors.
    """
    found = suspect(view, registers, observer, name, stale=stale, proof=proof)
    return found if found is not None and fail_over(transactor, view, found, by=by) else None


def fail_over(transactor: Transactor, view: View, found: Suspect, *, by: str) -> bool:
    """Both steps for a suspect; False when it is alive, or somebody else was faster. Raises store errors."""
    if not seal(transactor.store, found, by=by, sent_at=rfc3339(transactor.clock.wall())):
        return False
    counted = count(transactor.change(view.snapshot), view, found)
    burial = bury(transactor.change(view.snapshot), found, by=by)
    *_, outcome = transactor.store.commit([burial] if counted is None else [counted, burial])
    return isinstance(outcome, Committed)


def orphans(
    view: View, begin: Callable[[], Change], observer: Observer, *, gone: frozenset[str], wall: float, by: str
) -> Iterator[Transaction]:
    """Transactions that free what nobody rightly holds any more, each on its own.

    ``begin`` gives a new change on the view's snapshot. ``gone`` are incarnations whose burial stands earlier
    in the same batch.
    """
    for task in view.running.values():
        holder = task.incarnation or ""
        if holder in gone or not view.live(holder):
            yield free_orphan(begin(), task, wall=wall, by=by)
    for lock in view.locks.values():
        if lock.incarnation is None and not lock.held:
            continue
        key = layout.lock_key(lock.name)
        silence = observer.silence(key, view.snapshot.version(key))
        freed = free_left_behind(begin, view, lock, gone, silence, by=by)
        if freed is not None:
            yield freed


def turn(view: View, name: str, incarnation: str) -> int:
    """How many live incarnations tidy up after ``name`` before this one does; the order differs by name."""
    mine = _draw(name, incarnation)
    return sum(_draw(name, other) < mine for other in view.living)


def _draw(name: str, incarnation: str) -> str:
    return hashlib.sha256(f"{name} {incarnation}".encode()).hexdigest()


def abandoned_registers(view: View, registers: Mapping[str, Register]) -> dict[str, str]:
    """Registers that no live incarnation beats in, with the version to delete.

    One that was sealed before its first beat stays for good: that beat expects the register to be absent,
    and may still be on its way.
    """
    beating = set(view.living.values())
    return {
        name: registers[name].version
        for name in sorted(registers.keys() - beating)
        if not _sealed_unbeaten(name, registers[name])
    }


def _sealed_unbeaten(name: str, register: Register) -> bool:
    session = load_session(name, register)
    return session is not None and session.sealed_by is not None and session.seq == 0
