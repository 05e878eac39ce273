"""What stores with extras can be asked: what the credentials may do, what is left of limits, what to set up.

The functions that answer are named in `sentinel.store.opener.EXTRAS`; each takes a store URL and options.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Protocol, TypeVar

from sentinel.clock import Clock, SystemClock
from sentinel.errors import BadInput
from sentinel.model.check import Check
from sentinel.store.opener import extras_of, resolve

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AccessOptions:
    """With what it is asked."""

    environ: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    clock: Clock = dataclasses.field(default_factory=SystemClock)
    #: Seconds that one exchange may take.
    timeout: float = 15.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit and what was used of it."""

    name: str
    #: How much of what, such as ``requests an hour``.
    unit: str
    allowed: float
    #: None where nobody counts it for us.
    used: float | None = None
    #: Seconds until it begins anew.
    resets_in: float | None = None
    #: Whether GitHub said so, or publishes it.
    told: bool = False


class Examine(Protocol):
    """Tries, one after another, what a fleet needs; nothing is changed."""

    def __call__(self, url: str, options: AccessOptions) -> Iterator[Check]: ...


class Limits(Protocol):
    """Every limit that is known. Raises store errors."""

    def __call__(self, url: str, options: AccessOptions) -> list[Limit]: ...


class Furnish(Protocol):
    """Sets up what is missing; one sentence for each thing done, or with ``dry_run`` to be done.

    Idempotent; what people have changed is left as it is. Raises store errors.
    """

    def __call__(self, url: str, options: AccessOptions, *, dry_run: bool) -> list[str]: ...


def examine(url: str) -> Examine:
    """Raises `BadInput` for a store that has nothing of the kind."""
    found: Examine | None = resolve(extras_of(url).examine)
    return _there(found, url)


def limits(url: str) -> Limits:
    """Raises `BadInput` for a store without limits."""
    found: Limits | None = resolve(extras_of(url).limits)
    return _there(found, url)


def furnish(url: str) -> Furnish | None:
    """None for a store to which nothing belongs but itself."""
    found: Furnish | None = resolve(extras_of(url).furnish)
    return found


def _there(found: T | None, url: str) -> T:
    if found is None:
        raise BadInput(f"{url!r} is not on GitHub; name a repository there, such as github://OWNER/REPO")
    return found
