"""The product with one safeguard taken out, and the scenario in which that must show.

Each mutant replaces one function for the time of a test. The product itself has no switch for any of this.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pytest

from sentinel.clock import from_rfc3339
from sentinel.fleet import failover, locks, registry, retention, tasks
from sentinel.fleet.observer import Observer, Sighting
from sentinel.fleet.view import View, load_session
from sentinel.model import layout
from sentinel.model import task as model
from sentinel.model.lease import LeaseTimes, work_limit
from sentinel.model.lock import Floor, Lock
from sentinel.model.retention import Retention, Terms
from sentinel.model.task import Ending, Fence, Task
from sentinel.model.worker import Incarnation, Worker
from sentinel.peer import peer
from sentinel.peer.claims import Chooser
from sentinel.peer.lease import Lease
from sentinel.store import transact
from sentinel.store.base import ABSENT, Expected, Register, Snapshot, Transaction
from sentinel.store.transact import Change, Transactor
from sentinel.testing.simulation.faults import FAULTS
from sentinel.testing.simulator import SimulationOptions

Patch = Callable[[pytest.MonkeyPatch], None]

FAST = LeaseTimes(2.0, 10.0)
SLOW = LeaseTimes(5.0, 30.0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """What is taken out, where it must show, and as what."""

    name: str
    patch: Patch
    #: Invariants, any of which may be the first to fall.
    caught_as: frozenset[str]
    options: SimulationOptions


def scenario(weights: Mapping[str, float] | None = None, **more: Any) -> SimulationOptions:
    """A short simulation in which some faults are more frequent."""
    settings: dict[str, Any] = {
        "minutes": 8.0,
        "tasks": 60,
        "fault_every": 8.0,
        "times": FAST,
        "faults": dict(FAULTS) if weights is None else dict(weights),
        "paced": False,
    }
    return SimulationOptions(**{**settings, **more})


def _unguarded(transaction: Transaction, *keys: str) -> Transaction:
    """The same transaction without expecting anything of ``keys``, or of any key when none are named."""
    kept = {key: version for key, version in transaction.expect.items() if keys and key not in keys}
    # A transaction refuses to be made like this.
    object.__setattr__(transaction, "expect", kept)
    return transaction


def no_fence_on_finish(patch: pytest.MonkeyPatch) -> None:
    """Whoever ran a task once may end it, whatever its record says by now."""

    def end(change: Change, view: View, fence: Fence, ending: Ending, *, wall: float) -> Transaction | None:
        task = view.tasks.get(fence.task)
        if task is None or task.state != "running":
            return None
        tasks.write_task(change, model.end_attempt(task, ending, wall=wall))
        return _unguarded(change.transaction(f"finish {task.id} without a fence"))

    patch.setattr(tasks, "end", end)


def no_incarnation_precondition(patch: pytest.MonkeyPatch) -> None:
    """What is done in the name of an incarnation does not expect that it is live."""

    def expect_present(self: Change, key: str) -> Change:
        return self

    patch.setattr(Change, "expect_present", expect_present)


def remote_timestamps(patch: pytest.MonkeyPatch) -> None:
    """Silence is what lies between the times that two machines wrote into their beats."""
    original = failover.suspect

    def suspect(
        view: View, registers: Mapping[str, Register], observer: Observer, name: str, **more: Any
    ) -> failover.Suspect | None:
        register = registers.get(layout.session_register(name))
        session = load_session(layout.session_register(name), register)
        if session is None or register is None or session.sealed_by is not None:
            return original(view, registers, observer, name, **more)
        newest = max(
            from_rfc3339(found.sent_at)
            for key, other in registers.items()
            if (found := load_session(key, other)) is not None
        )
        silence = newest - from_rfc3339(session.sent_at)
        if silence < failover.wait_limit(more["stale"], view.incarnations.get(name), session):
            return None
        return failover.Suspect(
            incarnation=name,
            worker=session.worker,
            version=register.version,
            session=session,
            ground=f"silent for {silence:.1f} s",
        )

    patch.setattr(failover, "suspect", suspect)


def no_nonce(patch: pytest.MonkeyPatch) -> None:
    """Two peers that begin alike make identical commits, and a store takes the second for the first."""
    made: dict[int, int] = {}

    def change(self: Transactor, snapshot: Snapshot) -> Change:
        made[id(self.rng)] = made.get(id(self.rng), 0) + 1
        return Change(snapshot, f"tx-{made[id(self.rng)]}")

    patch.setattr(transact.Transactor, "change", change)
    patch.setattr(transact.Transactor, "changes", lambda self: functools.partial(change, self))


def silence_timed_at_the_reply(patch: pytest.MonkeyPatch) -> None:
    """A read counts as an observation of the moment at which its answer came."""
    from sentinel.fleet import observer

    original = observer.sight

    def sight(known: Sighting | None, version: Expected, *, sent: float, reply: float) -> Sighting:
        return original(known, version, sent=reply, reply=reply)

    patch.setattr(observer, "sight", sight)


def takeover_without_seal(patch: pytest.MonkeyPatch) -> None:
    """The incarnation's record is deleted, and its beats may go on."""
    patch.setattr(failover, "seal", lambda store, found, *, by, sent_at: True)


