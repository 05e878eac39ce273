"""I5, I6, I10, I11: when an incarnation may be taken over, and until when its processes may live."""

from __future__ import annotations

import bisect

from sentinel.model.codec import Document
from sentinel.model.lease import GRACE, work_limit
from sentinel.testing.checking.truth import EPSILON, Known, Life, Sender, Truth, Violation


class LeaseRules:
    """Judges what lands in registers and what processes do, on the true time line."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        #: Register → true times at which it changed, and the version that it then had.
        self._changes: dict[str, tuple[list[float], list[str | None]]] = {}
        #: Version of a register → the TTL that it announced.
        self._announced: dict[str, float] = {}

    # -- registers -------------------------------------------------------------------------------------

    def published(
        self,
        at: float,
        name: str,
        document: Document | None,
        version: str | None,
        *,
        sent_at: float,
        sender: Sender,
    ) -> None:
        """A register changed at ``at`` by a write that was sent at ``sent_at``. Raises `Violation`."""
        before = self._truth.registers.get(name)
        if document is None:
            self._truth.registers.pop(name, None)
        else:
            self._judge(at, before, document, sent_at, sender)
            self._truth.registers[name] = Known(document=document, landed_at=at)
        times, versions = self._changes.setdefault(name, ([], []))
        times.append(at)
        versions.append(version)
        if version is not None and document is not None:
            self._announced[version] = float(document["ttl"])

    def _judge(
        self, at: float, before: Known | None, document: Document, sent_at: float, sender: Sender
    ) -> None:
        incarnation = document["incarnation"]
        life = self._truth.lives.get(incarnation)
        sealed_before = before is not None and before.document.get("sealed_by") is not None
        if document.get("sealed_by") is not None:
            # Over one that is gone a seal takes nothing: its register was removed, and is so again.
            if life is not None and life.gone_at is None and not sealed_before:
                since = life.joined_at if before is None else before.landed_at
                ttl = None if before is None else float(before.document["ttl"])
                self._ground(at, life, since, ttl, document, sender)
            return
        if sealed_before:
            raise Violation("I11", at, f"a beat of {incarnation} landed over its seal")
        if sender.incarnation != incarnation:
            raise Violation("I4", at, f"{sender.process} beats as {incarnation}")
        if life is not None:
            if life.running:
                self._in_time(at, life)
            life.beat_sent_at = sent_at
            life.beat_ttl = float(document["ttl"])

    def seal_sent(
        self,
        at: float,
        name: str,
        expected: str | None,
        document: Document,
        *,
        sender: Sender,
        seen_at: float | None,
    ) -> None:
        """Somebody asks for a seal, on the ground of a read that the store answered at ``seen_at``.

        Whatever becomes of it: who asks must have seen the silence that it gives as its ground. A read that
        showed what was old already is no evidence either way, and the compare-and-swap refuses such a seal.
        """
        life = self._truth.lives.get(document["incarnation"])
        if life is None or life.gone_at is not None or seen_at is None:
            return
        times, versions = self._changes.get(name, ([], []))
        place = bisect.bisect_right(times, seen_at) - 1
        if (versions[place] if place >= 0 else None) != expected:
            return
        since = times[place] if place >= 0 else life.joined_at
        ttl = None if expected is None else self._announced[expected]
        self._ground(seen_at, life, since, ttl, document, sender, asked_at=at)

    def _ground(
        self,
        at: float,
        life: Life,
        since: float,
        announced: float | None,
        document: Document,
        sender: Sender,
        *,
        asked_at: float | None = None,
    ) -> None:
        when = at if asked_at is None else asked_at
        if str(document.get("sealed_because", "")).startswith("proven"):
            if life.id not in self._truth.dead:
                raise Violation("I5", when, f"{life.id} was sealed as proven dead, and it is not")
            return
        needed = max(life.ttl, announced or 0.0)
        silence = (at - since) * sender.rate
        if silence < needed - EPSILON:
            raise Violation(
                "I5",
                when,
                f"{sender.process} seals {life.id}, which was silent for {silence:.3f} s of {needed:g} s "
                f"({document.get('sealed_because')})",
            )

    # -- processes -------------------------------------------------------------------------------------

    def started(self, at: float, incarnation: str, run: str, task: str, epoch: int) -> None:
        """A task's process began. Raises `Violation`."""
        life = self._truth.lives.get(incarnation)
        if life is None or life.left:
            raise Violation("I4", at, f"{run} of {task} started for {incarnation}, which is not there")
        life.running[run] = (task, epoch)
        if len(life.running) > life.max_tasks:
            raise Violation("I10", at, f"{incarnation} runs {len(life.running)} tasks of {life.max_tasks}")
        self._in_time(at, life)

    def ended(self, at: float, incarnation: str, run: str) -> None:
        """The last process of a run is gone. Raises `Violation`."""
        life = self._truth.lives[incarnation]
        if run in life.running:
            self._in_time(at, life)
            del life.running[run]

    def at_rest(self, at: float) -> None:
        """Nothing more happens: whatever runs still must be within its time. Raises `Violation`."""
        for life in self._truth.lives.values():
            if life.running:
                self._in_time(at, life)

    def _in_time(self, at: float, life: Life) -> None:
        if life.beat_sent_at is None:
            raise Violation("I6", at, f"a task of {life.id} runs, and no beat of it ever landed")
        limit = life.beat_sent_at + (work_limit(life.beat_ttl) + GRACE) / life.rate
        limit = max(limit, life.excused_until)
        if at > limit + EPSILON:
            raise Violation(
                "I6",
                at,
                f"{sorted(life.running)} of {life.id} lived {at - limit:.3f} s over its time: the last beat "
                f"that landed was sent at {life.beat_sent_at:.3f} s",
            )
