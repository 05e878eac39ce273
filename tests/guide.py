"""The configuration that the multi-worker guide shows, as it stands there: files, environments, fragments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: ``config/shared.json``.
SHARED: Mapping[str, Any] = {
    "distributed": {
        "enabled": True,
        "locking": {"ttlSeconds": 300, "retryAttempts": 3, "retryDelayMs": 1000},
        "heartbeat": {"intervalMs": 30000, "staleThresholdMs": 120000, "recoveryEnabled": True},
        "loadBalancer": {"strategy": "least_loaded", "affinityEnabled": True, "rebalanceIntervalMs": 60000},
        "memorySync": {"intervalMs": 5000, "conflictResolution": "last_write_wins", "cacheSize": 1000},
    },
    "github": {"owner": "${GITHUB_OWNER}", "repo": "${GITHUB_REPO}", "token": "${GITHUB_TOKEN}"},
}

#: ``config/worker-001.json`` and ``config/worker-002.json``.
WORKERS: Mapping[str, Mapping[str, Any]] = {
    name: {
        "workerId": name,
        "hostname": host,
        "capacity": {
            "maxConcurrentTasks": 10,
            "cpuCores": 8,
            "memoryMb": 16384,
            "supportedTaskTypes": ["build", "test", "deploy"],
        },
        "metadata": {"region": region, "environment": "production"},
    }
    for name, host, region in [
        ("worker-001", "server-1.example.com", "us-east-1"),
        ("worker-002", "server-2.example.com", "us-west-2"),
    ]
}

#: Strategy 1: the environment of each worker.
HOMOGENEOUS = [
    {
        "WORKER_ID": f"worker-00{number}",
        "WORKER_HOSTNAME": f"server-{number}.example.com",
        "WORKER_MAX_TASKS": "10",
    }
    for number in (1, 2, 3)
]

#: Strategy 2.
HETEROGENEOUS = [
    {
        "WORKER_ID": f"{kind}-worker-001",
        "WORKER_HOSTNAME": f"{kind}-server-1.example.com",
        "WORKER_MAX_TASKS": slots,
        "SUPPORTED_TASK_TYPES": types,
    }
    for kind, slots, types in [
        ("build", "20", "build,compile"),
        ("test", "15", "test,lint"),
        ("deploy", "5", "deploy,publish"),
    ]
]

#: Strategy 3.
GEOGRAPHIC = [
    {
        "WORKER_ID": f"{place}-worker-001",
        "WORKER_HOSTNAME": f"{region}.example.com",
        "WORKER_REGION": region,
        "WORKER_MAX_TASKS": "10",
    }
    for place, region in [
        ("us-east", "us-east-1"),
        ("us-west", "us-west-2"),
        ("eu-west", "eu-west-1"),
        ("ap-south", "ap-south-1"),
    ]
]

#: The fragment of each load balancing strategy, to stand in the shared file.
BALANCERS: Mapping[str, Mapping[str, Any]] = {
    strategy: {"loadBalancer": {"strategy": strategy, "options": options}}
    for strategy, options in {
        "round_robin": {"startIndex": 0},
        "least_loaded": {"considerCapacity": True},
        "capacity_based": {"weightByCpu": True, "weightByMemory": True},
        "affinity": {"affinityKey": "project_id", "fallbackStrategy": "least_loaded"},
    }.items()
}

#: The troubleshooting commands, as ours are called.
TROUBLESHOOTING = [
    ["workers", "list"],
    ["github", "test-connection"],
    ["locks", "stats", "--metric=conflicts"],
    ["locks", "distribution"],
    ["cluster", "load-distribution"],
    ["workers", "capacity"],
]


def write_files(folder: Path, shared: Mapping[str, Any] = SHARED) -> None:
    """Put the configuration files of the guide below ``folder``."""
    config = folder / "config"
    config.mkdir()
    for name, content in {"shared": shared, **WORKERS}.items():
        (config / f"{name}.json").write_text(json.dumps(content, indent=2))


def with_balancer(strategy: str) -> dict[str, Any]:
    """The shared file with the fragment of a strategy in the place of the load balancer that it has."""
    distributed = {name: part for name, part in SHARED["distributed"].items() if name != "loadBalancer"}
    return {**SHARED, "distributed": distributed, **BALANCERS[strategy]}