def beat_counted_from_its_reply(patch: pytest.MonkeyPatch) -> None:
    """A confirmed beat gives time from when the confirmation came."""
    original = Lease.confirm

    def confirm(self: Lease, seq: int) -> None:
        if seq in self._open:
            self._open[seq] = self._clock.now() + work_limit(SLOW.stale)
        original(self, seq)

    patch.setattr(Lease, "confirm", confirm)


def deadline_extended_by_unconfirmed_beats(patch: pytest.MonkeyPatch) -> None:
    """Sending a beat is taken for having it confirmed."""
    original = Lease.sending

    def sending(self: Lease, seq: int, sent: float, ttl: float) -> None:
        original(self, seq, sent, ttl)
        if self._confirmed is not None:
            self.confirm(seq)

    patch.setattr(Lease, "sending", sending)


def shorter_ttl_kept_from_the_supervisor(patch: pytest.MonkeyPatch) -> None:
    """The supervisor is told of what confirmed beats give, and not of what an unconfirmed one may take."""
    original = Lease.sending

    def sending(self: Lease, seq: int, sent: float, ttl: float) -> None:
        tell, self._extend = self._extend, lambda deadline: None
        original(self, seq, sent, ttl)
        self._extend = tell

    patch.setattr(Lease, "sending", sending)


def ttl_of_another_beat(patch: pytest.MonkeyPatch) -> None:
    """Every beat gives the time of the longest that was ever announced."""
    original = Lease.sending
    longest: dict[int, float] = {}

    def sending(self: Lease, seq: int, sent: float, ttl: float) -> None:
        longest[id(self)] = max(ttl, longest.get(id(self), 0.0))
        original(self, seq, sent, longest[id(self)])

    patch.setattr(Lease, "sending", sending)


def join_that_does_not_guard_the_id(patch: pytest.MonkeyPatch) -> None:
    """Joining expects nothing of what is registered under the id."""
    original = registry.join

    def join(
        change: Change,
        snapshot: Snapshot,
        worker: Worker,
        incarnation: Incarnation,
        *,
        one_by_one: bool = False,
    ) -> Transaction:
        transaction = original(change, snapshot, worker, incarnation, one_by_one=one_by_one)
        return _unguarded(
            transaction, *(key for key in transaction.expect if not key.endswith(incarnation.id))
        )

    patch.setattr(registry, "join", join)


