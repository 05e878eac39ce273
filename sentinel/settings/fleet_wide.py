"""Settings that are the same for every peer: they belong into `config/shared.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, SecretStr
from typing_extensions import TypedDict

from sentinel.model.retention import Terms
from sentinel.settings.issues import Issues
from sentinel.settings.key import setting
from sentinel.settings.rules import ID_RULE, Id, Number, Section, Switch, Text, Whole

#: Keyword arguments of a setting that is in milliseconds in the files.
_MS: Mapping[str, Any] = {"unit": "seconds", "json_unit": "milliseconds", "per_unit": 1000}


class Heartbeat(Section):
    """How often a peer beats and when it counts as silent. What is not set depends on the kind of store."""

    interval: Number | None = setting(
        None,
        "Pause between two heartbeats of a worker.",
        json="distributed.heartbeat.intervalMs",
        ge=0.1,
        le=3600,
        shown_default="2 on a local store, 30 on a remote one",
        scope="fleet",
        **_MS,
    )
    stale_threshold: Number | None = setting(
        None,
        "Silence after which a worker's work is taken over; also the session TTL that the worker announces. "
        "At least three intervals.",
        json="distributed.heartbeat.staleThresholdMs",
        ge=0.5,
        le=86_400,
        shown_default="10 on a local store, 120 on a remote one",
        scope="fleet",
        **_MS,
    )
    recovery_enabled: Switch = setting(
        True,
        "Whether workers take over the work of silent ones.",
        json="distributed.heartbeat.recoveryEnabled",
        scope="fleet",
        live=True,
    )


class Locking(Section):
    """Named locks."""

    ttl: Number = setting(
        300.0,
        "Life of a named lock, unless the command gives one.",
        json="distributed.locking.ttlSeconds",
        flag="--ttl",
        unit="seconds",
        ge=5,
        le=86_400,
        scope="fleet",
    )
    retry_attempts: Whole = setting(
        3,
        "How many more times a named lock that is held is tried for, unless the command says how long it "
        "waits.",
        json="distributed.locking.retryAttempts",
        ge=0,
        le=100,
        scope="fleet",
    )
    retry_delay: Number = setting(
        1.0,
        "Pause between two such tries; shorter where the store tells that the lock has come free.",
        json="distributed.locking.retryDelayMs",
        ge=0.01,
        le=3600,
        scope="fleet",
        **_MS,
    )

    @property
    def patience(self) -> float:
        """Seconds for which a lock that is held is waited for, unless the command says."""
        return self.retry_attempts * self.retry_delay


class BalancerOptions(TypedDict, total=False):
    """Options of the built-in balancers, named as in the files; other balancers may have others."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]  # pydantic's documented way

    startIndex: Annotated[Whole, Field(ge=0)]
    considerCapacity: Switch
    weightByCpu: Switch
    weightByMemory: Switch
    affinityKey: Text
    fallbackStrategy: Id


class LoadBalancer(Section):
    """Who takes which task."""

    strategy: Id = setting(
        "least_loaded",
        "Name of the balancer: `round_robin`, `least_loaded`, `capacity_based`, `affinity`, or one of the "
        "entry point group `sentinel.balancers`.",
        json="distributed.loadBalancer.strategy",
        values=ID_RULE,
        scope="fleet",
        live=True,
    )
    options: BalancerOptions = setting(
        {},
        f"Options of the balancer: {', '.join(f'`{name}`' for name in BalancerOptions.__annotations__)}; a "
        "balancer that is not built in may have others.",
        json="distributed.loadBalancer.options",
        env=(),
        values="an object",
        scope="fleet",
        live=True,
    )
    affinity_enabled: Switch = setting(
        True,
        "Whether tasks with an affinity label prefer one worker, the same for equal labels, for as long as "
        "it lives; with every strategy.",
        json="distributed.loadBalancer.affinityEnabled",
        scope="fleet",
        live=True,
    )
    rebalance_interval: Number = setting(
        60.0,
        "Pause between two looks of a coordinator for a better distribution of the tasks that it has "
        "assigned and nobody has begun. Without a coordinator nothing is assigned ahead.",
        json="distributed.loadBalancer.rebalanceIntervalMs",
        ge=1,
        le=86_400,
        scope="fleet",
        **_MS,
        live=True,
    )
    pattern: Literal["peer_to_peer", "master_worker", "hierarchical"] = setting(
        "peer_to_peer",
        "Who assigns tasks: every worker for itself, one that holds the lock `coordinator` for all, or one "
        "leader for each group.",
        json="distributed.loadBalancer.pattern",
        values="peer_to_peer, master_worker or hierarchical",
        scope="fleet",
    )
    group_by: Literal["region", "role"] = setting(
        "region",
        "What workers have in common that have a leader of their own, in the pattern `hierarchical`.",
        json="distributed.loadBalancer.groupBy",
        values="region or role",
        scope="fleet",
    )


