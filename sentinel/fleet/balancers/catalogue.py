"""Balancers by name: those that are built in, and those that other packages bring along."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from sentinel.errors import BadInput
from sentinel.fleet.balancers.affinity import Affinity
from sentinel.fleet.balancers.capacity_based import capacity_based
from sentinel.fleet.balancers.least_loaded import least_loaded
from sentinel.fleet.balancers.port import Balancer
from sentinel.fleet.balancers.round_robin import round_robin

#: Entry points of this group are balancers, or functions that give one when called without arguments.
GROUP = "sentinel.balancers"
#: The strategy whose choice counts where no affinity does.
DEFAULT = "least_loaded"
AFFINITY = "affinity"

_BUILT_IN: Mapping[str, Balancer] = {
    "round_robin": round_robin,
    "least_loaded": least_loaded,
    "capacity_based": capacity_based,
}


@functools.cache
def find(name: str) -> Balancer:
    """The balancer called ``name``. Raises `BadInput` when there is none, or it cannot be loaded."""
    if name == AFFINITY:
        return Affinity(_BUILT_IN[DEFAULT])
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    found = {point.name: point for point in metadata.entry_points(group=GROUP)}
    if name not in found:
        known = ", ".join(sorted({*_BUILT_IN, AFFINITY, *found}))
        raise BadInput(f"there is no balancer {name!r}; there are {known}")
    try:
        balancer = found[name].load()
    except Exception as error:  # whatever a plugin's import raises is told to the person who named it
        raise BadInput(f"the balancer {name!r} cannot be loaded: {error}") from error
    if isinstance(balancer, type):
        balancer = balancer()
    if not callable(balancer):
        raise BadInput(f"the balancer {name!r} ({found[name].value}) cannot be called")
    return balancer  # type: ignore[no-any-return]  # a plugin's word is taken for its signature


def configured(strategy: str, options: Mapping[str, Any], *, affinity: bool) -> Balancer:
    """The balancer that the settings ask for; with ``affinity`` labelled tasks have a home with every
    strategy.

    Raises `BadInput`.
    """
    chosen = strategy
    if strategy == AFFINITY:
        chosen = options.get("fallbackStrategy", DEFAULT)
        if chosen == AFFINITY:
            raise BadInput("the fallbackStrategy of affinity cannot be affinity itself")
    balancer = find(chosen)
    return Affinity(balancer) if affinity else balancer
