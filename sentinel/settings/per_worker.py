"""Settings that may differ from peer to peer: they belong into the worker file or the environment."""

from __future__ import annotations

from collections.abc import Mapping

from sentinel.settings.key import setting
from sentinel.settings.rules import (
    ID_RULE,
    Command,
    Folder,
    Id,
    Level,
    Number,
    Section,
    Switch,
    Text,
    Variable,
    Whole,
)


class Worker(Section):
    """Who this worker is and how much it takes."""

    id: Id | None = setting(
        None,
        "Id of the worker; it also selects the worker file `ID.json` beside the shared file.",
        json="workerId",
        env=("WORKER_ID",),
        flag="--id",
        values=ID_RULE,
        shown_default="the host's name",
    )
    hostname: Text | None = setting(
        None,
        "Host name that other people see.",
        json="hostname",
        env=("WORKER_HOSTNAME",),
        shown_default="the machine's own",
    )
    max_tasks: Whole | None = setting(
        None,
        "How many tasks the worker runs at once.",
        json="capacity.maxConcurrentTasks",
        env=("WORKER_MAX_TASKS", "MAX_WORKERS"),
        flag="--max-tasks",
        unit="tasks",
        ge=1,
        le=1000,
        shown_default="one per processor",
    )
    cpu_cores: Whole | None = setting(
        None,
        "Processor cores of the machine, by which `capacity_based` weighs it.",
        json="capacity.cpuCores",
        unit="cores",
        ge=1,
        le=4096,
        shown_default="the machine's own",
    )
    memory_mb: Whole | None = setting(
        None,
        "Memory of the machine, by which `capacity_based` weighs it.",
        json="capacity.memoryMb",
        unit="MiB",
        ge=1,
        le=16_777_216,
        shown_default="the machine's own",
    )
    types: tuple[Id, ...] | None = setting(
        None,
        "Task types that the worker takes.",
        json="capacity.supportedTaskTypes",
        env=("SUPPORTED_TASK_TYPES",),
        flag="--types",
        values="names of task types (in the environment separated by commas)",
        shown_default="every type it knows",
    )
    capabilities: tuple[Id, ...] = setting(
        (),
        "What the worker can do besides its task types, for tasks that demand it. `general` stands in for "
        "any capability that nobody has.",
        json="capacity.capabilities",
        env=("WORKER_CAPABILITIES",),
        values="names of capabilities (in the environment separated by commas)",
    )
    region: Text | None = setting(
        None,
        "Where the worker stands, such as `eu-west-1`.",
        json="metadata.region",
        env=("WORKER_REGION",),
        flag="--region",
    )
    environment: Text | None = setting(
        None, "What it serves, such as `production`.", json="metadata.environment"
    )
    role: Text | None = setting(
        None,
        "Its part in the fleet, such as `leader`: workers of that role are the first to coordinate others.",
        json="metadata.role",
    )


class TaskDefaults(Section):
    """What holds for a task that does not say."""

    timeout: Number = setting(
        300.0,
        "How long a task may run.",
        json="tasks.defaults.timeoutSeconds",
        env=("SENTINEL_TASKS_DEFAULTS_TIMEOUT", "TASK_TIMEOUT"),
        unit="seconds",
        ge=0.1,
        le=604_800,
    )
    retries: Whole = setting(
        0,
        "How many times a failed task is tried again.",
        json="tasks.defaults.retries",
        ge=0,
        le=100,
    )


class Tasks(Section):
    """Which tasks exist here."""

    shell: Switch = setting(
        True,
        "Whether the built-in type `shell` runs here, for those who can write to the store.",
        json="tasks.shell",
    )
    modules: tuple[Text, ...] = setting(
        (),
        "Python modules that register tasks.",
        json="tasks.modules",
        flag="--tasks",
        values="names of modules (in the environment separated by commas)",
    )
    commands: Mapping[Id, Command] = setting(
        {},
        "Command tasks by type. The files are merged by type; one type must not differ between two files.",
        json="tasks.commands",
        env=(),
        values="an object of command templates",
        scope="fleet",
        live=True,
    )
    defaults: TaskDefaults = TaskDefaults()


class Execution(Section):
    """Limits of a running task."""

    output_limit_bytes: Whole = setting(
        1_048_576,
        "How much of a task's output is kept.",
        json="execution.outputLimitBytes",
        unit="bytes",
        ge=1024,
        le=1_073_741_824,
        live=True,
    )
    memory_limit_bytes: Whole | None = setting(
        None,
        "Memory of a task with all its processes, above which it is ended.",
        json="execution.memoryLimitBytes",
        unit="bytes",
        ge=16_777_216,
        le=1_099_511_627_776,
        shown_default="no limit",
        live=True,
    )
    process_limit: Whole | None = setting(
        1024,
        "How many processes a task may have at a time; null in a file means no limit.",
        json="execution.processLimit",
        unit="processes",
        ge=1,
        le=1_000_000,
        live=True,
    )
    grace: Number = setting(
        5.0,
        "Time between SIGTERM and SIGKILL for a task that is cancelled or out of time.",
        json="execution.graceSeconds",
        unit="seconds",
        ge=0,
        le=300,
        live=True,
    )
    warm_runs: Whole = setting(
        10_000,
        "How many Python functions one process runs, one after another, before a fresh one takes its place; "
        "0 gives each a process of its own.",
        json="execution.warmRuns",
        unit="runs",
        ge=0,
        le=1_000_000,
        live=True,
    )
    warm_idle: Number = setting(
        300.0,
        "After how long such a process ends that has nothing to do.",
        json="execution.warmIdleSeconds",
        env=("SENTINEL_EXECUTION_WARM_IDLE", "WORKER_IDLE_TIMEOUT"),
        unit="seconds",
        ge=0.1,
        le=86_400,
        live=True,
    )
    pass_env: tuple[Variable, ...] = setting(
        (),
        "Environment variables that tasks get from the worker, besides the few that all get.",
        json="execution.passEnv",
        values="names of variables (in the environment separated by commas)",
        live=True,
    )


class Failover(Section):
    """How the death of a peer is recognised."""

    local_proof: Switch = setting(
        True,
        "Whether a dead worker on the same host is taken over at once, by proof of death, instead of after "
        "its silence.",
        json="failover.localProof",
    )


class State(Section):
    """Private files of this machine."""

    folder: Folder | None = setting(
        None,
        "Folder for observations and other private files of this machine; relative to the current folder.",
        json="state.folder",
        values="a path",
        shown_default="`$XDG_STATE_HOME/sentinel`, or else `~/.local/state/sentinel`",
    )


class Local(Section):
    """The local store."""

    fsync: Switch = setting(
        True,
        "Whether each commit waits for the disk; without it a power cut can lose acknowledged work.",
        json="local.fsync",
    )


class Log(Section):
    """The worker's own log."""

    level: Level = setting(
        "info",
        "How much the worker logs.",
        json="log.level",
        env=("SENTINEL_LOG_LEVEL", "LOG_LEVEL"),
        values="debug, info, warning or error",
        live=True,
    )