class MemorySync(Section):
    """Shared memory."""

    interval: Number = setting(
        5.0,
        "Time within which a queued write of shared memory lands; also how old a read of a remote store may "
        "be, and the pause between two looks for values that have expired.",
        json="distributed.memorySync.intervalMs",
        ge=0.1,
        le=3600,
        scope="fleet",
        **_MS,
    )
    conflict_resolution: Id = setting(
        "last_write_wins",
        "Name of the rule for two writers of one key: `last_write_wins`, `compare_and_swap`, `merge`, or one "
        "that an installed package brings.",
        json="distributed.memorySync.conflictResolution",
        values=ID_RULE,
        scope="fleet",
    )
    cache_size: Whole = setting(
        1000,
        "How many values each worker and each program keeps in its cache.",
        json="distributed.memorySync.cacheSize",
        unit="values",
        ge=0,
        le=1_000_000,
        scope="fleet",
    )


class Alerts(Section):
    """From where on something is a condition of the fleet; see ``sentinel cluster health``."""

    utilization: Number = setting(
        90.0,
        "Part of all slots in use above which the fleet is too busy.",
        json="distributed.alerts.utilizationPercent",
        unit="percent",
        ge=0,
        le=100,
        scope="fleet",
        live=True,
    )
    healthy: Number = setting(
        75.0,
        "Part of the expected workers below which too few are healthy.",
        json="distributed.alerts.healthyPercent",
        unit="percent",
        ge=0,
        le=100,
        scope="fleet",
        live=True,
    )
    queue: Whole = setting(
        100,
        "Waiting tasks above which the queue is too long.",
        json="distributed.alerts.queueLength",
        unit="tasks",
        ge=0,
        le=1_000_000,
        scope="fleet",
        live=True,
    )
    failures: Number = setting(
        5.0,
        "Part of the runs that ended lately above which too many fail.",
        json="distributed.alerts.failurePercent",
        unit="percent",
        ge=0,
        le=100,
        scope="fleet",
        live=True,
    )
    interval: Number = setting(
        30.0,
        "Pause between two looks of a worker for what is wrong with the fleet; two must agree for an alert.",
        json="distributed.alerts.intervalSeconds",
        unit="seconds",
        ge=1,
        le=86_400,
        scope="fleet",
        live=True,
    )


class GitHub(Section):
    """Access to GitHub."""

    owner: Text | None = setting(
        None,
        "Owner of the repository; with `github.repo` it names the store where `store` does not.",
        json="github.owner",
        env=("GITHUB_OWNER",),
        scope="fleet",
    )
    repo: Text | None = setting(
        None,
        "Name of the repository; with `github.owner` it names the store where `store` does not.",
        json="github.repo",
        env=("GITHUB_REPO",),
        scope="fleet",
    )
    token: SecretStr | None = setting(
        None,
        "Access token for a store on GitHub; never shown. SENTINEL_TOKEN_FILE, if set, goes before it.",
        json="github.token",
        env=("GITHUB_TOKEN",),
    )
    issues: Issues = Issues()
    pushes_per_minute: Number = setting(
        6.0,
        "Pushes to the repository that all workers together are paced to; what GitHub recommends. 0 means no "
        "limit, for a server of your own.",
        json="github.limits.pushesPerMinute",
        ge=0,
        le=100_000,
        scope="fleet",
    )
    reads_per_second: Number = setting(
        15.0,
        "Reads of the repository by git, of which all workers together take a third; what GitHub recommends. "
        "0 means no limit.",
        json="github.limits.readsPerSecond",
        ge=0,
        le=100_000,
        scope="fleet",
    )
    requests_per_hour: Number | None = setting(
        None,
        "Requests to the API that the fleet is paced to, if that is to be less than the token has. 0 means "
        "no limit.",
        json="github.limits.requestsPerHour",
        ge=0,
        le=1_000_000,
        shown_default="what GitHub tells, 5,000 before it does",
        scope="fleet",
    )

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are set, by the names of `sentinel.fleet.pacing.Forecast`."""
        given = {"pushes_a_minute": self.pushes_per_minute, "reads_a_second": self.reads_per_second}
        if self.requests_per_hour is not None:
            given["requests_an_hour"] = self.requests_per_hour
        return given


class Retention(Section):
    """How long ended tasks are kept."""

    days: Whole = setting(
        7,
        "Days for which an ended task is kept: its record, result, log and history. For so long a task that "
        "is submitted again under its id is recognised. Free locks and workers that are gone are kept as "
        "long.",
        json="retention.days",
        unit="days",
        ge=1,
        le=3650,
        scope="fleet",
    )
    count: Whole = setting(
        100_000,
        "Ended tasks that are kept at most: beyond them the oldest are pruned, however young.",
        json="retention.count",
        ge=1_000,
        le=10_000_000,
        scope="fleet",
    )

    @property
    def terms(self) -> Terms:
        """What is kept, for those who prune."""
        return Terms(seconds=self.days * 86_400.0, count=self.count)
