"""What one peer does about those that are gone: their failover, their orphans, their registers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping

from sentinel.clock import rfc3339
from sentinel.fleet import failover
from sentinel.fleet.observer import Observer
from sentinel.fleet.proof import DeathProof
from sentinel.fleet.view import View, load_session
from sentinel.peer.options import PeerOptions
from sentinel.peer.work import Counters, Planned
from sentinel.store.base import Committed, Outcome, Register
from sentinel.store.transact import Change, Transactor

log = logging.getLogger(__name__)


class Recovery:
    """Frees what the dead held, in the name of the incarnation ``mine``. All methods are for one thread."""

    def __init__(
        self,
        options: PeerOptions,
        mine: str,
        transactor: Transactor,
        observer: Observer,
        proof: DeathProof,
        counters: Counters,
    ) -> None:
        self._options = options
        self._mine = mine
        self._clock = transactor.clock
        self._store = transactor.store
        self._observer = observer
        self._proof = proof
        self._counters = counters
        #: Registers that no live incarnation beats in, as far as this peer saw.
        self._left_behind = Observer()

    def reconfigure(self, options: PeerOptions) -> None:
        """Go on with these options."""
        self._options = options

    def failovers(
        self,
        view: View,
        registers: Mapping[str, Register],
        begin: Callable[[], Change],
        freed: Callable[[Outcome], None],
    ) -> Iterator[Planned]:
        """Seal and bury each suspect, then free each orphan; ``freed`` hears the outcome of the latter.

        ``begin`` gives a new change on the view's snapshot. Seals are set at once, as they are asked for; a
        suspect whose register moved is alive and left alone. Raises store errors.
        """
        by = self._options.worker
        gone: set[str] = set()
        for found in self._suspects(view, registers):
            if failover.seal(self._store, found, by=by, sent_at=rfc3339(self._clock.wall())):
                gone.add(found.incarnation)
                counted = failover.count(begin(), view, found)
                if counted is not None:
                    yield Planned(counted)
                yield Planned(failover.bury(begin(), found, by=by), self._buried(found))
        wall, none_of = self._clock.wall(), frozenset(gone)
        for transaction in failover.orphans(view, begin, self._observer, gone=none_of, wall=wall, by=by):
            yield Planned(transaction, freed)

    def abandoned(
        self, view: View, registers: Mapping[str, Register], *, sent: float, reply: float
    ) -> Iterator[tuple[str, str]]:
        """Name and version of each register that this peer is to take away now.

        The documents that were read may be older than the registers, so the register of one that has just
        joined can look abandoned. Taken away, it would be missing as it was before its first beat, and who
        saw it missing then would count all of that as silence. Hence the patience of a takeover, once more
        for each peer whose turn comes first: all of them trying at once would be so many pushes.
        """
        abandoned = failover.abandoned_registers(view, registers)
        self._left_behind.look(abandoned, sent=sent, reply=reply)
        for name, version in abandoned.items():
            limit = failover.wait_limit(self._options.times.stale, None, load_session(name, registers[name]))
            silence = self._left_behind.silence(name, version)
            if silence >= limit and silence >= limit * (1 + failover.turn(view, name, self._mine)):
                yield name, version

    def _suspects(self, view: View, registers: Mapping[str, Register]) -> list[failover.Suspect]:
        if not self._options.recovery:
            return []
        stale = self._options.times.stale
        found = failover.suspects(view, registers, self._observer, stale=stale, proof=self._proof)
        return [suspect for suspect in found if suspect.incarnation != self._mine]

    def _buried(self, found: failover.Suspect) -> Callable[[Outcome], None]:
        def settle(outcome: Outcome) -> None:
            if isinstance(outcome, Committed):
                self._counters.failovers += 1
                log.warning("failed over %s: %s", found.worker, found.ground)

        return settle
