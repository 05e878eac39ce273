"""Which store a URL means: a registry of openers, each imported only when it is asked for."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

from sentinel.errors import BadInput
from sentinel.store.base import Store


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """What a store may need to know besides its URL."""

    #: Written as the author of commits, such as ``worker-001``.
    actor: str = "client"
    #: Wait for the disk on every commit; without it a power cut can lose acknowledged work.
    fsync: bool = True
    #: Where a store may keep private files of this machine, such as a mirror.
    state_folder: Path | None = None
    #: Seconds that one exchange with a server may take; a beat's must be below its interval.
    timeout: float = 15.0


@dataclasses.dataclass(frozen=True, slots=True)
class Opener:
    """How to open and create the stores of one URL scheme; all are ``module:function``."""

    #: ``local`` when all peers are on this host, which decides default intervals.
    kind: Literal["local", "remote"]
    open: str
    create: str
    #: Raises `BadInput` for a URL that can name no store, without a look at what is there; None for none.
    check: str | None = None


#: Scheme → opener. A store that another package brings registers itself here.
OPENERS: dict[str, Opener] = {
    "file": Opener(
        "local",
        "sentinel.store.local:open_local",
        "sentinel.store.local:create_local",
        "sentinel.store.repository:path_of_url",
    ),
    **dict.fromkeys(
        ("git+file", "git+ssh", "git+https", "git+http", "git+git"),
        Opener(
            "remote",
            "sentinel.store.remote:open_remote",
            "sentinel.store.remote_init:create_remote",
            "sentinel.store.location:locate",
        ),
    ),
    "github": Opener(
        "remote",
        "sentinel.github.opening:open_git",
        "sentinel.github.opening:create_git",
        "sentinel.github.place:check",
    ),
    "github+api": Opener(
        "remote",
        "sentinel.github.opening:open_api",
        "sentinel.github.opening:create_api",
        "sentinel.github.place:check",
    ),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Extras:
    """What stores of one scheme come with besides; each is ``module:function``, or None."""

    #: Makes the budget of a store with limits: see `sentinel.fleet.pacing`.
    budget: str | None = None
    #: Tries what the credentials may do there: see `sentinel.fleet.access`.
    examine: str | None = None
    #: Says what is left of the limits.
    limits: str | None = None
    #: Sets up what belongs to the place besides the store itself.
    furnish: str | None = None
    #: Makes what peers do there besides tasks: see `sentinel.fleet.duty`.
    duties: str | None = None
    #: Tells what goes together with an ended task when it is pruned: see `sentinel.fleet.retention`.
    companions: str | None = None
    #: Has workers started there: see `sentinel.fleet.access.Runners`.
    runners: str | None = None


_GITHUB = Extras(
    budget="sentinel.github.governor:open_governor",
    examine="sentinel.github.access:examine",
    limits="sentinel.github.access:limits",
    furnish="sentinel.github.furniture:furnish",
    duties="sentinel.github.duty:duties",
    companions="sentinel.github.retention:companions",
    runners="sentinel.github.runners:open_runners",
)
#: Scheme → its extras.
EXTRAS: dict[str, Extras] = {"github": _GITHUB, "github+api": _GITHUB}


def extras_of(url: str) -> Extras:
    """The extras of a store URL; none for one of another scheme."""
    return EXTRAS.get(url.partition("://")[0], Extras())


def scheme_of(url: str) -> str:
    """The scheme of a store URL; a plain path is ``file``. Raises `BadInput` for one nobody opens."""
    if not url or url != url.strip() or "\0" in url or url.startswith("-"):
        raise BadInput(f"the store {url!r} is not a path or URL; try file:///srv/fleet.git")
    scheme = url.partition(":")[0] if "://" in url or url.startswith("memory:") else "file"
    if scheme == "memory":
        raise BadInput(
            "memory: lives in one process and is for tests; name a repository, such as ./fleet.git"
        )
    if scheme not in OPENERS:
        known = ", ".join(f"{name}://" for name in sorted(OPENERS))
        # Not the whole URL: there may be a password in it.
        raise BadInput(f"no store opens {scheme!r} URLs; this version knows {known} and plain paths")
    return scheme


def check_url(url: str) -> None:
    """Raise `BadInput` for a URL that can name no store; nothing is opened or asked."""
    checking = resolve(OPENERS[scheme_of(url)].check)
    if checking is not None:
        checking(url)


def kind_of(url: str) -> Literal["local", "remote"]:
    """Whether the peers of this store share one host. Raises `BadInput` like `scheme_of`."""
    return OPENERS[scheme_of(url)].kind


def open_store(url: str, options: StoreOptions) -> Store:
    """A new connection to an existing store.

    Raises `BadInput` for a URL that nobody opens, `NotAStore` when there is no fleet there, and
    `Unavailable` when it cannot be reached.
    """
    opening: Callable[[str, StoreOptions], Store] = resolve(OPENERS[scheme_of(url)].open)
    return opening(url, options)


class OpenStore(Protocol):
    """Opens one connection after another to the same store; raises what `open_store` raises."""

    def __call__(self, *, timeout: float | None = None) -> Store:
        """A new connection, whose exchanges may take ``timeout`` seconds each, or as long as usual."""


def opener(url: str, options: StoreOptions) -> OpenStore:
    """How to open connections to the store at ``url``."""

    def open_one(*, timeout: float | None = None) -> Store:
        if timeout is None:
            return open_store(url, options)
        return open_store(url, dataclasses.replace(options, timeout=timeout))

    return open_one


def create_store(url: str, options: StoreOptions, *, dry_run: bool = False) -> list[str]:
    """Make the store, or do nothing where it exists; one sentence for each thing done (or to be done)."""
    creating: Callable[..., list[str]] = resolve(OPENERS[scheme_of(url)].create)
    return creating(url, options, dry_run=dry_run)


def resolve(name: str | None) -> Any:
    """What an opener names as ``module:function``, imported now; None for None."""
    if name is None:
        return None
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)
