"""The health monitor: every half minute one of the peers looks for what is wrong with the fleet.

It recovers nothing: what a failover has to do, each peer does at once. It tells, in the alerts and so in the
audit. The peer with the lowest id of all that beat does it. That two take themselves for that one does no
harm: they see the same, and compare-and-swap lets one of them say it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sentinel.clock import Clock
from sentinel.fleet import alerting
from sentinel.fleet.candidates import beating
from sentinel.fleet.health import Condition, conditions
from sentinel.fleet.metrics import measure
from sentinel.fleet.observer import Observer
from sentinel.fleet.view import View
from sentinel.peer.options import PeerOptions
from sentinel.store.base import Register, Transaction
from sentinel.store.transact import Change


class Monitor:
    """Looks at the whole fleet now and then. For the control thread alone."""

    def __init__(self, options: PeerOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._looked = clock.now()
        #: What was wrong at the last look; None when there was none.
        self._before: Mapping[str, Condition] | None = None

    def reconfigure(self, options: PeerOptions) -> None:
        """Look by these options from now on."""
        self._options = options

    def look(
        self,
        view: View,
        registers: Mapping[str, Register],
        observer: Observer,
        change: Callable[[], Change],
    ) -> Transaction | None:
        """What there is to tell, when it is time to look and this peer's part; else None."""
        limits, now = self._options.alerts, self._clock.now()
        if limits is None or now - self._looked < self._options.watch_every:
            return None
        self._looked = now
        if not self._is_mine(view, registers, observer):
            self._before = None
            return None
        # Ended tasks may be many: what they tell is left to people who ask.
        wall = self._clock.wall()
        found = {
            condition.key: condition for condition in conditions(measure(view, (), registers, wall), limits)
        }
        before, self._before = self._before, found
        if before is None:
            return None
        return alerting.update(change(), view.snapshot, found, before, wall=wall, by=self._options.worker)

    def _is_mine(self, view: View, registers: Mapping[str, Register], observer: Observer) -> bool:
        for name in sorted(view.workers):
            if name == self._options.worker:
                return True
            if beating(view, registers, observer, view.workers[name].incarnation) is not None:
                return False
        return False
