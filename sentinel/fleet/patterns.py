"""Three ways to run the one assignment function: every peer for itself, one for all, or leaders for their
own.

In ``peer_to_peer`` each peer computes the assignment and claims its share. In ``master_worker`` the holder of
the lock ``coordinator`` computes it and writes hints; in ``hierarchical`` a leader per group (region or
role), the holder of that group's lock, does so for the workers of its group. A hint gives no right: the claim
does, as ever. So whoever finds nobody in charge goes on as a peer among peers.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Literal, Protocol

from sentinel.fleet.candidates import beating
from sentinel.fleet.observer import Observer
from sentinel.fleet.view import View
from sentinel.store.base import Register

Pattern = Literal["peer_to_peer", "master_worker", "hierarchical"]
GroupBy = Literal["region", "role"]

COORDINATOR = "coordinator"
#: Workers with one of these roles are the first to take a lock of this kind.
_BORN_LEADERS = frozenset({"leader", "coordinator", "master"})


class Member(Protocol):
    """A worker, as far as its place in the fleet goes."""

    @property
    def id(self) -> str: ...

    @property
    def region(self) -> str | None: ...

    @property
    def role(self) -> str | None: ...


def lock_over(member: Member, pattern: Pattern, group_by: GroupBy) -> str | None:
    """The lock whose holder assigns tasks to ``member``; None where nobody does."""
    if pattern == "peer_to_peer":
        return None
    if pattern == "master_worker":
        return COORDINATOR
    group = member.region if group_by == "region" else member.role
    if group is None:
        return "leader"
    name = "-".join(re.findall(r"[a-z0-9]+", group.lower()))[:60]
    if not name or name != group:
        # Two groups must not share a leader because their names look alike.
        digest = hashlib.sha256(group.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        name = f"{name}-{digest}".lstrip("-")
    return f"leader.{name}"


def elected(members: Iterable[Member]) -> str | None:
    """Which of these is to take a free lock over all of them: everybody finds the same without talking."""
    ranked = sorted((member.role not in _BORN_LEADERS, member.id) for member in members)
    return ranked[0][1] if ranked else None


def in_charge(
    view: View, registers: Mapping[str, Register], observer: Observer, lock_name: str | None
) -> bool:
    """Whether a worker that beats holds the lock, so that others wait for its hints."""
    lock = view.locks.get(lock_name) if lock_name is not None else None
    if lock is None or lock.incarnation is None:
        return False
    incarnation = view.incarnations.get(lock.incarnation)
    is_worker = incarnation is not None and incarnation.kind == "worker"
    return is_worker and beating(view, registers, observer, lock.incarnation) is not None
