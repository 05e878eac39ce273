"""Values that are each valid but do not go together: a sentence for each such pair."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from sentinel.settings.fleet_wide import BalancerOptions
from sentinel.settings.layers import Entry, KeyPath, Layer
from sentinel.settings.tree import KEYS

#: Strategies whose options are known, so that another one can only be a slip.
BUILT_IN = ("round_robin", "least_loaded", "capacity_based", "affinity")

_STORE: KeyPath = ("store",)
_STORE_KEY = next(key for key in KEYS if key.path == _STORE)
_STRATEGY: KeyPath = ("load_balancer", "strategy")
_OPTIONS: KeyPath = ("load_balancer", "options")


def contradictions(worker: Layer, shared: Layer) -> Iterator[str]:
    """Values for the whole fleet that the worker file states differently from the shared file."""
    for path, entry in worker.items():
        other = shared.get(path)
        if entry.key.scope == "worker" or other is None or entry.value == other.value:
            continue
        disagreement = f"{entry.label} and {other.label} differ"
        if entry.shown and other.shown and entry.shown != other.shown:
            disagreement = f"{entry.label} is {entry.shown}, but {other.label} is {other.shown}"
        yield f"{disagreement}; it is one value for the whole fleet, so keep it in the shared file alone"


def odd_options(merged: Layer) -> Iterator[str]:
    """Options that no built-in balancer has, when the strategy is a built-in one."""
    chosen = merged.get(_STRATEGY)
    if chosen is not None and chosen.value not in BUILT_IN:
        return
    known = sorted(BalancerOptions.__annotations__)
    for path, entry in merged.items():
        if path[:-1] == _OPTIONS and path[-1] not in known:
            near = difflib.get_close_matches(path[-1], known, 1, 0.6)
            hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
            yield f"{entry.label} is no option of a built-in balancer; {hint}"


def odd_strategy(merged: Layer) -> Iterator[str]:
    """A strategy that looks like a built-in one misspelt; it may still be somebody's own."""
    chosen = merged.get(_STRATEGY)
    if chosen is not None and chosen.value not in BUILT_IN:
        for near in difflib.get_close_matches(str(chosen.value), BUILT_IN, 1, 0.8):
            yield f"{chosen.label} is no built-in balancer; did you mean {near}?"


def store_on_github(merged: Layer) -> Layer:
    """The store that ``github.owner`` and ``github.repo`` name where nothing else names one; or nothing."""
    owner, repo = merged.get(("github", "owner")), merged.get(("github", "repo"))
    if owner is None or repo is None:
        return {}
    url = f"github://{owner.value}/{repo.value}"
    origin, label = f"{owner.origin} and {repo.origin}", f"{owner.label} and {repo.label}"
    return {
        _STORE: Entry(key=_STORE_KEY, path=_STORE, value=url, shown=None, origin=origin, label=label),
    }


def is_on_github(merged: Layer) -> bool:
    """Whether the store is a repository on GitHub."""
    store = merged.get(_STORE)
    return store is not None and str(store.value).startswith(("github://", "github+api://"))


def other_repositories(merged: Layer) -> Iterator[str]:
    """``github.owner`` and ``github.repo`` where a store on GitHub names another repository."""
    if not is_on_github(merged):
        return
    store = merged[_STORE]
    parts = str(store.value).partition("://")[2].strip("/").split("/")
    for name, part in zip(("owner", "repo"), parts, strict=False):
        entry = merged.get(("github", name))
        if entry is not None and str(entry.value).lower() != part.lower():
            yield f"{entry.label} and {store.label} name different repositories; make the two agree"
