"""The calls that look at the fleet as a whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from sentinel.client.connection import Connection
from sentinel.fleet.alerting import alerts_in
from sentinel.fleet.events import Event, events
from sentinel.fleet.health import Condition, Limits, Verdict, conditions, verdict
from sentinel.fleet.metrics import LockMetrics, Metrics, lock_metrics, measure
from sentinel.model.codec import Document

#: Longest pause in seconds between two looks for new events; a store that tells of changes wakes us earlier.
_LOOK_EVERY = 10.0
#: How many commits one look for new events reads at most.
_AT_ONCE = 10_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the fleet is."""

    verdict: Verdict
    conditions: tuple[Condition, ...]
    metrics: Metrics
    #: When a worker raised an alert of a condition, by its key; without one it is new, or nobody watches.
    since: Mapping[str, str]

    def documents(self) -> list[Document]:
        """The conditions as JSON, each with ``since`` (null without an alert)."""
        return [{**found.document(), "since": self.since.get(found.key)} for found in self.conditions]


class FleetCalls(Connection):
    """Numbers, health and history of the fleet."""

    def metrics(self) -> Metrics:
        """The fleet in numbers, as it is now."""
        registers = self.store.published()
        view = self.view()
        return measure(view, self._records.ended(view.snapshot)[0], registers, self._clock.wall())

    def health(self, limits: Limits | None = None) -> Health:
        """What is wrong with the fleet now, by ``limits`` or else those of the guide."""
        metrics = self.metrics()
        found = conditions(metrics, limits or Limits())
        alerts = alerts_in(self.view().snapshot).active
        return Health(
            verdict=verdict(metrics, found),
            conditions=tuple(found),
            metrics=metrics,
            since={key: alert.since for key, alert in alerts.items()},
        )

    def lock_metrics(self) -> list[LockMetrics]:
        """All named locks in numbers, by name."""
        return list(lock_metrics(self.view()))

    def events(self, limit: int = 100) -> list[Event]:
        """What happened in the newest ``limit`` commits that this machine knows, oldest first."""
        return list(events(self._transactor.retrying()(self.store.audit, limit)))

    def follow_events(self, limit: int = 0) -> Iterator[Event]:
        """The same, and then what happens from now on, without an end."""
        entries = self._transactor.retrying()(self.store.audit, max(limit, 1))
        last = entries[0].revision if entries else None
        yield from events(entries[:limit])
        while True:
            self._read()
            entries = self._transactor.retrying()(self.store.audit, _AT_ONCE, last)
            last = entries[0].revision if entries else last
            yield from events(entries)
            self.store.wait(_LOOK_EVERY)
