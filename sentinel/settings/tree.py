"""`Settings`: the whole tree, frozen, with where each value came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import PrivateAttr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from sentinel.errors import ConfigurationError
from sentinel.model.lease import LeaseTimes
from sentinel.settings.fleet_wide import (
    Alerts,
    GitHub,
    Heartbeat,
    LoadBalancer,
    Locking,
    MemorySync,
    Retention,
)
from sentinel.settings.key import Key, keys_of, setting
from sentinel.settings.per_worker import Execution, Failover, Local, Log, State, Tasks, Worker
from sentinel.settings.rules import StorePlace, Switch
from sentinel.settings.scaling import AutoScaling

StoreKind = Literal["local", "remote"]

#: Seconds between beats, and of silence, where nothing is set.
DEFAULT_LEASE: Mapping[StoreKind, tuple[float, float]] = {"local": (2.0, 10.0), "remote": (30.0, 120.0)}
DEFAULT_ORIGIN = "default"


class Settings(BaseSettings):
    """Every setting. Durations are seconds; secrets print as stars.

    `sentinel.settings.load` reads them from flags, environment and files. Made directly, only the values
    given count: unlike other pydantic settings, this class never looks at the environment by itself.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    store: StorePlace | None = setting(
        None,
        "The repository that the fleet shares: a path or a store URL. A relative path is taken from the "
        "current folder.",
        json="store",
        flag="--store",
        values="a path or a store URL",
        shown_default="`github://OWNER/REPO` where `github.owner` and `github.repo` are set, else not set",
        scope="fleet",
    )
    distributed_enabled: Switch = setting(
        True,
        "Whether this machine works in a fleet; where not, `sentinel worker start` refuses.",
        json="distributed.enabled",
        scope="fleet",
    )
    heartbeat: Heartbeat = Heartbeat()
    locking: Locking = Locking()
    load_balancer: LoadBalancer = LoadBalancer()
    memory_sync: MemorySync = MemorySync()
    alerts: Alerts = Alerts()
    auto_scaling: AutoScaling = AutoScaling()
    github: GitHub = GitHub()
    retention: Retention = Retention()
    worker: Worker = Worker()
    tasks: Tasks = Tasks()
    execution: Execution = Execution()
    failover: Failover = Failover()
    state: State = State()
    local: Local = Local()
    log: Log = Log()

    _origins: Mapping[str, str] = PrivateAttr(default_factory=dict)
    _labels: Mapping[str, str] = PrivateAttr(default_factory=dict)
    _warnings: tuple[str, ...] = PrivateAttr(default=())
    _files: tuple[str, ...] = PrivateAttr(default=())
    _hidden: frozenset[str] = PrivateAttr(default=frozenset())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what was passed in: the loader merges the layers, to know where each value came from."""
        return (init_settings,)

    @classmethod
    def assembled(
        cls,
        values: Mapping[str, Any],
        *,
        origins: Mapping[str, str],
        labels: Mapping[str, str],
        warnings: tuple[str, ...],
        files: tuple[str, ...],
        hidden: frozenset[str],
    ) -> Self:
        """Settings of these values, with what the loader knows about them, by dotted name.

        ``labels`` are the origins as messages name them; ``hidden`` are values that are secret or came
        through a reference. Raises pydantic's error when a value is wrong.
        """
        settings = cls(**values)
        settings._origins = dict(origins)
        settings._labels = dict(labels)
        settings._warnings = warnings
        settings._files = files
        settings._hidden = hidden
        return settings

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was odd about the configuration but does not prevent its use; a sentence each."""
        return self._warnings

    @property
    def files(self) -> tuple[str, ...]:
        """The configuration files that were read, as they are named in messages."""
        return self._files

    @property
    def store_kind(self) -> StoreKind | None:
        """The kind of ``store``; None when it is not set."""
        return None if self.store is None else store_kind(self.store)

    def origin_of(self, key: str) -> str:
        """Where the value of ``key`` came from: ``flag --store``, ``.env:3``, ``default``, …

        ``key`` is a dotted name in this tree, such as ``heartbeat.interval``, or below an open object, such
        as ``tasks.commands.build``. Raises `KeyError` for a name that does not exist.
        """
        if key not in _NAMES and not key.startswith(_OPEN):
            raise KeyError(key)
        return self._origins.get(key, DEFAULT_ORIGIN)

    def hides(self, key: str) -> bool:
        """Whether the value of ``key`` is secret or came through a reference, and so may hold a secret."""
        return key in self._hidden

    def lease(self, kind: StoreKind) -> LeaseTimes:
        """Heartbeat interval and stale threshold on a store of this kind, defaults filled in.

        Raises `ConfigurationError`, naming where the two came from, when they cannot be safe together.
        """
        interval, stale = DEFAULT_LEASE[kind]
        given = {"interval": self.heartbeat.interval, "stale_threshold": self.heartbeat.stale_threshold}
        try:
            return LeaseTimes(given["interval"] or interval, given["stale_threshold"] or stale)
        except ValueError as error:
            origins = [
                self._labels.get(f"heartbeat.{name}", f"heartbeat.{name}") for name in given if given[name]
            ]
            default = [f"heartbeat.{name}" for name in given if given[name] is None]
            note = f" ({default[0]} is not set and has its default for a {kind} store)" if default else ""
            raise ConfigurationError([f"{' and '.join(origins)}: {error}{note}"]) from None


KEYS: tuple[Key, ...] = tuple(keys_of(Settings))
_NAMES = frozenset(key.python for key in KEYS)
_OPEN = tuple(f"{key.python}." for key in KEYS if key.kind == "mapping")


def store_kind(url: str) -> StoreKind:
    """``local`` for a plain path, ``file://`` and ``memory:``; ``remote`` for every other URL."""
    scheme = url.partition(":")[0] if "://" in url or url.startswith("memory:") else "file"
    return "local" if scheme in ("file", "memory") else "remote"