def submit_that_looks_at_active_tasks_alone(patch: pytest.MonkeyPatch) -> None:
    """An id whose task has ended is free again."""
    original = tasks.submit

    class Active(Snapshot):
        def __init__(self, inner: Snapshot) -> None:
            self.revision = inner.revision
            self._inner = inner

        def get(self, key: str) -> Any:
            return None if key.startswith(layout.DONE) else self._inner.get(key)

        def list(self, prefix: str) -> Any:
            return self._inner.list(prefix)

        def version(self, key: str) -> Expected:
            return ABSENT if key.startswith(layout.DONE) else self._inner.version(key)

    def submit(
        change: Change, snapshot: Snapshot, task: Task, **more: Any
    ) -> tuple[Transaction | None, Task]:
        if task.after:
            return original(change, snapshot, task, **more)
        wanted, found = original(Change(Active(snapshot), change._tx), Active(snapshot), task, **more)
        if wanted is not None:
            wanted = _unguarded(wanted, layout.done_key(task.id))
        return wanted, found

    patch.setattr(tasks, "submit", submit)


def epoch_reset_on_lock_re_creation(patch: pytest.MonkeyPatch) -> None:
    """A lock whose record was pruned starts at zero again."""
    patch.setattr(locks, "floor_in", lambda snapshot: Floor())


def pruning_of_locks_below_the_floor(patch: pytest.MonkeyPatch) -> None:
    """The record of a free lock goes, and nothing is left of its epoch."""

    def prune(change: Change, floor: Floor, pruned: Iterable[Lock]) -> None:
        for lock in pruned:
            change.delete(layout.lock_key(lock.name))

    patch.setattr(locks, "prune", prune)


def no_alarm_when_the_state_was_moved_back(patch: pytest.MonkeyPatch) -> None:
    """A peer waits in silence while the branch does not hold what it has seen."""
    patch.setattr(peer, "log", logging.getLogger("nobody listens"))


def pruning_before_retention(patch: pytest.MonkeyPatch) -> None:
    """Whatever has ended may go."""
    patch.setattr(Terms, "over", lambda self, ended, now: True)


def time_that_two_saw_counted_twice(patch: pytest.MonkeyPatch) -> None:
    """Whoever counts on from what another handed on adds what it saw before that."""

    def stood(record: Retention, observer: Observer) -> float:
        return record.stood + observer.silence(layout.RETENTION, str(record.mark))

    patch.setattr(retention, "stood", stood)


def pruning_of_unfinished_tasks(patch: pytest.MonkeyPatch) -> None:
    """What is to go is not looked at again: it may not have ended, or run anew."""
    original = retention.step

    def step(change: Change, snapshot: Snapshot, *others: Any, **more: Any) -> Transaction | None:
        active = sorted(snapshot.list(layout.TASKS))
        if not active:
            return original(change, snapshot, *others, **more)
        return change.delete(active[0]).transaction(f"prune {active[0]}")

    patch.setattr(retention, "step", step)


def pruning_of_what_is_needed(patch: pytest.MonkeyPatch) -> None:
    """Nobody asks whether a task that waits was to run after what is pruned."""
    patch.setattr(Chooser, "needs", lambda self, task_id: False)


