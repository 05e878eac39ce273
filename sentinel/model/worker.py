"""Workers, their incarnations, and the sessions that incarnations beat in.

A *worker* is a name with a machine behind it. Each start of its daemon is a new *incarnation*, with a
random name that never comes back; it is live exactly as long as its record exists, and every
transaction made for it expects that record. Its *session* is one small register that it overwrites at
each beat.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from sentinel.model.codec import Document, Fields, flat
from sentinel.model.counts import Counts
from sentinel.model.progress import Report, load_reports
from sentinel.model.record import Stored, stamp


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The file whose lock and content prove an incarnation's death to others on the same host."""

    #: This boot of the kernel; containers share it, so it proves nothing by itself.
    boot: str
    device: int
    inode: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Worker(Stored):
    """A registered worker: what it offers, and which incarnation speaks for it."""

    id: str
    #: The latest incarnation under this id, live or not.
    incarnation: str
    hostname: str
    region: str | None = None
    environment: str | None = None
    role: str | None = None
    max_tasks: int = 1
    #: Task types that it runs.
    types: tuple[str, ...] = ()
    #: Task types that its configuration names and nothing on its machine implements; it takes none of them.
    unimplemented: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    #: Size of its machine; 0 where a version that did not say registered it.
    cpu_cores: int = 0
    memory_mb: int = 0
    #: A person wants it to take nothing new; stays through restarts, until a person lifts it.
    cordoned: bool = False
    #: The incarnation that a person asked to drain; a later one does not heed that.
    drain: str | None = None
    #: Seconds after which that incarnation hands back what still runs, by its own clock; 0 for never.
    drain_deadline: float = 0.0
    #: Type → ``timeout`` (seconds) and ``retries`` that the type declares, where it does.
    limits: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    version: str = ""
    endpoint: str | None = None
    registered_at: str = ""
    #: Mark of the retention under which its latest incarnation was seen to be gone; 0 where nobody has yet.
    mark: int = 0

    @classmethod
    def load(cls, key: str, document: Mapping[str, Any]) -> Worker:
        """The worker stored under ``key``. Raises `BadRecord` when it is not one, or is another's."""
        fields = Fields(key, document)
        worker = cls(
            id=fields.id("id"),
            incarnation=fields.id("incarnation"),
            hostname=fields.text("hostname"),
            region=fields.maybe_text("region"),
            environment=fields.maybe_text("environment"),
            role=fields.maybe_text("role"),
            max_tasks=fields.count("max_tasks", 1),
            types=fields.texts("types"),
            unimplemented=fields.texts("unimplemented"),
            capabilities=fields.texts("capabilities"),
            cpu_cores=fields.count("cpu_cores", 0),
            memory_mb=fields.count("memory_mb", 0),
            cordoned=fields.take("cordoned", bool, False),
            drain=fields.maybe_id("drain"),
            drain_deadline=fields.seconds("drain_deadline", 0.0),
            limits=_load_limits(Fields(key, fields.mapping("limits"))),
            version=fields.text("version", ""),
            endpoint=fields.maybe_text("endpoint"),
            registered_at=fields.text("registered_at", ""),
            mark=fields.count("mark", 0),
            **stamp(fields),
        )
        if key.partition("/")[2] != worker.id:
            raise fields.bad(f"it says it is worker {worker.id!r}")
        return worker


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Incarnation(Stored):
    """One start of a daemon (or one ``locks run``): live exactly as long as this record exists."""

    id: str
    #: The worker id, or for ``locks run`` a label that only people read.
    worker: str
    kind: Literal["worker", "lock"] = "worker"
    hostname: str = ""
    pid: int = 0
    #: Session TTL in seconds: the silence after which it may be failed over.
    ttl: float
    interval: float
    proof: Proof | None = None
    started_at: str = ""

    def document(self) -> Document:
        return {**flat(self), "proof": None if self.proof is None else dataclasses.asdict(self.proof)}

    @classmethod
    def load(cls, key: str, document: Mapping[str, Any]) -> Incarnation:
        """The incarnation stored under ``key``. Raises `BadRecord` when it is not one, or is another's."""
        fields = Fields(key, document)
        proof = fields.take("proof", (dict, type(None)), None)
        incarnation = cls(
            id=fields.id("id"),
            worker=fields.text("worker"),
            kind="lock" if fields.text("kind", "worker") == "lock" else "worker",
            hostname=fields.text("hostname", ""),
            pid=fields.count("pid", 0),
            ttl=fields.seconds("ttl"),
            interval=fields.seconds("interval"),
            proof=None if proof is None else _load_proof(Fields(key, proof)),
            started_at=fields.text("started_at", ""),
            **stamp(fields),
        )
        if key.partition("/")[2] != incarnation.id:
            raise fields.bad(f"it says it is incarnation {incarnation.id!r}")
        return incarnation


def _load_limits(fields: Fields) -> dict[str, dict[str, float]]:
    limits = {}
    for name in list(fields.rest()):
        declared = Fields(name, fields.mapping(name))
        limits[name] = {key: declared.seconds(key) for key in list(declared.rest())}
    return limits


def _load_proof(fields: Fields) -> Proof:
    return Proof(boot=fields.text("boot"), device=fields.count("device"), inode=fields.count("inode"))


Status = Literal["online", "draining"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One beat: what an incarnation overwrites its register with."""

    incarnation: str
    worker: str
    #: Counts the beats of this incarnation, from 1.
    seq: int
    interval: float
    #: Announced TTL in seconds; never shorter than any that an unconfirmed beat announced.
    ttl: float
    status: Status = "online"
    active_tasks: int = 0
    max_tasks: int = 0
    #: How busy its machine's processors are, in percent, in steps of ten.
    cpu_percent: float = 0.0
    #: For people: when it was sent, by the sender's own wall clock.
    sent_at: str
    #: Who sealed it; a sealed session is dead for good and is not beaten in again.
    sealed_by: str | None = None
    #: For people: on what ground it was sealed, such as ``silent for 10.2 s``.
    sealed_because: str | None = None
    counts: Counts = dataclasses.field(default_factory=Counts)
    #: Memory and disk of its machine that are in use, in percent.
    memory_percent: float = 0.0
    disk_percent: float = 0.0
    #: Established network connections of the worker and its tasks.
    connections: int = 0
    #: How far its running attempts say they are, of those that say anything.
    progress: tuple[Report, ...] = ()

    def document(self) -> Document:
        """The session as JSON."""
        progress = [report.document() for report in self.progress]
        return {**flat(self), "counts": flat(self.counts), "progress": progress}

    @classmethod
    def load(cls, name: str, document: Mapping[str, Any]) -> Session:
        """The session read from register ``name``. Raises `BadRecord` when it is none."""
        fields = Fields(name, document)
        return cls(
            incarnation=fields.id("incarnation"),
            worker=fields.text("worker"),
            seq=fields.count("seq"),
            interval=fields.seconds("interval"),
            ttl=fields.seconds("ttl"),
            status="draining" if fields.text("status", "online") == "draining" else "online",
            active_tasks=fields.count("active_tasks", 0),
            max_tasks=fields.count("max_tasks", 0),
            cpu_percent=fields.seconds("cpu_percent", 0.0),
            sent_at=fields.text("sent_at", ""),
            sealed_by=fields.maybe_text("sealed_by"),
            sealed_because=fields.maybe_text("sealed_because"),
            counts=Counts.load(fields.counts("counts")),
            memory_percent=fields.seconds("memory_percent", 0.0),
            disk_percent=fields.seconds("disk_percent", 0.0),
            connections=fields.count("connections", 0),
            progress=load_reports(document.get("progress")),
        )
