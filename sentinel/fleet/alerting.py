"""From what is wrong now to alerts: raised and ended when two looks agree, each in the audit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from sentinel.clock import rfc3339
from sentinel.fleet.health import Condition
from sentinel.fleet.view import load
from sentinel.model import layout
from sentinel.model.alerts import Alert, Alerts
from sentinel.store.base import Snapshot, Transaction
from sentinel.store.transact import Change


def alerts_in(snapshot: Snapshot) -> Alerts:
    """The alerts that are stored; none when they cannot be read."""
    found = load(snapshot, layout.ALERTS, Alerts.load)
    return found if isinstance(found, Alerts) else Alerts()


def update(
    change: Change,
    snapshot: Snapshot,
    now: Mapping[str, Condition],
    before: Mapping[str, Condition],
    *,
    wall: float,
    by: str,
) -> Transaction | None:
    """Raise what holds ``now`` and held at the look ``before``, end what did at neither; None for nothing."""
    stored = alerts_in(snapshot)
    raised = {key: found for key, found in now.items() if key in before and key not in stored.active}
    ended = [key for key in stored.active if key not in now and key not in before]
    if not raised and not ended:
        return None
    at = rfc3339(wall)
    active = {key: alert for key, alert in stored.active.items() if key not in ended}
    active |= {
        key: Alert(
            code=found.code,
            severity=found.severity,
            subject=found.subject,
            message=found.message,
            since=at,
        )
        for key, found in raised.items()
    }
    change.put(layout.ALERTS, dataclasses.replace(stored, active=active))
    said = [f"alert {found.code} ({found.severity}): {found.message}" for found in raised.values()]
    said += [f"end of alert {key}" for key in ended]
    return change.transaction(f"{'; '.join(said)}, seen by {by}")