MUTANTS: Sequence[Mutant] = (
    Mutant(
        name="no fence on finish",
        patch=no_fence_on_finish,
        caught_as=frozenset({"I1", "I2", "I3", "I4", "I8", "I11"}),
        options=scenario(
            {"held-writes": 6.0, "pause": 4.0, "one-way": 3.0}, tasks=150, seconds=5.0, fault_every=3.0
        ),
    ),
    Mutant(
        name="no incarnation precondition",
        patch=no_incarnation_precondition,
        caught_as=frozenset({"I4", "I11"}),
        # Only what still waits can be claimed by one who is dead, so nobody else may be able to take it.
        options=scenario(
            {"held-writes": 6.0, "kill": 2.0, "pause": 3.0},
            tasks=200,
            seconds=3.0,
            fault_every=2.0,
            particular=1.0,
        ),
    ),
    Mutant(
        name="remote timestamps",
        patch=remote_timestamps,
        caught_as=frozenset({"I5"}),
        options=scenario({"wall-clock": 1.0}),
    ),
    Mutant(
        name="no nonce",
        patch=no_nonce,
        caught_as=frozenset({"I4", "I7"}),
        options=scenario({"kill": 1.0}),
    ),
    Mutant(
        name="silence timed at the reply",
        patch=silence_timed_at_the_reply,
        caught_as=frozenset({"I5"}),
        options=scenario({"pause": 3.0, "freeze": 2.0, "partition": 1.0}),
    ),
    Mutant(
        name="takeover without seal",
        patch=takeover_without_seal,
        caught_as=frozenset({"I5"}),
        options=scenario({"pause": 2.0, "kill": 2.0}),
    ),
    Mutant(
        name="beat counted from its reply",
        patch=beat_counted_from_its_reply,
        caught_as=frozenset({"I6"}),
        options=scenario({"slow-replies": 3.0, "partition": 3.0, "pause": 6.0}, times=SLOW, fault_every=4.0),
    ),
    Mutant(
        name="deadline extended by unconfirmed beats",
        patch=deadline_extended_by_unconfirmed_beats,
        caught_as=frozenset({"I6"}),
        options=scenario({"partition": 3.0}),
    ),
    Mutant(
        name="shorter TTL kept from the supervisor",
        patch=shorter_ttl_kept_from_the_supervisor,
        caught_as=frozenset({"I6"}),
        options=scenario({"pause": 6.0, "slow-replies": 2.0}, paced=True, seconds=60.0, fault_every=3.0),
    ),
    Mutant(
        name="ttl of another beat",
        patch=ttl_of_another_beat,
        caught_as=frozenset({"I6"}),
        options=scenario({"partition": 3.0}, paced=True, seconds=60.0),
    ),
    Mutant(
        name="join that does not guard the id",
        patch=join_that_does_not_guard_the_id,
        caught_as=frozenset({"I3", "I5"}),
        options=scenario({"twin": 3.0, "kill": 1.0, "drain": 2.0, "held-writes": 1.0}),
    ),
    Mutant(
        name="submit that looks at active tasks alone",
        patch=submit_that_looks_at_active_tasks_alone,
        caught_as=frozenset({"I1", "I3", "I8"}),
        options=scenario({"kill": 1.0}),
    ),
    Mutant(
        name="epoch reset on lock re-creation",
        patch=epoch_reset_on_lock_re_creation,
        caught_as=frozenset({"I2"}),
        options=scenario({"kill": 1.0}),
    ),
    Mutant(
        name="pruning of locks below the floor",
        patch=pruning_of_locks_below_the_floor,
        caught_as=frozenset({"I2"}),
        options=scenario({"kill": 1.0}),
    ),
    Mutant(
        name="no alarm when the state was moved back",
        patch=no_alarm_when_the_state_was_moved_back,
        caught_as=frozenset({"alarm"}),
        options=scenario({"rewind": 1.0}),
    ),
    Mutant(
        name="pruning before retention",
        patch=pruning_before_retention,
        caught_as=frozenset({"I7"}),
        options=scenario({"kill": 1.0}, retention=Terms(seconds=400.0, count=1_000)),
    ),
    Mutant(
        name="time that two saw counted twice",
        patch=time_that_two_saw_counted_twice,
        caught_as=frozenset({"I7"}),
        options=scenario({"drain": 1.0}, retention=Terms(seconds=400.0, count=1_000), fault_every=3.0),
    ),
    Mutant(
        name="pruning of unfinished tasks",
        patch=pruning_of_unfinished_tasks,
        caught_as=frozenset({"I7"}),
        options=scenario({"kill": 1.0}, retention=Terms(seconds=400.0, count=1_000)),
    ),
    Mutant(
        name="pruning of what is needed",
        patch=pruning_of_what_is_needed,
        caught_as=frozenset({"I7"}),
        # Many ended tasks go at once, and many wait for others behind tasks that take long.
        options=scenario(
            {"kill": 1.0, "compact": 1.0},
            retention=Terms(seconds=400.0, count=2),
            tasks=200,
            seconds=40.0,
        ),
    ),
)
