"""I1–I4, I8, I9, I11: what tasks, workers, incarnations and locks may become from commit to commit."""

from __future__ import annotations

from typing import Any

from sentinel.model import layout
from sentinel.model.codec import Document
from sentinel.model.lease import RATE_ERROR
from sentinel.model.retention import Terms
from sentinel.model.task import ENDED, WAITING
from sentinel.store.base import DELETE, Transaction
from sentinel.testing.checking.specification import spec_hash, spec_of, whole
from sentinel.testing.checking.truth import EPSILON, Known, Sender, Truth, Violation


def _only_marked(before: Document, after: Document) -> bool:
    """Whether an ended task was given the retention's mark, and nothing else."""
    differing = {field for field in before.keys() | after.keys() if before.get(field) != after.get(field)}
    return before["state"] in ENDED and not before.get("mark") and differing <= {"mark", "rev", "tx"}


class RecordRules:
    """Judges each transaction that landed, against the state before it."""

    def __init__(self, truth: Truth, retention: Terms | None = None) -> None:
        self._truth = truth
        #: What the fleet has agreed to keep; None where nothing may be pruned.
        self._retention = retention
        #: Task → when its last run ended, for those that have.
        self._ended_at: dict[str, float] = {}
        #: Tasks that were pruned, and not handed in again.
        self.pruned: set[str] = set()
        #: (task, run) → the result that was committed.
        self.results: dict[tuple[str, int], Any] = {}
        #: (task, epoch) → the incarnation whose claim that was.
        self.claims: dict[tuple[str, int], str] = {}
        #: (lock, epoch) → the incarnation that acquired it.
        self.acquired: dict[tuple[str, int], str] = {}
        #: What was asked for when the id was first submitted.
        self.submitted: dict[str, Document] = {}
        #: (task, epoch) → the record as it was claimed, which is what may run.
        self.claimed: dict[tuple[str, int], Document] = {}
        self._lock_epochs: dict[str, int] = {}
        self._at = 0.0

    def landed(self, at: float, transaction: Transaction, sender: Sender) -> None:
        """One transaction of a commit, in the order of the commit. Raises `Violation`."""
        self._at = at
        tasks: set[str] = set()
        for key in transaction.write:
            folder, _, name = key.partition("/")
            if folder in ("tasks", "done"):
                tasks.add(name)
        for name in sorted(tasks):
            self._task(name, transaction, sender)
        for key, written in transaction.write.items():
            after = None if written is DELETE else written
            if key.startswith(layout.INCARNATIONS):
                self._incarnation(key[len(layout.INCARNATIONS) :], after, sender, transaction)
            elif key.startswith(layout.LOCKS) and key != layout.LOCK_FLOOR:
                self._lock(key[len(layout.LOCKS) :], after, sender, transaction)
            elif key.startswith(layout.WORKERS) and after is not None:
                self._linear(key, self._before(key), after)
            elif key.startswith(layout.MEMORY):
                self._memory(key, after, sender, transaction)
        for key, written in transaction.write.items():
            if written is DELETE:
                self._truth.documents.pop(key, None)
            else:
                is_task = key.startswith((layout.TASKS, layout.DONE))
                document = whole(written) if is_task else written
                self._truth.documents[key] = Known(document=document, landed_at=at)
        for key in transaction.write:
            if key.startswith(layout.WORKERS):
                self._one_life(key[len(layout.WORKERS) :])

    def _memory(self, key: str, after: Document | None, sender: Sender, transaction: Transaction) -> None:
        before = self._before(key)
        if after is not None:
            self._linear(key, before, after)
        elif before is not None and transaction.note.startswith("expire"):
            silence = (self._at - self._truth.documents[key].landed_at) * sender.rate
            if not before["ttl"] or silence < before["ttl"] - EPSILON:
                raise self._bad("I5", f"{key} expired after {silence:.3f} s of {before['ttl']} s")

    def _bad(self, invariant: str, what: str) -> Violation:
        return Violation(invariant, self._at, what)

    def _before(self, key: str) -> Document | None:
        known = self._truth.documents.get(key)
        return None if known is None else known.document

    def _linear(self, key: str, before: Document | None, after: Document) -> None:
        parent = 0 if before is None else before["rev"]
        if after["rev"] != parent + 1:
            raise self._bad("I3", f"{key} goes from rev {parent} to {after['rev']}: {after.get('tx')}")

    # -- tasks -----------------------------------------------------------------------------------------

    def _task(self, name: str, transaction: Transaction, sender: Sender) -> None:
        active, done = layout.task_key(name), layout.done_key(name)
        before = self._before(active) or self._before(done)
        written = [transaction.write[key] for key in (active, done) if key in transaction.write]
        documents = [whole(document) for document in written if document is not DELETE]
        places = {
            key: transaction.write[key] is not DELETE
            if key in transaction.write
            else self._before(key) is not None
            for key in (active, done)
        }
        if all(places.values()):
            raise self._bad("I3", f"task {name} is in both folders after {transaction.note!r}")
        if not documents:
            if before is not None and before["state"] not in ENDED:
                raise self._bad("I7", f"task {name} vanished while {before['state']}: {transaction.note!r}")
            if before is not None:
                self._pruned(name, transaction)
            return
        (after,) = documents
        if before is None:
            self._submitted(name, after)
            return
        if _only_marked(before, after):
            self._linear(f"task {name}", before, after)
            return
        if after["state"] in ENDED:
            self._ended_at[name] = self._at
        self._result(name, after, transaction)
        self._linear(f"task {name}", before, after)
        self._moved(name, before, after, sender, transaction)

    def _submitted(self, name: str, after: Document) -> None:
        if name in self.submitted:
            raise self._bad("I8", f"task {name} began anew although it was there before")
        if (after["rev"], after["epoch"], after["run"]) != (1, 0, 1) or after["state"] not in WAITING:
            raise self._bad("I3", f"task {name} begins at rev {after['rev']}, epoch {after['epoch']}")
        self._approved(name, after)
        self.submitted[name] = after
        if name in self.pruned:
            # The time in which its id was known is over: this is another task.
            self.pruned.discard(name)
            self.results = {run: result for run, result in self.results.items() if run[0] != name}

    def _pruned(self, name: str, transaction: Transaction) -> None:
        """What has ended goes, after its time or when there are too many, and when nothing needs it."""
        age = self._at - self._ended_at.get(name, self._at)
        ended = [key for key in self._truth.documents if key.startswith(layout.DONE)]
        terms = self._retention
        # Each period was counted on some machine's clock, and those may be fast. How many there are was
        # counted while some of them ran anew.
        if terms is None or (
            age < terms.seconds * (1 - RATE_ERROR) - EPSILON and len(ended) <= terms.count / 2
        ):
            raise self._bad("I7", f"{name} was pruned {age:.3f} s after it ended: {transaction.note!r}")
        for key, known in self._truth.documents.items():
            if key.startswith(layout.TASKS) and name in known.document.get("after", ()):
                raise self._bad("I7", f"{name} was pruned, and {key} is to run after it")
        self.pruned.add(name)
        self.submitted.pop(name, None)

    def _result(self, name: str, after: Document, transaction: Transaction) -> None:
        if after["state"] != "done":
            return
        run = (name, after["run"])
        if run in self.results:
            raise self._bad("I1", f"run {after['run']} of {name} has two results: {transaction.note!r}")
        self.results[run] = after["result"]

    def _moved(
        self, name: str, before: Document, after: Document, sender: Sender, transaction: Transaction
    ) -> None:
        was, now = before["state"], after["state"]
        claimed = was == "pending" and now == "running"
        self._approved(name, after)
        changed = spec_of(before) != spec_of(after)
        if changed and (after.get("source") is None or was == "running" or now not in WAITING):
            raise self._bad("I9", f"what {name} is to do changed while {was}: {transaction.note!r}")
        if after["epoch"] != before["epoch"] + (1 if claimed else 0):
            raise self._bad(
                "I2", f"task {name} goes from epoch {before['epoch']} to {after['epoch']}, {was} to {now}"
            )
        if was in ENDED:
            # A file that was changed asks for a run of something else; nothing else comes after `done`.
            over = was == "done" and not (changed and after["source"]["kind"] == "file")
            if over or now not in WAITING or after["run"] != before["run"] + 1:
                raise self._bad("I8", f"run {before['run']} of {name} ended as {was}, then: {now}")
        elif after["run"] != before["run"] + (1 if changed and before["attempt"] else 0):
            raise self._bad("I8", f"{name} goes to run {after['run']} while {was}")
        elif claimed:
            self._acts(after["incarnation"], sender, transaction)
            self.claims[name, after["epoch"]] = after["incarnation"]
            self.claimed[name, after["epoch"]] = after
        elif was == "running" and now == "running":
            if (before["incarnation"], before["owner"]) != (after["incarnation"], after["owner"]):
                raise self._bad("I4", f"{name} changed hands without a claim: {transaction.note!r}")
        elif was == "running":
            self._freed(name, before, after, sender, transaction)
        elif now not in WAITING | {"cancelled"} or (now == was and not changed):
            raise self._bad("I4", f"{name} goes from {was} to {now}: {transaction.note!r}")

    def _approved(self, name: str, after: Document) -> None:
        """What came from outside waits for a worker, and runs, only as somebody approved it."""
        if after.get("source") is None or after["state"] not in ("pending", "running"):
            return
        approval = after.get("approval")
        if approval is None or approval["spec"] != spec_hash(after):
            raise self._bad("I9", f"{name} is {after['state']}, and nobody approved it as it stands")

    def _freed(
        self, name: str, before: Document, after: Document, sender: Sender, transaction: Transaction
    ) -> None:
        if self._truth.live(before["incarnation"]):
            self._acts(before["incarnation"], sender, transaction)
            return
        lost = any(
            event["event"] == "lost" and event["epoch"] == before["epoch"] for event in after["history"]
        )
        if not lost or after["state"] == "done":
            raise self._bad(
                "I11", f"{before['incarnation']} ended {name} when it was gone: {transaction.note!r}"
            )

    def _acts(self, incarnation: str, sender: Sender, transaction: Transaction) -> None:
        """What is done in the name of an incarnation is done by itself, while it is live."""
        if not self._truth.live(incarnation):
            raise self._bad("I11", f"{incarnation} is gone and wrote: {transaction.note!r}")
        if sender.incarnation != incarnation:
            raise self._bad("I4", f"{sender.process} wrote as {incarnation}: {transaction.note!r}")

    # -- incarnations ----------------------------------------------------------------------------------

    def _incarnation(
        self, name: str, after: Document | None, sender: Sender, transaction: Transaction
    ) -> None:
        life = self._truth.lives.get(name)
        if after is not None:
            if life is not None:
                raise self._bad("I11", f"incarnation {name} came back: {transaction.note!r}")
            self._truth.born(name, after["ttl"], self._at)
            return
        assert life is not None
        life.gone_at = self._at
        if sender.incarnation == name:
            life.left = True
            if life.running:
                raise self._bad("I6", f"{name} left while {sorted(life.running)} ran")
            return
        register = self._truth.registers.get(layout.session_register(name))
        if register is None or register.document.get("sealed_by") is None:
            raise self._bad("I5", f"{name} was buried without a seal: {transaction.note!r}")

    def _one_life(self, worker: str) -> None:
        live = [
            key
            for key, known in self._truth.documents.items()
            if key.startswith(layout.INCARNATIONS)
            and known.document["worker"] == worker
            and known.document["kind"] == "worker"
        ]
        if live and layout.worker_key(worker) not in self._truth.documents:
            raise self._bad(
                "I5", f"{worker} is registered no more, and is live: whoever joins would not see it"
            )
        if len(live) > 1:
            raise self._bad(
                "I5", f"{len(live)} live incarnations speak for {worker}, one took over the other"
            )

    # -- locks -----------------------------------------------------------------------------------------

    def _lock(self, name: str, after: Document | None, sender: Sender, transaction: Transaction) -> None:
        key = layout.lock_key(name)
        before = self._before(key)
        if after is None:
            if before is not None and before["holder"] is not None:
                raise self._bad("I5", f"lock {name} was removed while held: {transaction.note!r}")
            return
        self._linear(f"lock {name}", before, after)
        highest = self._lock_epochs.get(name, 0)
        held = before is not None and before["holder"] is not None
        acquired = after["holder"] is not None and (
            not held or before is None or after["epoch"] != before["epoch"]
        )
        if acquired and (after["epoch"] <= highest or (before and after["epoch"] != before["epoch"] + 1)):
            raise self._bad("I2", f"lock {name} is acquired at epoch {after['epoch']}, it was at {highest}")
        if not acquired and before is not None and after["epoch"] != before["epoch"]:
            raise self._bad(
                "I2", f"lock {name} changed its epoch without being acquired: {transaction.note!r}"
            )
        self._lock_epochs[name] = max(highest, after["epoch"])
        if acquired and after["incarnation"] is not None:
            self._acts(after["incarnation"], sender, transaction)
            self.acquired[name, after["epoch"]] = after["incarnation"]
        if held and before is not None and (acquired or after["holder"] is None):
            self._lock_lost(key, before, sender, transaction)

    def _lock_lost(self, key: str, before: Document, sender: Sender, transaction: Transaction) -> None:
        holder = before["incarnation"]
        if transaction.note.startswith(("release", "force")):
            return
        if holder is not None:
            if self._truth.live(holder) and sender.incarnation != holder:
                raise self._bad("I5", f"{key} was taken from a live holder: {transaction.note!r}")
            return
        silence = (self._at - self._truth.documents[key].landed_at) * sender.rate
        if silence < before["ttl"] - EPSILON:
            raise self._bad("I5", f"{key} was taken after {silence:.3f} s of {before['ttl']} s")
