"""A task and its transitions. Every transition is pure: old task in, new task out.

The lease is part of the task: ``owner``, ``incarnation`` and ``epoch``. Only `claim` raises the epoch, by
one; it is the fencing token that the running task is given. A *run* is what a person asked for, once; an
*attempt* is one execution within it. ``done`` is final; a person's retry of another end opens run + 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, Self

from sentinel.clock import rfc3339
from sentinel.model.codec import MAX_INLINE_BYTES, Document, Fields, compact, encode, flat
from sentinel.model.evolve import evolve
from sentinel.model.line import one_line
from sentinel.model.origin import Approval, Source, spec_hash

State = Literal["awaiting_approval", "pending", "running", "done", "failed", "cancelled", "dead"]
ENDED: frozenset[str] = frozenset({"done", "failed", "cancelled", "dead"})
#: States in which nobody has the task.
WAITING: frozenset[str] = frozenset({"awaiting_approval", "pending"})

Priority = Literal["low", "normal", "high", "critical"]
#: From the most urgent to the least.
PRIORITIES: tuple[Priority, ...] = ("critical", "high", "normal", "low")

_URGENCY = {priority: number for number, priority in enumerate(PRIORITIES)}
#: What may end an attempt other than success, counted apart in `Task.causes`.
Cause = Literal["error", "timeout", "memory", "lost", "drained", "cancelled"]
CAUSES: tuple[Cause, ...] = ("error", "timeout", "memory", "lost", "drained", "cancelled")

#: The affinity label that demands a region of the worker.
REGION = "region"

#: After so many losses of its worker a task runs alone on its worker.
ALONE_AFTER = 3
#: So many more losses while alone make it dead.
DEAD_AFTER_ALONE = 2
#: How many events a history keeps from each end.
HISTORY_ENDS = 50
#: How many workers a task remembers to have failed on.
MAX_FAILED_ON = 20
#: Backoff before the n-th automatic retry is 2^(n-1) seconds, up to this many.
MAX_BACKOFF = 300.0
#: Longest note in a history and longest reason, in characters; fifty of them from each end must fit.
MAX_NOTE = 300
#: Longest message of an error, in characters.
MAX_MESSAGE = 2_000

MIN_TIMEOUT, MAX_TIMEOUT = 0.1, 604_800.0
MAX_RETRIES = 100


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of a task's history."""

    at: str
    event: str
    worker: str | None = None
    epoch: int
    note: str | None = None
    #: Fields of the stored event that this version does not know.
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def document(self) -> Document:
        """The event as people get to see it."""
        return flat(self)

    def stored(self) -> Document:
        """The event as a part of its task's record."""
        return compact(self)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """What an owner must still be for its word to count: incarnation, run and epoch of its claim."""

    task: str
    incarnation: str
    run: int
    epoch: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task as stored. Times are RFC 3339 and for people; no decision about ownership reads them."""

    id: str
    type: str
    args: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    positional: tuple[Any, ...] = ()
    priority: Priority = "normal"
    #: Seconds one attempt may take.
    timeout: float = 300.0
    #: Automatic retries per run after an error, a time-out or running out of memory.
    retries: int = 0
    #: Ids of tasks that must be done first.
    after: tuple[str, ...] = ()
    #: Labels that an affinity balancer may read.
    affinity: Mapping[str, str] = dataclasses.field(default_factory=dict)
    submitted_by: str = ""
    created_at: str
    #: Where it came from when that was not the store; such a task runs only as it was approved.
    source: Source | None = None
    #: The last approval that was given, in force while it is for the specification as it stands.
    approval: Approval | None = None

    state: State = "pending"
    #: From 1; a person's retry of an ended run opens the next one.
    run: int = 1
    #: Executions begun in this run.
    attempt: int = 0
    #: Fencing token: +1 at each claim, through all runs; nothing else changes it.
    epoch: int = 0
    #: Set while running, and kept when a run ended: who finished it.
    owner: str | None = None
    incarnation: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    retries_left: int = 0
    #: Started attempts of this run whose worker was lost.
    losses: int = 0
    #: Workers on which the last attempts of this run failed; another takes the next, if there is another.
    failed_on: tuple[str, ...] = ()
    #: Ends of attempts other than success, by cause, over all runs.
    causes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    #: Seconds for which a peer must have seen this record unchanged, on its own clock, before it may claim
    #: it. A point in time would have to be compared with another machine's clock.
    backoff: float = 0.0
    #: Why a running task is to be cancelled; its owner ends it.
    cancel_requested: str | None = None
    #: A person's sentence on why the run ended as it did, or why the task waits.
    reason: str | None = None
    #: A JSON value of at most 64 KiB, or None when it is kept as a blob.
    result: Any = None
    #: Name of the blob that holds a larger result.
    result_blob: str | None = None
    error: Mapping[str, str] | None = None
    exit_code: int | None = None
    #: ``blob`` (name), ``bytes`` (as kept), ``truncated`` of the last ended attempt; on a Git server also the
    #: ``commit`` that holds the blob under its name.
    log: Mapping[str, Any] | None = None
    history: tuple[Event, ...] = ()
    #: The retention's mark when its last run ended; 0 while it has not, or when there was none yet.
    mark: int = 0

    rev: int = 0
    tx: str = ""
    #: Fields of the stored record that this version does not know.
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether its last run is over."""
        return self.state in ENDED

    @property
    def approved(self) -> bool:
        """Whether it may run as it stands: it came by the store, or this very specification was approved."""
        return self.source is None or (self.approval is not None and self.approval.spec == spec_hash(self))

    @property
    def alone(self) -> bool:
        """Whether it lost so many workers that it must not run beside other tasks."""
        return self.losses >= ALONE_AFTER

    @property
    def rank(self) -> tuple[int, str, str]:
        """Sort key of the queue: priority first, then first in, first out."""
        return (_URGENCY[self.priority], self.created_at, self.id)

    def fence(self) -> Fence:
        """The fence of its present claim."""
        return Fence(task=self.id, incarnation=self.incarnation or "", run=self.run, epoch=self.epoch)

    def held_under(self, fence: Fence) -> bool:
        """Whether it is still running under exactly this claim."""
        return (
            self.state == "running"
            and (self.epoch, self.run, self.incarnation) == (fence.epoch, fence.run, fence.incarnation)
            and self.id == fence.task
        )

    def stamped(self, rev: int, tx: str) -> Self:
        return evolve(self, rev=rev, tx=tx)

    def document(self) -> Document:
        found = {**compact(self), "history": [event.stored() for event in self.history]}
        if self.source is not None:
            found["source"] = self.source.document()
        if self.approval is not None:
            found["approval"] = self.approval.document()
        if self.result is not None:
            # Here, what is empty is not what is absent.
            found["result"] = self.result
        return found

    @classmethod
    def load(cls, key: str, document: Mapping[str, Any]) -> Task:
        """The task stored under ``key``. Raises `BadRecord` when it is not one, or is another's."""
        fields = Fields(key, document)
        source, approval = fields.maybe_fields("source"), fields.maybe_fields("approval")
        task = cls(
            id=fields.id("id"),
            type=fields.text("type"),
            args=fields.mapping("args"),
            positional=tuple(fields.take("positional", list, [])),
            priority=fields.text("priority", "normal"),  # type: ignore[arg-type]  # checked below
            timeout=fields.seconds("timeout", 300.0),
            retries=fields.count("retries", 0),
            after=fields.texts("after"),
            affinity=fields.maybe_labels("affinity") or {},
            submitted_by=fields.text("submitted_by", ""),
            created_at=fields.text("created_at"),
            source=None if source is None else Source.load(source),
            approval=None if approval is None else Approval.load(approval),
            state=fields.text("state"),  # type: ignore[arg-type]  # checked below
            run=fields.count("run", 1),
            attempt=fields.count("attempt", 0),
            epoch=fields.count("epoch"),
            owner=fields.maybe_id("owner"),
            incarnation=fields.maybe_id("incarnation"),
            started_at=fields.maybe_text("started_at"),
            finished_at=fields.maybe_text("finished_at"),
            retries_left=fields.count("retries_left", 0),
            losses=fields.count("losses", 0),
            failed_on=fields.texts("failed_on"),
            causes=fields.counts("causes"),
            backoff=fields.seconds("backoff", 0.0),
            cancel_requested=fields.maybe_text("cancel_requested"),
            reason=fields.maybe_text("reason"),
            result=fields.take("result", object, None),
            result_blob=fields.maybe_text("result_blob"),
            error=fields.maybe_labels("error"),
            exit_code=fields.take("exit_code", (int, type(None)), None),
            log=fields.take("log", (dict, type(None)), None),
            history=tuple(_load_event(Fields(key, item)) for item in fields.items("history")),
            mark=fields.count("mark", 0),
            rev=fields.count("rev"),
            tx=fields.text("tx"),
            extra=fields.rest(),
        )
        given = [value for value in (task.args, list(task.positional)) if value]
        if any(len(encode(value)) > MAX_INLINE_BYTES for value in given):
            raise fields.bad(f"its arguments pass the limit of {MAX_INLINE_BYTES} bytes")
        if key.partition("/")[2] != task.id:
            raise fields.bad(f"it says it is task {task.id!r}")
        if task.state not in ENDED | WAITING | {"running"}:
            raise fields.bad(f"its state {task.state!r} is unknown")
        if task.state in ("pending", "running") and not task.approved:
            # Nobody may run it, however it got there; so nobody gets to see it.
            raise fields.bad(f"it is {task.state}, and nobody approved it as it stands")
        if task.priority not in PRIORITIES:
            raise fields.bad(f"its priority {task.priority!r} is unknown")
        if task.state == "running" and not (task.owner and task.incarnation):
            raise fields.bad("it is running without an owner")
        if task.error is not None and not {"kind", "message"} <= task.error.keys():
            raise fields.bad("its error has no kind or no message")
        if not MIN_TIMEOUT <= task.timeout <= MAX_TIMEOUT:
            raise fields.bad(f"its time-out of {task.timeout:g} s is out of range")
        if not task.retries_left <= task.retries <= MAX_RETRIES:
            raise fields.bad("its number of retries is out of range")
        return task


