"""Failover by hand: the rule of every peer, for fleets in which no peer is there to follow it.

Nothing is taken over without W of silence seen by this machine, proof of death, or orphanhood. So a first
look decides little, and the command goes on looking until it knows of each incarnation whether it beats.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from sentinel.client.observing import Observing
from sentinel.errors import Conflict, NotFound, WaitTimeout
from sentinel.fleet import failover, registry
from sentinel.fleet.failover import Suspect
from sentinel.fleet.observer import Observer
from sentinel.fleet.view import View, load_session
from sentinel.model import layout
from sentinel.model.codec import Document
from sentinel.model.ids import check_id
from sentinel.store.base import ABSENT, Committed, Expected, Register, Transaction

#: Seconds between two looks: this part of the shortest wait, within these limits.
_PART, _SHORTEST, _LONGEST = 20, 0.25, 5.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What came of one live incarnation."""

    worker: str
    incarnation: str
    #: ``failed_over``, ``dead`` (in a dry run: it would be), ``alive`` (it beat while we looked), or
    #: ``undecided``.
    state: Literal["failed_over", "dead", "alive", "undecided"]
    #: Why it is dead, or None.
    ground: str | None = None
    #: Seconds of silence that this machine has seen.
    silence: float = 0.0
    #: Seconds of silence that are still needed.
    needed: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Failovers:
    """What a failover did, or in a dry run would do."""

    judged: tuple[Judged, ...]
    #: A line for each task and lock that was freed.
    freed: tuple[str, ...]

    def document(self) -> Document:
        """The result as JSON."""
        return {
            "workers": [dataclasses.asdict(judged) for judged in self.judged],
            "freed": list(self.freed),
        }


class FailoverCalls(Observing):
    """Takes over for dead incarnations."""

    def fail_over(
        self, worker: str | None = None, *, wait: float | None = None, dry_run: bool = False
    ) -> Failovers:
        """Fail over every dead incarnation (or those of ``worker``), and free what they held.

        Looks for at most ``wait`` seconds, for as long as is needed when that is None, and once in a dry
        run; what was seen is kept for the next command. Raises `NotFound`, `Conflict` when ``worker`` beats,
        and `WaitTimeout` when it could not be told of everyone in time.
        """
        if worker is not None:
            _check_registered(self.view(), worker)
        _, observer = self._sightings()
        found = self._look_until_known(worker, limit=0.0 if dry_run else wait, dry_run=dry_run)
        freed = self._free(
            observer, dead=[one for one in found.values() if one.state == "dead"], dry_run=dry_run
        )
        result = Failovers(judged=tuple(sorted(found.values(), key=lambda one: one.worker)), freed=freed)
        if worker is not None and any(one.state == "alive" for one in result.judged):
            raise Conflict(f"worker {worker} beats; nothing was taken from it")
        undecided = [one for one in result.judged if one.state == "undecided"]
        if undecided and not dry_run:
            longest = max(one.needed for one in undecided)
            names = ", ".join(one.worker for one in undecided)
            raise WaitTimeout(f"{names}: whether it is dead takes {longest:.0f} s more of silence to tell")
        return result

    def check_id_is_free(self, worker: str) -> Judged | None:
        """Look until it is known whether a worker of this id could start now, and take nothing over.

        Gives what is known of a dead predecessor whose place it would take, or None. Raises `WorkerIdInUse`
        when one beats.
        """
        found = self._look_until_known(worker, limit=None, dry_run=True).values()
        for one in found:
            if one.state == "alive":
                living = self.view().incarnations.get(one.incarnation)
                raise registry.in_use(worker, one.incarnation, living)
        return next(iter(found), None)

    def _look_until_known(
        self, worker: str | None, *, limit: float | None, dry_run: bool
    ) -> dict[str, Judged]:
        """Look until all is known of every incarnation (of ``worker``), for at most ``limit`` seconds."""
        started = self._clock.now()
        first: dict[str, Expected] = {}
        found: dict[str, Judged] = {}
        kept, observer = self._sightings()
        while True:
            view, registers = self._watch(observer)
            open_ones = self._judge(view, registers, observer, first, found, worker, dry_run=dry_run)
            if kept is not None:
                kept.save(observer.sightings())
            over = limit is not None and self._clock.now() - started >= limit
            if not open_ones or over:
                return found
            needed = min(judged.needed for judged in open_ones)
            pause = min(max(needed / _PART, _SHORTEST), _LONGEST)
            left = pause if limit is None else started + limit - self._clock.now()
            self._clock.sleep(max(0.0, min(pause, left)))

    def _watch(self, observer: Observer) -> tuple[View, Mapping[str, Register]]:
        sent = self._clock.now()
        view = self.view()
        registers = self._transactor.retrying()(self.store.published)
        reply = self._clock.now()
        for name, version in failover.watched(view, registers).items():
            observer.note(name, version, sent=sent, reply=reply)
        return view, registers

    def _judge(
        self,
        view: View,
        registers: Mapping[str, Register],
        observer: Observer,
        first: dict[str, Expected],
        found: dict[str, Judged],
        worker: str | None,
        *,
        dry_run: bool,
    ) -> list[Judged]:
        """Put what is known of each incarnation into ``found``; those that it cannot be told of yet."""
        undecided = []
        for key in view.snapshot.list(layout.INCARNATIONS):
            name = key[len(layout.INCARNATIONS) :]
            record = view.incarnations.get(name)
            owner = record.worker if record is not None else "unreadable"
            before = found.get(name)
            if (worker is not None and owner != worker) or (before is not None and before.state == "alive"):
                continue
            register = layout.session_register(name)
            version: Expected = registers[register].version if register in registers else ABSENT
            suspect = failover.suspect(
                view, registers, observer, name, stale=self._options.stale, proof=self._proof()
            )
            if suspect is not None:
                judged = self._take(view, suspect, dry_run=dry_run)
            else:
                session = load_session(register, registers.get(register))
                silence = observer.silence(register, version)
                limit = failover.wait_limit(self._options.stale, record, session)
                beat = first.setdefault(name, version) != version
                judged = Judged(
                    worker=owner,
                    incarnation=name,
                    state="alive" if beat else "undecided",
                    silence=round(silence, 3),
                    needed=0.0 if beat else round(limit - silence, 3),
                )
            found[name] = judged
            if judged.state == "undecided":
                undecided.append(judged)
        # One that is gone without our doing left, or somebody else was faster.
        for name in [name for name, judged in found.items() if judged.state == "undecided"]:
            if not view.live(name):
                del found[name]
        return undecided

    def _take(self, view: View, suspect: Suspect, *, dry_run: bool) -> Judged:
        done = not dry_run and failover.fail_over(self._transactor, view, suspect, by=self._actor)
        state: Literal["failed_over", "dead", "undecided"] = "failed_over" if done else "undecided"
        return Judged(
            worker=suspect.worker,
            incarnation=suspect.incarnation,
            state="dead" if dry_run else state,
            ground=suspect.ground,
            needed=_SHORTEST,
        )

    def _free(self, observer: Observer, *, dead: list[Judged], dry_run: bool) -> tuple[str, ...]:
        view = self.view()
        transactions: list[Transaction] = list(
            failover.orphans(
                view,
                lambda: self._transactor.change(view.snapshot),
                observer,
                gone=frozenset(judged.incarnation for judged in dead),
                wall=self._clock.wall(),
                by=self._actor,
            )
        )
        if dry_run or not transactions:
            return tuple(transaction.note for transaction in transactions)
        outcomes = self.store.commit(transactions)
        return tuple(
            transaction.note
            for transaction, outcome in zip(transactions, outcomes, strict=True)
            if isinstance(outcome, Committed)
        )


def _check_registered(view: View, worker: str) -> None:
    check_id(worker, "worker id")
    known = worker in view.workers or any(one.worker == worker for one in view.incarnations.values())
    if not known:
        raise NotFound(f"there is no worker {worker!r}; `sentinel workers list` shows all")