def _load_event(fields: Fields) -> Event:
    return Event(
        at=fields.text("at"),
        event=fields.text("event"),
        worker=fields.maybe_text("worker"),
        epoch=fields.count("epoch", 0),
        note=fields.maybe_text("note"),
        extra=fields.rest(),
    )


def submit(task: Task, *, wall: float, note: str | None = None) -> Task:
    """A new task's first record."""
    task = evolve(task, retries_left=task.retries)
    return with_event(task, "submitted", wall, note=note or task.submitted_by or None)


def claim(task: Task, *, worker: str, incarnation: str, wall: float) -> Task:
    """``worker`` takes a pending task to start it at once: the only transition that raises the epoch."""
    _require(task, task.state == "pending" and task.approved, "claimed")
    return with_event(
        task,
        "claimed",
        wall,
        worker=worker,
        state="running",
        owner=worker,
        incarnation=incarnation,
        epoch=task.epoch + 1,
        attempt=task.attempt + 1,
        started_at=rfc3339(wall),
        backoff=0.0,
        reason=None,
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an attempt ended, as its owner saw it. ``cause`` None means success."""

    cause: Cause | None
    message: str | None = None
    result: Any = None
    result_blob: str | None = None
    exit_code: int | None = None
    log: Mapping[str, Any] | None = None
    #: False forbids the automatic retry, e.g. for a command that does not exist.
    retry: bool = True


def end_attempt(task: Task, ending: Ending, *, wall: float) -> Task:
    """The owner reports how its attempt ended: done, failed, tried again, cancelled, or handed back."""
    _require(task, task.state == "running", "ended")
    said: dict[str, Any] = {"exit_code": ending.exit_code, "log": ending.log}
    if ending.cause is None:
        said |= {"result": ending.result, "result_blob": ending.result_blob, "error": None}
        return _end_run(task, "done", "finished", wall, reason=None, **said)
    task = _count(evolve(task, **said), ending.cause)
    if task.cancel_requested is not None or ending.cause == "cancelled":
        return _cancelled(task, wall)
    if ending.cause == "drained":
        return _requeue(task, wall, f"handed back: {ending.message or 'its worker is leaving'}")
    error = {"kind": ending.cause, "message": _storable(ending.message or ending.cause)}
    task = evolve(task, error=error)
    if task.retries_left > 0 and ending.retry:
        used = task.retries - task.retries_left
        pause = min(MAX_BACKOFF, 2.0**used)
        note = f"again in {pause:g} s, after {ending.cause}: {error['message']}"
        elsewhere = [name for name in task.failed_on if name != task.owner]
        failed_on = (*elsewhere, task.owner or "")[-MAX_FAILED_ON:]
        left = task.retries_left - 1
        task = evolve(task, retries_left=left, backoff=pause, failed_on=failed_on)
        return _requeue(task, wall, note)
    return _end_run(task, "failed", "failed", wall, reason=f"{ending.cause}: {error['message']}")


def lose(task: Task, *, wall: float, evidence: str) -> Task:
    """The owner's incarnation is gone: free the task, or end it when it keeps taking workers down.

    Only an attempt that was started can have taken its worker down, so no other counts as a loss.
    """
    _require(task, task.state == "running", "lost")
    if task.started_at is not None:
        task = _count(evolve(task, losses=task.losses + 1), "lost")
    task = with_event(task, "lost", wall, worker=task.owner, note=evidence)
    if task.cancel_requested is not None:
        return _cancelled(task, wall)
    if task.losses >= ALONE_AFTER + DEAD_AFTER_ALONE:
        lost = [event for event in task.history if event.event == "lost"][-task.losses :]
        message = f"{task.losses} workers were lost while running it: " + ", ".join(
            f"{event.worker} at epoch {event.epoch}" for event in lost
        )
        task = evolve(task, error={"kind": "lost", "message": _storable(message)})
        return _end_run(task, "dead", "dead", wall, reason=message)
    return _release(task)


def cancel(task: Task, *, wall: float, reason: str) -> Task:
    """Cancel at once what does not run; ask the owner to end what does."""
    reason = one_line(reason, MAX_NOTE)
    if task.state == "running":
        return evolve(task, cancel_requested=task.cancel_requested or reason)
    _require(task, task.state in WAITING, "cancelled")
    return _cancelled(_count(evolve(task, cancel_requested=reason), "cancelled"), wall)


def retry(task: Task, *, wall: float, note: str | None = None) -> Task:
    """A person's new run of a task that failed, was cancelled or is dead; unapproved, it waits for that."""
    _require(task, task.state in ENDED and task.state != "done", "retried")
    return with_event(next_run(task), "retried", wall, note=note)


def next_run(task: Task) -> Task:
    """An ended task, all that its last run left taken away; it waits, for an approval if it has none."""
    return evolve(
        _release(task),
        state="pending" if task.approved else "awaiting_approval",
        run=task.run + 1,
        attempt=0,
        retries_left=task.retries,
        losses=0,
        failed_on=(),
        backoff=0.0,
        error=None,
        exit_code=None,
        finished_at=None,
        reason=None,
        result=None,
        result_blob=None,
        log=None,
    )


def _require(task: Task, condition: bool, verb: str) -> None:
    if not condition:
        raise ValueError(f"task {task.id} is {task.state} and cannot be {verb}")


def _count(task: Task, cause: Cause) -> Task:
    return evolve(task, causes={**task.causes, cause: task.causes.get(cause, 0) + 1})


def _storable(message: str) -> str:
    """A message of somebody else's program, as it may be kept: cut, and without halves of surrogate pairs."""
    return message[:MAX_MESSAGE].encode("utf-8", "replace").decode("utf-8")


def _release(task: Task) -> Task:
    return evolve(task, state="pending", owner=None, incarnation=None, started_at=None, cancel_requested=None)


def _requeue(task: Task, wall: float, note: str) -> Task:
    return _release(with_event(task, "requeued", wall, worker=task.owner, note=note))


def _cancelled(task: Task, wall: float) -> Task:
    reason = task.cancel_requested or "cancelled"
    task = evolve(task, error={"kind": "cancelled", "message": reason}, cancel_requested=None, result=None)
    return _end_run(task, "cancelled", "cancelled", wall, reason=reason)


def _end_run(
    task: Task, state: State, event: str, wall: float, *, reason: str | None, **changes: Any
) -> Task:
    if reason is not None:
        reason = one_line(reason, MAX_NOTE)
    changes |= {"state": state, "finished_at": rfc3339(wall), "reason": reason, "cancel_requested": None}
    return with_event(task, event, wall, worker=task.owner, note=reason, **changes)


def with_event(
    task: Task,
    event: str,
    wall: float,
    *,
    worker: str | None = None,
    note: str | None = None,
    **changes: Any,
) -> Task:
    """The task with ``changes`` and one more line in its history.

    A history keeps the first and the last `HISTORY_ENDS` lines.
    """
    if note is not None:
        note = one_line(note, MAX_NOTE)
    epoch = changes.get("epoch", task.epoch)
    line = Event(at=rfc3339(wall), event=event, worker=worker, epoch=epoch, note=note)
    history = (*task.history, line)
    if len(history) > 2 * HISTORY_ENDS:
        history = (*history[:HISTORY_ENDS], *history[-HISTORY_ENDS:])
    return evolve(task, history=history, **changes)
